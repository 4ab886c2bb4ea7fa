// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/input_table.hpp"

#include <string>
#include <vector>

namespace gnn_hpc {

/// A column of the tables of an input, one text a record, bad records included. @param option names it in messages ("data.group_by")
/// Throws Error(Exit::data) that lists the columns where a file has none of this name.
std::vector<std::string> read_record_column(const InputTable& table, const std::string& column, const char* option);

}  // namespace gnn_hpc
