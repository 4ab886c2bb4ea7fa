// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gnn_hpc {

/// A data block with fractional atom sites.
struct CifBlock {
  std::string name;       ///< behind `data_`
  std::string_view text;  ///< from its heading to the next one
  std::int64_t line = 1;  ///< of the heading, from 1
};

/// The blocks of a CIF that hold structures, in order; blocks without `_atom_site_fract_x` (texts, references) are left out. A file
/// with at most one is a single part, the whole text, so that parse_cif finds what is wrong with it. Headings inside text fields,
/// quotes and comments are none.
std::vector<CifBlock> split_cif(std::string_view text);

}  // namespace gnn_hpc
