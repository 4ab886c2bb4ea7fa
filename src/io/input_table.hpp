// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace gnn_hpc {

/// Tables of an input whose rows are its records, one for one and in order; empty where the input is no table.
struct InputTable {
  std::vector<std::string> paths{};  ///< CSV files with a header
  std::string id_column{};           ///< whose texts are the ids, if one column's are
  std::string omitted{};             ///< a column too long to be repeated (the text of a structure)
};

}  // namespace gnn_hpc
