// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace gnn_hpc::dmpnn {

/// What was seen in a column of a table.
class ColumnTally {
 public:
  void add(std::string_view field);
  /// More than half of the values that are there are numbers.
  bool mostly_numbers() const { return numbers_ > others_; }
  /// True for a column that seems to number its rows instead of measuring something: at least three values, whole numbers, all
  /// different, and either rising or falling from row to row or under a name that says so (`CompoundID`, `mol_id`, `index`, `No.`).
  bool looks_like_an_id(const std::string& name) const;

 private:
  std::int64_t numbers_ = 0, others_ = 0;
  bool whole_ = true, different_ = true, rising_ = true, falling_ = true;
  double last_ = 0.0;
  std::unordered_set<std::int64_t> seen_;  ///< as long as all are whole and different
};

/// True if a word of the name (`mol_id`, `CompoundID`) is one for the number of a row.
bool names_an_id(std::string_view name);

/// One line with the targets that the program chose itself, for a user who meant others; a warning of those that look like ids.
void announce_targets(const std::vector<std::string>& targets, const std::vector<std::string>& like_ids);

}  // namespace gnn_hpc::dmpnn
