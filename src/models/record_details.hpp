// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/input_table.hpp"
#include "io/structure.hpp"
#include "models/task.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace gnn_hpc {

/// What a task whose samples are records of files (molecules, crystals) knows of them beside their ids. Tasks inherit it next to
/// `Task`.
class RecordDetails {
 public:
  virtual ~RecordDetails() = default;
  /// Number of a sample's record in the files that its part was read from, from 1, bad records counted: finds the row of an id that
  /// several have.
  virtual std::int64_t record_number(std::int64_t sample) const { return sample + 1; }
  /// Names of the classes of each target, [K][C_k] with C_k <= Task::num_classes, in the order of their numbers; empty: 0 .. C-1.
  virtual std::vector<std::vector<std::string>> class_names() const { return {}; }
  /// Prediction: records that are predicted, but whose label the model does not know; the label is then NaN. Needed on the root
  /// only.
  virtual std::vector<BadRecord> unknown_labels() const { return {}; }
  /// The input of a prediction as tables, whose columns the output repeats; needed on the root only.
  virtual InputTable input_table() const { return {}; }
};

/// The details of a task; the defaults for one that has none.
template <class T>
const RecordDetails& record_details(const Task<T>& task) {
  static const RecordDetails none;
  const auto* details = dynamic_cast<const RecordDetails*>(&task);
  return details != nullptr ? *details : none;
}

}  // namespace gnn_hpc
