// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/comformer/batch.hpp"
#include "nn/growing_array.hpp"
#include "nn/row_map.hpp"
#include "nn/segment_sum.hpp"

#include <vector>

namespace gnn_hpc::comformer {

/// Consecutive target nodes and all edges that enter them: what a chain of operations handles at a time, so that activations
/// stay in cache between operations (on a GPU: everything at once).
struct Chunk {
  int node_begin = 0, node_end = 0, edge_begin = 0, edge_end = 0;
  int num_edges() const { return edge_end - edge_begin; }
};

/// A batch of crystals on the device; members as in HostCrystalBatch.
template <class T>
struct CrystalBatch {
  int num_graphs = 0, num_nodes = 0, num_edges = 0, num_targets = 1;
  View1<int> graph_ptr, node_graph, atom_row, in_ptr, src, dst, reverse, edge_graph;
  View1<T> mult;            ///< [E]
  View1<double> node_mult;  ///< [N] sum of mult over the edges that enter
  View2<double> target;     ///< [G,K]
  View2<double> edge_vec;   ///< [E,3]; empty unless the model wants directions
  RowMap<T> distance, cosine;
  View1<double> length_argument;  ///< [R + 3G] arguments of `rbf`: rows of the distance table, then the lattice vectors
  View1<double> cosine_argument;  ///< [Rc]
  std::vector<Chunk> chunks;
  int max_chunk_edges = 0;
  int num_chunks() const { return static_cast<int>(chunks.size()); }

  Segments nodes_of_graph() const { return {graph_ptr, {}, node_graph}; }
  Segments edges_into_node() const { return {in_ptr, {}, dst}; }
  /// The edges that leave a node are the reverses of those that enter it.
  Segments edges_out_of_node() const { return {in_ptr, reverse, dst}; }

  /// Waits for kernels that still read the previous batch, then copies.
  void upload(const HostCrystalBatch& host, const Exec& exec);

 private:
  struct Storage {
    GrowingArray<int> graph_ptr, node_graph, atom_row, in_ptr, src, dst, reverse, edge_graph;
    GrowingArray<int> distance_first, distance_piece, distance_row_piece, distance_item;
    GrowingArray<int> cosine_first, cosine_piece, cosine_row_piece, cosine_item;
    GrowingArray<T> mult, distance_weight, cosine_weight;
    GrowingArray<double> node_mult, target, edge_vec, length_argument, cosine_argument;
  } storage_;
};

}  // namespace gnn_hpc::comformer
