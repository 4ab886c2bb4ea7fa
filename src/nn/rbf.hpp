// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/linear.hpp"

namespace gnn_hpc {

/// Radial basis expansion, Linear and softplus of one number s.
///   phi_m(s) = exp(-gamma (s - c_m)^2), c_m evenly spaced on [low, high], gamma = (M - 1) / (high - low)
///   forward    y = softplus(phi W' + b)
///   backward   dW, db only: s is data. phi and y are saved by the caller.
/// (ComFormer: `rbf`, `rbf_angle`; gamma is one over the spacing, not over its square.)
template <class T>
struct RadialBasis {
  Linear<T> linear;  ///< `name.1`
  double low = 0.0, high = 1.0;
  int bins = 1;

  RadialBasis() = default;
  RadialBasis(ParamStore<T>& store, const std::string& name, double low, double high, int bins, int width);

  struct Saved {
    View2<T> phi;  ///< [R,M]
    View2<T> y;    ///< [R,C]
  };
  /// s [R] in double: the expansion is formed in double and stored in T.
  Saved forward(Step<T>& step, View1<double> s) const;
  /// dy [R,C] is overwritten by the gradient before softplus.
  void backward(Step<T>& step, const Saved& saved, View2<T> dy) const;
};

}  // namespace gnn_hpc
