// SPDX-License-Identifier: Apache-2.0
#include "dataset/record_column.hpp"

#include "io/csv.hpp"

#include <fmt/format.h>

namespace gnn_hpc {

std::vector<std::string> read_record_column(const InputTable& table, const std::string& column, const char* option) {
  std::vector<std::string> out;
  CsvReader::Row row;
  for (const std::string& path : table.paths) {
    CsvReader file(path);
    std::vector<std::string> names;
    if (file.next(row)) names = column_names(row);
    const std::size_t place = need_column(names, column, path, fmt::format("set {}", option));
    while (file.next(row)) out.push_back(place < row.size ? row.fields[place] : std::string());
  }
  return out;
}

}  // namespace gnn_hpc
