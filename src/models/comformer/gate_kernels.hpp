// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/comformer/gated_attention.hpp"
#include "nn/activation.hpp"
#include "nn/channels.hpp"
#include "nn/rows.hpp"

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
  KOKKOS_INLINE_FUNCTION T normalised(T att, int c) const { return (att - static_cast<T>(mean(c))) * static_cast<T>(rstd(c)); }
  /// Gradient of att, from the gradient G at the norm's output (summed over copies) of a row of weight w.
  KOKKOS_INLINE_FUNCTION T att_gradient(T g, T w, T att, int c) const {
    return scale(c) * (g - w * (static_cast<T>(from_beta(c)) + normalised(att, c) * static_cast<T>(from_gamma(c))));
  }
};

template <class T>
Gate<T> gate_of(const typename BatchNorm<T>::Saved& norm) {
  return {norm.scale, norm.shift, norm.mean, norm.rstd, {}, {}};
}

/// Adds sums over nodes of [dkey | dmsg] to the gradients of the second Linears' biases.
template <class T>
void add_bias_sums(Step<T>& step, View2<double> partial, const KeyMessage<T>& update) {
  const int width = update.width;
  ArenaFrame frame(step.arena);
  const auto sums = step.arena.template array<double>(2 * static_cast<std::size_t>(width));
  sum_partials(step, partial, sums);
  const auto dkey = update.key.second.bias.grad1(), dmessage = update.message.second.bias.grad1();
  Kokkos::parallel_for(
      "gnn_hpc::comformer::bias_sums", Rows(step.exec, 0, width), KOKKOS_LAMBDA(const int c) {
        dkey(c) += static_cast<T>(sums(c));
        dmessage(c) += static_cast<T>(sums(width + c));
      });
}

/// For the backward pass of a chunk: hidden = silu(pre), and pre becomes silu'(pre); one exponential serves both.
template <class T>
void hidden_of(const ChunkExec& exec, View2<T> pre, View2<T> hidden) {
  const int width = pre.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::comformer::hidden", Kokkos::TeamPolicy<ChunkExec>(exec, pre.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) {
          const T x = pre(r, c), s = sigmoid(x);
          hidden(r, c) = x * s;
          pre(r, c) = s + x * s * (T(1) - s);
        });
      });
}

}  // namespace gnn_hpc::comformer
