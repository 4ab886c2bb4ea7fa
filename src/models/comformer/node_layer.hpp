// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/comformer/device_batch.hpp"
#include "models/comformer/gated_attention.hpp"

#include <string>

namespace gnn_hpc::comformer {

/// Edge features [E,C] as a node layer reads them: an array of their own, or rows of a table shared by edges of equal length.
template <class T>
struct EdgeFeatures {
  View2<T> dense;  ///< [E,C]; empty if mapped
  View2<T> table;  ///< [R,C] with `map`
  const RowMap<T>* map = nullptr;
};

/// Gated message passing u -> v (specification 4.1; `att_layers.{l}`), with H heads of width C:
///   q = lin_query x, k = lin_key x, w = lin_value x, g = lin_edge e
///   key = key_update([k_v; k_u; g]), msg = lin_msg_update([w_v; w_u; g])
///   att = q_v key / sqrt(C), gate = sigmoid(bn_att(att)), agg_v = sum over entering edges of mult msg gate
///   y = softplus(x + bn(lin_concate(agg)))
/// Work-saving form (specification section 7, items 1 and 2): unique edges with multiplicity; the first Linears act on nodes once, and
/// on edges through the product F of their edge block with lin_edge. Saved per edge: the first Linears' outputs [E, H 2C] (the backward
/// pass turns them into their gradients in place), key and msg [E, H C]; att and gate are recomputed. Sums over edges have one writer
/// per node (`Reduction::csr`); the backward of the gather from u runs over the reverse edges.
template <class T>
struct NodeLayer {
  Linear<T> lin_key, lin_query, lin_value, lin_edge, lin_concate;
  KeyMessage<T> update;
  BatchNorm<T> bn, bn_att;
  int width = 0, heads = 1;

  NodeLayer() = default;
  NodeLayer(ParamStore<T>& store, const std::string& name, int width, int heads);

  struct Saved {
    View2<T> x, query, key_in, value;  ///< [N,C], then [N,HC] each
    EdgeFeatures<T> edges;
    View2<T> fold;               ///< [H 2C, C]
    View2<T> pre, key, message;  ///< [E, H 2C], [E, HC], [E, HC]
    typename BatchNorm<T>::Saved att_norm, norm;
    View2<T> agg, mixed, y;  ///< [N,HC], [N,C], [N,C]
  };

  /// Returns y [N,C].
  View2<T> forward(Step<T>& step, const CrystalBatch<T>& batch, Reduction reduction, View2<T> x, const EdgeFeatures<T>& edges, Saved& saved) const;
  /// dy [N,C] is used up. dx [N,C] is overwritten. Gradient of the edge features: `dedges` has the shape of what forward read
  /// ([E,C] or the table's [R,C]) and is overwritten, or added to if `accumulate`.
  void backward(Step<T>& step, const CrystalBatch<T>& batch, Reduction reduction, Saved& saved, View2<T> dy, View2<T> dx, View2<T> dedges,
                bool accumulate) const;

 private:
  void aggregate(Step<T>& step, const CrystalBatch<T>& batch, Reduction reduction, const Saved& saved) const;
};

}  // namespace gnn_hpc::comformer
