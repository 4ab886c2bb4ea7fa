// SPDX-License-Identifier: Apache-2.0
#include "dataset/label_fields.hpp"

#include "base/error.hpp"
#include "base/signals.hpp"
#include "dataset/label_names.hpp"
#include "io/csv.hpp"
#include "io/text_source.hpp"

#include <cmath>
#include <limits>
#include <set>

namespace gnn_hpc {

namespace {

std::size_t read_classes(const LabelColumns& columns, std::int64_t row, const std::vector<std::string>& fields, std::vector<double>& values) {
  std::size_t missing = 0;
  values.assign(fields.size(), std::numeric_limits<double>::quiet_NaN());
  for (std::size_t k = 0; k < fields.size(); ++k) {
    if (is_missing_value(fields[k])) {
      ++missing;
      continue;
    }
    const auto name = label_name(fields[k]);
    const auto place = name ? place_of(columns.classes[k], *name) : std::nullopt;
    if (place)
      values[k] = static_cast<double>(*place);
    else if (name)
      reject_field(row, columns.names[k], "a label that was not there when the file was read first; do not change it meanwhile");
    else if (!columns.optional) {
      reject_field(row, columns.names[k],
                   fmt::format("no label of a class: {}; data.task: multiclass takes whole numbers and words", quote_for_message(fields[k])));
    }
  }
  return missing;
}

}  // namespace

void reject_field(std::int64_t row, const std::string& column, const std::string& reason) {
  throw Error(Exit::data, fmt::format("row {}, column {}: {}", row, column, reason));
}

std::vector<std::vector<std::string>> distinct_labels(const std::vector<std::string>& paths, const std::vector<std::string>& columns) {
  std::vector<std::set<std::string>> found(columns.size());
  CsvReader::Row row;
  for (const std::string& path : paths) {
    CsvReader reader(path);
    if (!reader.next(row)) continue;  // the conversion says so
    const std::vector<std::string> header = column_names(row);
    std::vector<std::size_t> places;
    for (const std::string& column : columns) places.push_back(find_column(header, column, path).value_or(header.size()));
    while (reader.next(row)) {
      throw_if_stop_wanted(path);
      if (!row_problem(row, header.size()).empty()) continue;
      for (std::size_t k = 0; k < places.size(); ++k) {
        if (places[k] == header.size() || is_missing_value(row.fields[places[k]])) continue;
        if (auto name = label_name(row.fields[places[k]])) found[k].insert(std::move(*name));
        if (found[k].size() <= kMostClasses) continue;
        throw Error(Exit::data, fmt::format("{}:{}: target {} has more than {} different labels; of numbers learn data.task: regression", path,
                                            row.line, quote_for_message(columns[k]), kMostClasses));
      }
    }
  }
  std::vector<std::vector<std::string>> out;
  for (const auto& names : found) {
    out.emplace_back(names.begin(), names.end());
    sort_names(out.back());
  }
  return out;
}

std::size_t read_numbers(const std::vector<std::string>& columns, std::int64_t row, const std::vector<std::string>& fields, bool optional,
                         std::vector<double>& values, const char* advice) {
  std::size_t missing = 0;
  values.assign(fields.size(), std::numeric_limits<double>::quiet_NaN());
  for (std::size_t k = 0; k < fields.size(); ++k) {
    const auto value = parse_number(fields[k]);
    if (is_missing_value(fields[k])) {
      ++missing;
    } else if (value && std::isfinite(*value)) {
      values[k] = *value;
    } else if (!optional) {
      reject_field(row, columns[k], (value ? fmt::format("not finite: {}", quote_for_message(fields[k])) : no_number(fields[k])) + advice);
    }
  }
  return missing;
}

std::size_t read_labels(const LabelColumns& columns, std::int64_t row, const std::vector<std::string>& fields, std::vector<double>& values) {
  const bool binary = columns.kind == TargetKind::probability;
  const std::size_t missing = columns.kind == TargetKind::classes
                                  ? read_classes(columns, row, fields, values)
                                  : read_numbers(columns.names, row, fields, columns.optional, values,
                                                 binary ? "; data.task: binary allows only 0 and 1, multiclass takes words" : "");
  if (missing > 0 && missing == fields.size() && !columns.optional) {
    reject_field(row, join_names(columns.names, 5), missing == 1 ? "no target" : "none of the targets is there");
  }
  return missing;
}

}  // namespace gnn_hpc
