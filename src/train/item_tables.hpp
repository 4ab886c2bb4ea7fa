// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/task.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace gnn_hpc {

/// The table of samples' parts as CSV, and what the system makes of it (see ItemTable), file name -> text; nothing where a system has none.
/// `rows`: predictions by part of the data, whose name is the first column; without a name there is no such column. Root only.
///   part,id,<one word>,<columns>...
template <class T>
std::map<std::string, std::string> item_tables(const Task<T>& task, const std::vector<std::pair<std::string, std::vector<Prediction>>>& rows);

}  // namespace gnn_hpc
