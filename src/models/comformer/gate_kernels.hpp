// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/activation.hpp"
#include "nn/channels.hpp"

// Device pieces that the node layer and the edge layer share.

namespace gnn_hpc::comformer {

/// sigmoid(bn(att)) and what the backward pass of the normalised gate needs, from the folded scale and shift.
template <class T>
struct Gate {
  View1<T> scale, shift;
  View1<double> mean, rstd;
  View1<double> from_beta, from_gamma;  ///< set for the backward pass only

  KOKKOS_INLINE_FUNCTION T value(T att, int c) const { return sigmoid(scale(c) * att + shift(c)); }
  /// Gradient of att, from the gradient G at the norm's output (summed over copies) of a row of weight w.
  KOKKOS_INLINE_FUNCTION T att_gradient(T g, T w, T att, int c) const {
    const T xh = (att - static_cast<T>(mean(c))) * static_cast<T>(rstd(c));
    return scale(c) * (g - w * (static_cast<T>(from_beta(c)) + xh * static_cast<T>(from_gamma(c))));
  }
};

/// hidden = silu(pre) and back: da = dhidden silu'(pre).
template <class T>
void hidden_of(const Exec& exec, View2<T> pre, View2<T> hidden) {
  const int width = pre.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::comformer::hidden", Kokkos::TeamPolicy<Exec>(exec, pre.extent_int(0), Kokkos::AUTO),
      KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) { hidden(r, c) = silu(pre(r, c)); });
      });
}

}  // namespace gnn_hpc::comformer
