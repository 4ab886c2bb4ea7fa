// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/bond_message.hpp"
#include "nn/gather.hpp"
#include "nn/step.hpp"

#include <cstdint>
#include <vector>

namespace gnn_hpc {

/// Graphs of one level as pooling sees them. Nodes and clusters of a graph are consecutive; edges are directed.
template <class T>
struct PoolLevel {
  int num_graphs = 0, num_nodes = 0, num_clusters = 0, num_edges = 0;
  View1<int> node_ptr, cluster_ptr;  ///< [G+1] nodes and clusters c_g of each graph
  View1<int> node_graph;             ///< [N]
  View1<std::uint64_t> graph_key;    ///< [G] names a graph for dropout
  View1<int> node_row;               ///< [N] row of z; empty: the identity
  Gather<T> row_nodes;               ///< nodes of each row of z
  View1<int> out_ptr, out_item;      ///< [N+1], [M] edges that leave each node; out_item empty: the identity
  View1<int> dst, feature;           ///< [M] end node, row of edge features (empty: the identity)
  int repeats = 1;                   ///< how often every (src, dst) pair stands in the list
};

/// Options of pooling (specification section 4).
struct PoolOptions {
  int topk = 3;                ///< 0: dense
  bool batch_columns = false;  ///< graph g uses the columns from its first cluster's number in the batch, else from 0
  bool adjacency = false;      ///< coarse feature scale W of width 1, else the bond mean
  bool doubled = false;        ///< the published list of coarse edges
  double scale = 1.0;          ///< of adjacency features and of A
  int lp_max_nodes = 0;
  double lambda_lp = 0.5, lambda_ent = 1e-3;
};

/// Rows of S: up to K clusters a node, ascending. S is kept in double: whether a coarse edge exists depends on W > 0, however small.
struct Assignment {
  int slots = 0;             ///< K
  View2<double> value;       ///< [N,K]; 0 in unused slots
  View2<int> cluster;        ///< [N,K] within the graph; 0 in unused slots
  View1<int> used;           ///< [N] slots in use: min(topk, c_g)
  View1<int> member_ptr;     ///< [C+G] per graph c_g + 1 positions in `member`
  View1<int> member;         ///< [N K] slot numbers n K + s by cluster, nodes ascending
  View1<int> cluster_graph;  ///< [C]
  View2<double> dvalue;      ///< [N,K] gradient
};

/// Coarse edges of one level: pairs (p,q) of clusters of one graph with W_pq > 0, sorted by (graph, p, q), each once.
template <class T>
struct CoarseEdges {
  int num_pairs = 0;
  View1<int> row_ptr;     ///< [C+1] pairs by p
  View1<int> begin, end;  ///< [U] p and q as nodes of the next level
  View1<int> reverse;     ///< [U]
  View1<double> weight;   ///< [U] W
  View2<T> feature;       ///< [U,d] E'
};

/// DiffPool (Ying et al., NeurIPS 2018) with sparse rows of S, as the specification's section 4 has it.
///   S_ip = softmax over the k largest of the node's own logits (ties: smaller column)
///   V'_p = sum_i S_ip z_i
///   W_pq = sum over edges e of S_src(e),p S_dst(e),q,  p != q;   E'_pq = sum S S e_e / max(W_pq, 1e-8), or scale W_pq
///   link_g = lambda_lp ||A - S S'||_F with ||A - S S'||^2 = sum A^2 - 2 sum_(u,v) A_uv s_u.s_v + ||S'S||^2;  gradient
///            -2 lambda_lp (A S - S (S'S)) / ||.||
///   ent_g  = lambda_ent mean_i sum_p -s log s, s = max(S_ip, 1e-8), all c_g columns
/// One thread handles a graph: work is linear in edges k^2 and nodes k^2, memory in nodes and clusters. Deterministic.
template <class T>
struct DiffPool {
  PoolOptions options;

  /// S and the members of every cluster, from logits [R,width]. dvalue is set to zero. `largest_clusters`: the largest c_g.
  Assignment assign(Step<T>& step, const PoolLevel<T>& level, View2<T> logits, int largest_clusters) const;
  /// dlogits [R,width] from s.dvalue; overwritten.
  void assign_backward(Step<T>& step, const PoolLevel<T>& level, const Assignment& s, View2<T> dlogits) const;

  /// link and entropy of every graph into out [G,2]; adds `factor` times their gradient to s.dvalue.
  void auxiliary(Step<T>& step, const PoolLevel<T>& level, const Assignment& s, double factor, View2<double> out) const;

  /// V' [C,width] from z [R,width].
  void pool(Step<T>& step, const PoolLevel<T>& level, const Assignment& s, View2<T> z, View2<T> v) const;
  /// dz [R,width] is overwritten; the gradient of S is added to s.dvalue.
  void pool_backward(Step<T>& step, const PoolLevel<T>& level, const Assignment& s, View2<T> z, View2<T> dv, View2<T> dz) const;

  /// Fences: the number of edges decides what is allocated.
  CoarseEdges<T> coarsen(Step<T>& step, const PoolLevel<T>& level, const Assignment& s, View2<T> features) const;
  /// dfeature [U,d] is the gradient of E'. Adds to s.dvalue; dfeatures [B,d_e] of the level's own edge features is overwritten unless
  /// empty.
  void coarsen_backward(Step<T>& step, const PoolLevel<T>& level, const Assignment& s, const CoarseEdges<T>& edges, View2<T> features,
                        View2<T> dfeature, View2<T> dfeatures) const;

  /// The next level's graphs for pooling and for messages. Nodes are clusters; `next_ptr` [G+1] are the clusters of the next level.
  struct Next {
    PoolLevel<T> level;
    MessagePlan<T> plan;
  };
  Next next_level(Step<T>& step, const PoolLevel<T>& level, const Assignment& s, const CoarseEdges<T>& edges, View1<int> next_ptr, int next_clusters,
                  int depth, bool undirected) const;
};

}  // namespace gnn_hpc
