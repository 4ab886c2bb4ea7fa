// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/chunks.hpp"
#include "nn/segment_sum.hpp"

#include <array>
#include <string>
#include <vector>

namespace gnn_hpc {

/// A hypergraph on few nodes as an incidence matrix H[E,m] in CSR form, both ways. Hyperedge degree B_e = |e|.
struct Hypergraph {
  int num_nodes = 0, num_edges = 0;
  std::vector<int> edge_ptr, edge_node;  ///< members of each hyperedge: [m+1], [I]
  std::vector<int> node_ptr, node_edge;  ///< hyperedges of each node: [E+1], [I]

  /// All sets of `size` nodes in lexicographic order; size 0: one hyperedge with every node (none without nodes).
  static Hypergraph all_sets(int num_nodes, int size);
};

/// The operator of one hypergraph convolution on the nodes of every token, from weights w of the hyperedges (specification, section 2):
///   M = D^-1 H B^-1 H'  (pyg)   or   D^-1 H W B^-1 H'  (paper),   D_v = sum over hyperedges of v of w_e;   1/0 is taken as 0
/// and its powers seen from the mean: v_0 = 1'/E, v_{k+1} = v_k M. All in double: E is small.
struct MixingOperator {
  bool paper = false, softplus = false;
  int convolutions = 0;  ///< n
  Hypergraph graph;
  View1<int> edge_ptr, edge_node, node_ptr, node_edge;  ///< device copies

  View2<double> matrix;          ///< M [E,E]
  View1<double> inverse_degree;  ///< [E]
  View2<double> power;           ///< v_k [n+1,E]
  View1<double> power_sum;       ///< v_k . 1 [n+1]
  View1<double> weight;          ///< [m] after the transform

  void init(Hypergraph hypergraph, int convolutions, bool paper, bool softplus);
  /// From raw weights [m]; empty: ones.
  template <class T>
  void update(const Exec& exec, View1<T> raw) const;
  /// Adds to draw [m] the gradient through M, given dM [E,E] (overwritten by nobody).
  template <class T>
  void backward_weights(const Exec& exec, View1<T> raw, View2<double> dmatrix, View1<T> draw) const;
  /// dM += from the collapsed form: dv [2E] of which the first E are the gradient of v_n (used up, with the
  /// rest as scratch) and da [n+1] of the sums v_{n-l} . 1 (l = 1..n). dM is overwritten.
  void backward_powers(const Exec& exec, View1<double> dv, View1<double> da, View2<double> dmatrix) const;
};

}  // namespace gnn_hpc
