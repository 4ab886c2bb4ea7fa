// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataset/measures.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace gnn_hpc {

/// The kind that the option `data.task` names: regression, binary or multiclass.
inline TargetKind target_kind_of(const std::string& task) {
  if (task == "binary") return TargetKind::probability;
  return task == "multiclass" ? TargetKind::classes : TargetKind::number;
}

/// Columns of a table whose fields are labels.
struct LabelColumns {
  std::vector<std::string> names;
  TargetKind kind = TargetKind::number;
  /// [K] multi-class: different labels of each column, sorted (label_names.hpp); values are places in it.
  std::vector<std::vector<std::string>> classes{};
  bool optional = false;  ///< prediction: what is not there or not readable is missing instead of an error
};

/// Different labels of every column in all files, sorted: [K]. Fields that are no class are left to `read_labels`, which knows how to refuse a row.
/// Throws Error(Exit::data) for more than kMostClasses of a column.
std::vector<std::vector<std::string>> distinct_labels(const std::vector<std::string>& paths, const std::vector<std::string>& columns);

/// A row's fields [K] as numbers or places of classes in `values`, NaN where missing; returns how many are missing.
/// Throws Error(Exit::data) with row, column and what was found.
std::size_t read_labels(const LabelColumns& columns, std::int64_t row, const std::vector<std::string>& fields, std::vector<double>& values);

/// The same for numbers that are no labels.
std::size_t read_numbers(const std::vector<std::string>& columns, std::int64_t row, const std::vector<std::string>& fields, bool optional,
                         std::vector<double>& values, const char* advice = "");

/// Throws Error(Exit::data): "row 3, column label: REASON".
[[noreturn]] void reject_field(std::int64_t row, const std::string& column, const std::string& reason);

}  // namespace gnn_hpc
