// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/residue_batch.hpp"
#include "nn/embedding.hpp"
#include "nn/growing_array.hpp"
#include "nn/segment_sum.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace gnn_hpc {

/// Consecutive residues and all edges that enter them: what a chain of operations handles at a time, so that activations stay in cache (on a
/// GPU: everything at once).
struct ResidueChunk {
  int node_begin = 0, node_end = 0, edge_begin = 0, edge_end = 0;
  int num_nodes() const { return node_end - node_begin; }
  int num_edges() const { return edge_end - edge_begin; }
};

/// Residue graphs of a batch on the device; members as in ResidueBatch.
template <class T>
struct ResidueInput {
  int num_graphs = 0, num_nodes = 0, num_edges = 0;
  View1<int> graph_ptr, node_graph, in_ptr, src, dst, out_ptr, out_edge, code;
  View1<std::uint64_t> graph_key;           ///< [G] names of the chains for random numbers
  View2<T> position;                        ///< [N,3]
  View2<T> node_s, node_v;                  ///< [N,6], [3N,3]
  View2<T> edge_s, edge_v;                  ///< [E,32], [3E,1] as given; empty: computed by `edge_features`
  View1<int> type_id, type_ptr, type_node;  ///< residues by type, for Embedding::backward
  std::vector<ResidueChunk> chunks;
  int max_chunk_edges = 0;
  int num_chunks() const { return static_cast<int>(chunks.size()); }
  Segments nodes_of_graph() const { return {graph_ptr, {}, node_graph}; }

  /// Waits for kernels that still read the previous batch, then copies. @param keys [G]
  void upload(const ResidueBatch& host, std::span<const std::uint64_t> keys, const Exec& exec);

  /// Features of the edges [begin, end) (specification spec/gvp.md, section 2), given ones or from positions: rows [end-begin, 32] of `s` and
  /// [3 (end-begin), 1] of `v`.
  void edge_features(const ChunkExec& exec, int begin, int end, View2<T> s, View2<T> v) const;

 private:
  /// Cosines and sines of position differences 0, 1, 2 .., made again where a chain is longer than any before.
  void grow_waves(int longest, const Exec& exec);

  int wave_rows_ = 0;
  View2<T> waves_;  ///< [rows,16] cos, then sin
  struct Storage {
    GrowingArray<int> graph_ptr, node_graph, in_ptr, src, dst, out_ptr, out_edge, code, type_id, type_ptr, type_node;
    GrowingArray<std::uint64_t> key;
    GrowingArray<T> position, node_s, node_v, edge_s, edge_v, waves;
  } storage_;
};

}  // namespace gnn_hpc
