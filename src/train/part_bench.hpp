// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/task.hpp"

#include <cstdint>
#include <vector>

namespace gnn_hpc {

/// How a part of a system's step is timed.
struct PartBenchRequest {
  int batch = 0;  ///< samples of the step
  int repeat = 20, warmup = 3;
  std::uint64_t seed = 0;  ///< of the weights
};

/// The first samples of the input, in its order; of a task without records, those of its splits by number.
/// Throws Error(Exit::data) if there are fewer.
template <class T>
std::vector<std::int64_t> first_samples(const Task<T>& task, int count);

}  // namespace gnn_hpc
