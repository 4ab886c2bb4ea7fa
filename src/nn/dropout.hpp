// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/channels.hpp"
#include "nn/random_mask.hpp"
#include "nn/step.hpp"

#include <cstdint>

namespace gnn_hpc {

/// What dropout at probability p multiplies a kept value by, 1 where nothing is dropped; for backward passes that need no mask.
template <class T>
T dropout_scale(const Step<T>& step, double p) {
  return step.training() && p > 0.0 ? static_cast<T>(RandomMask(RandomKey(), p).scale) : T(1);
}

/// Dropout after relu: y = relu(x) k / (1 - p) with k = 0 at probability p. Factors are those of RandomMask, a function of (seed, step,
/// layer, row key, channel), hence the same on any number of threads or ranks. y > 0 exactly where x > 0 and k = 1, so the backward pass
/// needs neither x nor the mask: dx = dy [y > 0] dropout_scale(step, p).
template <class T>
struct Dropout {
  RandomMask mask;
  View1<std::uint64_t> row_key;  ///< [R], where something is dropped

  Dropout() = default;
  /// Off when evaluating or where p = 0.
  Dropout(const Step<T>& step, std::uint64_t layer, double p, const View1<std::uint64_t>& keys) {
    if (!step.training() || p <= 0.0) return;
    mask = RandomMask(step.key.fold(layer), p);
    row_key = keys;
  }

  /// In place on row r.
  template <class TeamMember>
  KOKKOS_INLINE_FUNCTION void apply(const TeamMember& team, int width, int r, T* y) const {
    if (mask.active()) each_channel_masked<T>(team, mask, row_key(r), 0, width, [&](const int c, const T factor) { y[c] *= factor; });
  }
};

/// y = relu(y + a).
template <class T, class TeamMember>
KOKKOS_INLINE_FUNCTION void relu_row(const TeamMember& team, int width, T* y, const T* a) {
  each_channel(team, width, [&](const int c) {
    const T v = y[c] + a[c];
    y[c] = v > T(0) ? v : T(0);
  });
}

/// dy = scale dy where y > 0, else 0: through relu and dropout, from the value.
template <class T, class TeamMember>
KOKKOS_INLINE_FUNCTION void relu_row_backward(const TeamMember& team, int width, T* dy, const T* y, T scale) {
  // A product with one of two constants becomes a selection; as a branch, random zeros are mispredicted and the loop stays scalar.
  each_channel(team, width, [&](const int c) { dy[c] *= y[c] > T(0) ? scale : T(0); });
}

/// The same for rows [begin, end).
template <class Space, class T>
void relu_rows_backward(const Space& exec, View2<T> y, View2<T> dy, T scale, int begin, int end) {
  const int width = y.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::relu_rows_backward", Kokkos::TeamPolicy<Space>(exec, end - begin, team_size()),
      KOKKOS_LAMBDA(const typename Kokkos::TeamPolicy<Space>::member_type& team) {
        const int r = begin + team.league_rank();
        relu_row_backward(team, width, &dy(r, 0), &y(r, 0), scale);
      });
}

}  // namespace gnn_hpc
