// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/activation.hpp"
#include "nn/channels.hpp"

// Device pieces that the node layer and the edge layer share.

namespace gnn_hpc::comformer {

/// Kernels add up to a few hundred rows of one node in T; everything beyond a node is added up in double.

/// sigmoid(bn(att)) and what the backward pass of the normalised gate needs, from the folded scale and shift.
template <class T>
struct Gate {
  View1<T> scale, shift;
  View1<double> mean, rstd;
  View1<double> from_beta, from_gamma;  ///< set for the backward pass only

  KOKKOS_INLINE_FUNCTION T value(T att, int c) const { return sigmoid(scale(c) * att + shift(c)); }
  KOKKOS_INLINE_FUNCTION T normalised(T att, int c) const {
    return (att - static_cast<T>(mean(c))) * static_cast<T>(rstd(c));
  }
  /// Gradient of att, from the gradient G at the norm's output (summed over copies) of a row of weight w.
  KOKKOS_INLINE_FUNCTION T att_gradient(T g, T w, T att, int c) const {
    return scale(c) * (g - w * (static_cast<T>(from_beta(c)) + normalised(att, c) * static_cast<T>(from_gamma(c))));
  }
};

/// For the backward pass of a chunk: hidden = silu(pre), and pre becomes silu'(pre); one exponential serves both.
template <class T>
void hidden_of(const ChunkExec& exec, View2<T> pre, View2<T> hidden) {
  const int width = pre.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::comformer::hidden", Kokkos::TeamPolicy<ChunkExec>(exec, pre.extent_int(0), Kokkos::AUTO),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) {
          const T x = pre(r, c), s = sigmoid(x);
          hidden(r, c) = x * s;
          pre(r, c) = s + x * s * (T(1) - s);
        });
      });
}

}  // namespace gnn_hpc::comformer
