// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/chunks.hpp"
#include "nn/layer_norm.hpp"
#include "nn/param.hpp"

#include <string>

namespace gnn_hpc::hgnn_moe {

/// Last part of both couplers: y = LN(gelu(u)), u = z W' + b (`name.0` Linear, `name.2` LayerNorm), row by row on one chunk. The product
/// is the caller's, who may have folded other maps into W.
template <class T>
struct Combiner {
  Param<T> weight, bias;  ///< [D,D], [D]
  LayerNorm<T> norm;

  Combiner() = default;
  Combiner(ParamStore<T>& store, const std::string& name, int width);

  /// u += bias (given: it may have been folded, too);  hat, rdev of gelu(u);  y = base + hat gamma + beta  (base empty: 0)
  void forward(const ChunkExec& exec, View2<T> u, View1<T> bias, View2<T> hat, View1<T> rdev, View2<T> base, View2<T> y) const;
  /// u becomes its gradient from dy. partial [3D] receives sums over the rows: dgamma, dbeta, and du.
  void backward(const ChunkExec& exec, View2<T> u, View2<T> hat, View1<T> rdev, View2<T> dy, View1<double> partial) const;
};

}  // namespace gnn_hpc::hgnn_moe
