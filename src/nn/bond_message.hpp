// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/gather.hpp"
#include "nn/lane_work.hpp"
#include "nn/linear.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace gnn_hpc {

/// Two-stage sparse sums: X rows of sums over the input's R rows, then the output's rows over both, y = rows [x; sums x]. With X = 0 one
/// stage. Dense graphs need the sums: all edges that leave a node share what enters it.
template <class T>
struct Exchange {
  Gather<T> sums, rows;
};

/// What bond message passing computes on: rows of states and how they refer to each other. Rows may be edges and nodes, or classes of
/// them with equal states. An empty index stands for the identity.
template <class T>
struct MessagePlan {
  int num_h0 = 0, num_rows_z = 0;
  View1<int> h0_node, h0_edge;  ///< [R0] rows of node and edge features
  Gather<T> by_node, by_edge;   ///< transposes: rows of h0 by node and by edge feature
  struct Layer {
    int num_rows = 0;
    View1<int> residual;     ///< [R] row of h0
    Gather<T> residual_out;  ///< transpose
    Exchange<T> in, out;     ///< m from the rows of the layer before, and the transpose
  };
  std::vector<Layer> steps;  ///< [depth-1]
  View1<int> z_node;         ///< [Rz] row of node features
  Gather<T> z_by_node;       ///< transpose
  Gather<T> z_in, z_out;     ///< M from the rows of the last edge states, and the transpose
  /// What counts elements for dropout, the same whatever share of the batch a rank has; needed only with dropout.
  View1<std::uint64_t> edge_key, z_key;
};

/// D-MPNN encoder (Yang et al., J. Chem. Inf. Model. 59, 3370 (2019); specification section 3.1). On edges:
///   h0_e = W_i [x_src(e) | e_e],  h^0 = relu(h0)
///   m_e = sum over e' into src(e) of omega_e' h_e' - h_rev(e),   h^t_e = dropout(relu(h0_e + W_h m_e))    (t = 1 .. depth-1)
///   M_v = sum over e into v of omega_e h_e,   z_v = dropout(relu(W_o [x_v | M_v] + b_o))
/// W_i and the x part of W_o act on the rows of feature tables. W_h acts before the sums, on the states' rows, which are fewer than the
/// messages' where states are shared: W_h sum h = sum W_h h. Backward: docs/derivations/bond_message.md.
template <class T>
struct BondMessage {
  Linear<T> w_i, w_h, w_o;  ///< `name.W_i`, `name.W_h` without bias, `name.W_o`
  int node_width = 0, edge_width = 0, width = 0, depth = 1;
  double dropout = 0.0;
  std::uint64_t stream = 0;  ///< of random numbers

  BondMessage() = default;
  BondMessage(ParamStore<T>& store, const std::string& name, int node_width, int edge_width, int width, int depth, double dropout);

  struct Saved {
    View2<T> nodes, edges;    ///< features [A,d_v], [B,d_e]
    View2<T> h0;              ///< [R0,C] before relu
    std::vector<View2<T>> h;  ///< [depth] of [R_t,C]
    View2<T> m;               ///< [Rz,C] M, if it is formed before W_o
    View2<T> z;               ///< [Rz,C]
  };

  /// Returns z [Rz,C].
  View2<T> forward(Step<T>& step, const MessagePlan<T>& plan, View2<T> nodes /*[A,d_v]*/, View2<T> edges /*[B,d_e]*/, Saved& saved) const;
  /// dz [Rz,C] is used up. dnodes [A,d_v], dedges [B,d_e] are overwritten unless empty (features that are data). Gradients of the
  /// weights go to `weights`; scratch they need stays in the arena, so release it after `weights.add`.
  void backward(Step<T>& step, const MessagePlan<T>& plan, const Saved& saved, View2<T> dz, View2<T> dnodes, View2<T> dedges,
                WeightGradients<T>& weights) const;

 private:
  bool transform_first(const MessagePlan<T>& plan) const;
};

}  // namespace gnn_hpc
