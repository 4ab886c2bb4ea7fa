// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/linear.hpp"
#include "nn/segment_sum.hpp"

#include <string>

namespace gnn_hpc {

enum class PoolingKind { sum, mean, max, attention };

/// Rows of nodes -> one row a graph; 0 for a graph without nodes.
///   sum, mean
///   max        over the nodes, channel by channel; the gradient goes to the first maximal node
///   attention  sum_n w_n x_n, w = softmax within the graph of a_n = Linear(relu(Linear(x_n)));
///              da_n = w_n (x_n.dy - sum_m w_m x_m.dy),  dx_n = w_n dy + gradient through a_n
/// The last bias of the attention shifts all a_n alike and cancels: its gradient is 0 exactly.
template <class T>
struct NodePooling {
  PoolingKind kind = PoolingKind::sum;
  Linear<T> inner, outer;  ///< attention: width -> width / 2 -> 1

  NodePooling() = default;
  /// Registers `attention.0` and `attention.2` where the kind has them.
  NodePooling(ParamStore<T>& store, PoolingKind kind, int width);

  struct Saved {
    View2<T> x, hidden, weight;  ///< [N,C]; [N,C/2] after relu; [N,1]
    View2<int> place;            ///< [G,C] node of the maximum, -1 without nodes
    View2<T> y;                  ///< [G,C]
  };
  View2<T> forward(Step<T>& step, const Segments& nodes, View2<T> x, Saved& saved) const;
  /// dx is overwritten.
  void backward(Step<T>& step, const Segments& nodes, const Saved& saved, View2<T> dy, View2<T> dx) const;
};

}  // namespace gnn_hpc
