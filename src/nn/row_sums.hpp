// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"

namespace gnn_hpc {

/// Sum of f(c) over the channels of a team's row, in an order that depends on the width only (on a CPU: 16 running sums, so that
/// compilers vectorise without reordering anything by themselves).
template <class T, class TeamMember, class F>
KOKKOS_INLINE_FUNCTION T sum_channels([[maybe_unused]] const TeamMember& team, int width, const F& f) {
  if constexpr (kExecIsHost) {
    constexpr int kRunning = 16;
    T running[kRunning] = {};
    int c = 0;
    for (; c + kRunning <= width; c += kRunning) {
      GNN_HPC_SIMD
      for (int j = 0; j < kRunning; ++j) running[j] += f(c + j);
    }
    T sum = 0;
    for (; c < width; ++c) sum += f(c);
    for (int half = kRunning / 2; half > 0; half /= 2) {
      for (int j = 0; j < half; ++j) running[j] += running[j + half];
    }
    return running[0] + sum;
  } else {
    T sum = 0;
    Kokkos::parallel_reduce(
        Kokkos::TeamVectorRange(team, width), [&](const int c, T& part) { part += f(c); }, sum);
    return sum;
  }
}

}  // namespace gnn_hpc
