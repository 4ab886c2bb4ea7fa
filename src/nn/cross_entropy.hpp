// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/layer_norm.hpp"
#include "nn/param.hpp"
#include "nn/step.hpp"

#include <string>

namespace gnn_hpc {

/// Final normalisation, Linear to a vocabulary and cross-entropy, in chunks of rows: logits of one chunk per thread exist at a time.
///   z = y W' + b with y = xh gamma + beta;  loss = sum over rows with target v >= 0 of (log sum_w e^{z_w} - z_v) / divisor
///   dz = (softmax(z) - onehot(v)) / divisor on such rows, 0 elsewhere: written over z
///   dy = dz W, dW += dz' y, db += sum dz, and the gradients of gamma, beta and x
/// Sums of the loss are in double in an order that does not depend on the number of threads.
template <class T>
struct VocabularyHead {
  Param<T> weight;  ///< [V,D], N(0, 0.02)
  Param<T> bias;    ///< [V], 0

  VocabularyHead() = default;
  /// Registers `name.weight` and `name.bias`.
  VocabularyHead(ParamStore<T>& store, const std::string& name, int width, int vocabulary);

  /// The loss of all rows in a device scalar. With `dx` [R,D] (not empty) also all gradients; rdev as of xh.
  View1<double> loss(Step<T>& step, const LayerNorm<T>& norm, View2<T> xh, View1<T> rdev, View1<int> target, double divisor, View2<T> dx) const;
  /// z [R,V]
  void logits(Step<T>& step, const LayerNorm<T>& norm, View2<T> xh, View2<T> z) const;
};

}  // namespace gnn_hpc
