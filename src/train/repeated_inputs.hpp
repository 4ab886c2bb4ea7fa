// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/task.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace gnn_hpc {

/// Inputs (molecules, crystals, texts) that stand on both sides of a split. A score over inputs that were trained on tells how well
/// targets of known inputs are remembered or averaged, not how new ones are predicted; only the data's owner knows which was
/// wanted.
struct RepeatedInputs {
  std::int64_t train = 0, train_distinct = 0;        ///< samples, and how many different inputs they are
  std::int64_t validation = 0, validation_seen = 0;  ///< samples, and how many of them have an input that also trains
  std::int64_t test = 0, test_seen = 0;

  bool any() const { return validation_seen > 0 || test_seen > 0; }
  /// True if more than a hundredth of a part has been trained on.
  bool many() const { return 100 * validation_seen > validation || 100 * test_seen > test; }
  /// "3,433 of 3,438 test and 3,430 of 3,437 validation inputs are also trained on (...)"
  std::string text() const;
};

/// Counts by `Task::input_digests`; nothing where the task has none. Not collective: the root alone may call it.
template <class T>
std::optional<RepeatedInputs> repeated_inputs(const Task<T>& task);

}  // namespace gnn_hpc
