// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/comformer/device_batch.hpp"
#include "models/comformer/gated_attention.hpp"

#include <string>

namespace gnn_hpc::comformer {

/// Update of an edge feature from its three (lattice vector, angle) companions (specification 4.2; `edge_update_layer`), H heads:
///   q = lin_query e, k = lin_key e, w = lin_value e; per slot s: ky_s = lin_key_e{s} len_s, wy_s = lin_value_e{s} len_s,
///   g_s = lin_edge ang_s;  key_s = key_update([k; ky_s; g_s]), msg_s = lin_msg_update([w; wy_s; g_s])
///   gate_s = sigmoid(bn_att(q key_s / sqrt(C))),  out = lin_concate(sum_s msg_s gate_s) + 2 extra biases
///   y = softplus(e + bn(out))
/// Work-saving form (specification section 7, items 3 to 5): e, and all that is linear in it, lives in the rows of the distance table
/// (one row a pair of directed edges when exact), what depends on the angle in rows of the cosine table, what depends on the
/// lattice vectors once per crystal; the slots are summed before lin_concate. Saved per edge: pre-activations [E, 3 H 2C] (their
/// gradients in place later), key and msg [E, 3 H C], q [E, H C], out and y [E, C].
template <class T>
struct EdgeLayer {
  static constexpr int kSlots = 3;
  Linear<T> lin_key, lin_query, lin_value, lin_edge, lin_concate;
  Linear<T> lin_key_e[kSlots], lin_value_e[kSlots];
  KeyMessage<T> update;
  BatchNorm<T> bn, bn_att;
  int width = 0, heads = 1;

  EdgeLayer() = default;
  /// Also registers the dead tensors of published checkpoints, `lemb.weight` and `lin_edge_len.{weight,bias}`.
  EdgeLayer(ParamStore<T>& store, const std::string& name, int width, int heads);

  struct Saved {
    View2<T> table, lengths, angles;      ///< e [R,C]; len [3G,C] (crystal, slot); ang [Rc,C]
    View2<T> distance_fold, cosine_fold;  ///< [H 2C, C]
    View2<T> length_key, length_value;    ///< [3, G, HC] by slot: outputs of lin_key_e, lin_value_e
    View2<T> query;                       ///< [E, HC]
    View2<T> pre, key, message;           ///< [E, 3 H 2C], [E, 3 HC], [E, 3 HC]
    typename BatchNorm<T>::Saved att_norm, norm;
    View2<T> out, y;  ///< [E,C]
  };

  /// Returns y [E,C].
  View2<T> forward(Step<T>& step, const CrystalBatch<T>& batch, View2<T> table, View2<T> lengths, View2<T> angles, Saved& saved) const;
  /// dy [E,C] is used up; dtable [R,C] is added to; dlengths [3G,C] and dangles [Rc,C] are overwritten.
  void backward(Step<T>& step, const CrystalBatch<T>& batch, Reduction reduction, Saved& saved, View2<T> dy, View2<T> dtable, View2<T> dlengths,
                View2<T> dangles) const;
};

}  // namespace gnn_hpc::comformer
