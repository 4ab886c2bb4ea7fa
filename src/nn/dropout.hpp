// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/random.hpp"
#include "nn/channels.hpp"
#include "nn/step.hpp"

#include <cstdint>

namespace gnn_hpc {

/// Dropout after relu: y = relu(x) k / (1 - p) with k = 0 at probability p. Numbers are a function of (seed, step, layer, row key,
/// channel), hence the same on any number of threads or ranks. y > 0 exactly where x > 0 and k = 1, so the backward pass needs neither x
/// nor the mask: dx = dy [y > 0] / (1 - p).
template <class T>
struct Dropout {
  RandomKey key;
  View1<std::uint64_t> row_key;  ///< [R]; empty: nothing is dropped
  std::uint32_t threshold = 0;
  T scale = 1;

  Dropout() = default;
  /// Off when evaluating or where p = 0.
  Dropout(const Step<T>& step, std::uint64_t layer, double p, const View1<std::uint64_t>& keys) {
    if (!step.training() || p <= 0.0) return;
    key = step.key.fold(layer);
    row_key = keys;
    threshold = static_cast<std::uint32_t>(p * 4294967296.0);
    scale = static_cast<T>(1.0 / (1.0 - p));
  }

  /// In place on row r.
  template <class TeamMember>
  KOKKOS_INLINE_FUNCTION void apply(const TeamMember& team, int width, int r, T* y) const {
    if (row_key.extent(0) == 0) return;
    const RandomKey stream = key.fold(row_key(r));
    Kokkos::parallel_for(Kokkos::TeamVectorRange(team, width), [&](const int c) {
      const auto words = stream.words(static_cast<std::uint64_t>(c) / 4);
      y[c] = words[static_cast<std::size_t>(c) % 4] < threshold ? T(0) : y[c] * scale;
    });
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
  each_channel(team, width, [&](const int c) { dy[c] = y[c] > T(0) ? scale * dy[c] : T(0); });
}

}  // namespace gnn_hpc
