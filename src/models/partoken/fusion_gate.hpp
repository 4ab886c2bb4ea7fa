// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/layer_norm.hpp"
#include "nn/linear.hpp"
#include "nn/row_dropout.hpp"

#include <string>

namespace gnn_hpc::partoken {

/// Fuses the feature g of a chain with that of its clusters (specification spec/partoken.md, section 4):
///   beta = sigmoid(W3 drop(relu(W0 [g ; c] + b0)) + b3),   y = LN(g + beta * Wp c)
/// Registers `fw_gate.{beta_mlp.0, beta_mlp.3, proj_c, ln}`; b3 starts at 0. Dropout `fw_gate.beta_mlp.2`.
template <class T>
struct FusionGate {
  Linear<T> hidden, gate, project;
  LayerNorm<T> norm;

  FusionGate() = default;
  FusionGate(ParamStore<T>& store, int width);

  struct Saved {
    View2<T> g, c;             ///< [B,D] as given
    View2<T> hidden, keep;     ///< [B,D/2] after dropout; factors, empty: nothing is dropped
    View2<T> beta, projected;  ///< [B,D]
    View2<T> hat;              ///< [B,D] normalised
    View1<T> rdev;             ///< [B]
  };
  View2<T> forward(Step<T>& step, const RowDropout<T>& dropout, View2<T> g, View2<T> c, Saved& saved) const;
  /// dy is used up, dg and dc are overwritten.
  void backward(Step<T>& step, const Saved& saved, View2<T> dy, View2<T> dg, View2<T> dc) const;
};

}  // namespace gnn_hpc::partoken
