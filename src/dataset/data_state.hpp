// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

namespace gnn_hpc {

/// What belongs to the data and stands in a checkpoint. Keys are words of this program (letters, digits, `_`). Names that come from
/// the data (columns, targets, classes) are *values* in `texts`, never keys: a key becomes a path in the file, and a name may hold
/// anything, `/` and line ends too.
struct DataState {
  std::map<std::string, std::vector<double>> numbers;     ///< label mean, standard deviation, data-set hash ...
  std::map<std::string, std::vector<std::string>> texts;  ///< names of targets ...
  bool operator==(const DataState&) const = default;

  /// What stands under a key; empty where there is no such key.
  const std::vector<double>& number(const std::string& key) const;
  const std::vector<std::string>& text(const std::string& key) const;
};

inline const std::vector<double>& DataState::number(const std::string& key) const {
  static const std::vector<double> none;
  const auto found = numbers.find(key);
  return found == numbers.end() ? none : found->second;
}

inline const std::vector<std::string>& DataState::text(const std::string& key) const {
  static const std::vector<std::string> none;
  const auto found = texts.find(key);
  return found == texts.end() ? none : found->second;
}

}  // namespace gnn_hpc
