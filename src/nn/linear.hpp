// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/param.hpp"
#include "nn/step.hpp"

#include <string>

namespace gnn_hpc {

/// y = x W' + b.
///   forward    y[r,o]  = sum_i x[r,i] W[o,i] + b[o]
///   backward   dx = dy W,  dW += dy' x,  db += column sums of dy
/// The input is not copied: whoever calls backward hands it in again. Initialised as in PyTorch: W and b uniform in
/// +-1/sqrt(in).
template <class T>
struct Linear {
  Param<T> weight;  ///< [out, in]
  Param<T> bias;    ///< [out]; absent if `has_bias` is false
  bool has_bias = true;

  Linear() = default;
  /// Registers `name.weight` and, if wanted, `name.bias`.
  Linear(ParamStore<T>& store, const std::string& name, int in, int out, bool with_bias = true, bool used = true);

  void forward(Step<T>& step, View2<T> x, View2<T> y) const;
  /// dW and db only (an input that is constant).
  void backward_parameters(Step<T>& step, View2<T> x, View2<T> dy) const;
  /// Also dx = dy W + beta dx.
  void backward(Step<T>& step, View2<T> x, View2<T> dy, View2<T> dx, T beta = 0) const;
};

}  // namespace gnn_hpc
