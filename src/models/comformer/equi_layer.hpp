// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/comformer/device_batch.hpp"
#include "nn/batch_norm.hpp"
#include "nn/linear.hpp"

#include <string>

namespace gnn_hpc::comformer {

/// Channels of the equivariant layer: scalars, and vectors and rank-2 tensors of each degree.
inline constexpr int kScalars = 64, kTensors = 8;
/// Products of an edge: of all scalars, then of degree 1, then of degree 2.
inline constexpr int kProducts = kScalars + 2 * kTensors;
/// Features of a node: 64 scalars, 8 vectors [8,3], 8 rank-2 tensors [8,5].
inline constexpr int kNodeFeatures = kScalars + 3 * kTensors + 5 * kTensors;
/// Weights of an edge, path by path, in a path [input channel][output channel].
inline constexpr int kWeights = kScalars * kScalars + 2 * kScalars * kTensors;

/// The network that gives each edge the weights of a tensor product, w_e = fc.2 h_e + b, h_e = softplus(fc.0 e). Only h_e is ever formed;
/// w_e enters as sums over its columns (specification section 7, item 6).
template <class T>
struct WeightNet {
  Linear<T> first;   ///< `name.fc.0`, C -> C
  Linear<T> second;  ///< `name.fc.2`, C -> kWeights

  WeightNet() = default;
  WeightNet(ParamStore<T>& store, const std::string& name, int width);

  struct Saved {
    View2<T> rows;   ///< [R,C] h of the rows of the distance table
    View2<T> edges;  ///< [E,C] h of each edge
  };
  Saved forward(Step<T>& step, const CrystalBatch<T>& batch, View2<T> table) const;
  /// dedges [E,C]; adds to the gradient of the table and to that of `first`.
  void backward(Step<T>& step, const CrystalBatch<T>& batch, Reduction reduction, View2<T> table, const Saved& saved, View2<T> dedges,
                View2<T> dtable) const;
};

/// Node update through features of degree 0, 1 and 2 (specification 4.3; `equi_update`), with the mean over the edges e = (u -> v) that leave u,
/// multiplicities counted:
///   s   = node_linear x
///   f0_u = mean 1/8 s_v W0 + s_u,  f1_u = mean 1/8 (s_v W1) (x) Y1,  f2_u = mean 1/8 (s_v W2) (x) Y2
///   t_u  = mean 1/sqrt80 (f0_v W0 + (f1_v . Y1 / sqrt3) W1 + (f2_v . Y2 / sqrt5) W2)
///   y   = softplus(node_linear_2(softplus(bn(t)))) + skip_linear(x)
/// The weights W of an edge are linear in h_e, so that neither product forms them:
///   first   G_v[o,c] = sum_i s_v,i W[i,o,c] once a node, p_e[o] = sum_c G_v[o,c] h_e,c
///   second  A_u[i,c] = sum_e q_e,i h_e,c once a node, t_u[o] = sum_i,c A_u[i,c] W[i,o,c]
/// both as products of small matrices over the edges of a node, which stand side by side: the edges that enter v for the first, and for the
/// second the reverses of those that leave u, whose lengths, hence h, are the same. G and A are made for blocks of nodes and made again in
/// the backward pass, so that memory does not grow with the batch.
template <class T>
struct EquiLayer {
  Linear<T> node_linear, skip_linear, node_linear_2;
  WeightNet<T> product_1, product_2;
  BatchNorm<T> bn;
  int width = 0;

  EquiLayer() = default;
  EquiLayer(ParamStore<T>& store, const std::string& name, int width);

  struct Saved {
    View2<T> x, table;
    View2<T> harmonics;  ///< [E,8]
    View2<T> scalars;    ///< [N,64] s
    typename WeightNet<T>::Saved net_1, net_2;
    View2<T> features;  ///< [N,kNodeFeatures] f0, f1, f2
    View2<T> inputs;    ///< [E,kProducts] q of the reverse of each edge, with its share of the mean
    View2<T> mixed;     ///< [N,64] t
    typename BatchNorm<T>::Saved norm;
    View2<T> activated;  ///< [N,64] softplus(bn(t))
    View2<T> shifted;    ///< [N,C] softplus(node_linear_2(activated))
    View2<T> y;          ///< [N,C]
  };

  /// Returns y [N,C]. `table` [R,C]: rows of the batch's distance map.
  View2<T> forward(Step<T>& step, const CrystalBatch<T>& batch, View2<T> x, View2<T> table, Saved& saved) const;
  /// dy [N,C]; dx [N,C] is overwritten, dtable [R,C] added to.
  void backward(Step<T>& step, const CrystalBatch<T>& batch, Reduction reduction, const Saved& saved, View2<T> dy, View2<T> dx,
                View2<T> dtable) const;
};

}  // namespace gnn_hpc::comformer
