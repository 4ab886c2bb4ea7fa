// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace gnn_hpc {

/// Work and time of an epoch's steps over all ranks, evaluation apart.
struct StepSpeed {
  double seconds = 0.0, tokens = 0.0, flops = 0.0;
  void add(double s, double t, double f) { seconds += s, tokens += t, flops += f; }

  /// "  41,000 tokens/s, 117 GFLOP/s, 71 % of the GEMM rate", as far as the task counts them; empty if it counts nothing.
  /// @param gemm_rate of all ranks together, operations a second; 0: not measured
  /// @param unit what the task's tokens are called
  std::string text(double gemm_rate, const std::string& unit = "tokens") const;
};

}  // namespace gnn_hpc
