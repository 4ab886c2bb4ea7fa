// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/median.hpp"

#include <ctime>
#include <vector>

/// Median over `repeats` runs of `work` of the processor time of this process, seconds: other programs on the machine disturb it little.
template <class F>
double median_seconds(int repeats, F&& work) {
  std::vector<double> seconds;
  for (int r = 0; r < repeats; ++r) {
    const std::clock_t start = std::clock();
    work();
    seconds.push_back(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return gnn_hpc::median(seconds);
}
