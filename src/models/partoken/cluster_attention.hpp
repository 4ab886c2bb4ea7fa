// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/linear.hpp"
#include "nn/row_dropout.hpp"

#include <string>

namespace gnn_hpc::partoken {

/// One query of each chain over its clusters, H heads of D/H channels (specification spec/partoken.md, section 4):
///   score_bhs = (Wq g_b)_h . (Wk c_bs)_h / sqrt(D/H);   a = softmax over the clusters that a chain has, then dropout
///   star_b = Wout concat_h(sum_s a_bhs (Wv c_bs)_h);    importance_bs = mean over heads of a_bhs
/// A chain without clusters has weights of 0. Registers `global_cluster_attn.{q,k,v,out}` without biases; dropout `global_cluster_attn.dropout`.
template <class T>
struct ClusterAttention {
  Linear<T> query, key, value, out;
  int heads = 1;
  bool corrected = true;  ///< false: scores get no gradient, as published

  ClusterAttention() = default;
  ClusterAttention(ParamStore<T>& store, int width, int heads, bool corrected);

  struct Saved {
    View2<T> g, c;               ///< [B,D], [B S,D] as given
    View2<T> query, key, value;  ///< [B,D], [B S,D], [B S,D]
    View2<T> score, soft;        ///< [B,H S] -1e9 where there is no cluster; softmax
    View2<T> keep, weight;       ///< [B,H S] factors of dropout, empty: nothing is dropped; weights after it
    View2<T> mixed;              ///< [B,D] concatenated heads
  };
  /// @param members [B S] residues of each cluster; 0: there is none  @param importance [B S] is written
  View2<T> forward(Step<T>& step, const RowDropout<T>& dropout, View2<T> g, View2<T> c, View1<int> members, View1<T> importance, Saved& saved) const;
  /// dg is added to, dc is overwritten.
  void backward(Step<T>& step, const Saved& saved, View1<int> members, View2<T> dstar, View2<T> dg, View2<T> dc) const;
};

}  // namespace gnn_hpc::partoken
