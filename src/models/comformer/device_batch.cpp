// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/device_batch.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cmath>

namespace gnn_hpc::comformer {

namespace {

std::vector<Chunk> make_chunks(const HostCrystalBatch& host) {
  std::vector<Chunk> chunks;
  const auto edges_before = [&](int node) { return host.in_ptr[static_cast<std::size_t>(node)]; };
  int begin = 0;
  while (begin < host.num_nodes) {
    int end = begin + 1;
    while (end < host.num_nodes && edges_before(end + 1) - edges_before(begin) <= kChunkRows) ++end;
    chunks.push_back({begin, end, edges_before(begin), edges_before(end)});
    begin = end;
  }
  return chunks;
}

std::vector<double> length_arguments(const HostCrystalBatch& host) {
  std::vector<double> s = host.distance.abscissa;
  for (std::size_t i = 0; i + 2 < host.lattice.size(); i += 3) {
    const double* l = &host.lattice[i];
    s.push_back(-0.75 / std::sqrt(l[0] * l[0] + l[1] * l[1] + l[2] * l[2]));
  }
  return s;
}

}  // namespace

template <class T>
void CrystalBatch<T>::upload(const HostCrystalBatch& host, const Exec& exec) {
  GNN_HPC_REQUIRE(host.in_ptr.size() == static_cast<std::size_t>(host.num_nodes) + 1 && host.src.size() == static_cast<std::size_t>(host.num_edges),
                  "unfinished batch: {} nodes, {} edges", host.num_nodes, host.num_edges);
  exec.fence("gnn_hpc::CrystalBatch::upload");  // pinned staging of the previous batch may still be read
  num_graphs = host.num_graphs;
  num_nodes = host.num_nodes;
  num_edges = host.num_edges;
  num_targets = host.num_targets;
  Storage& s = storage_;
  graph_ptr = s.graph_ptr.assign(exec, host.graph_ptr);
  node_graph = s.node_graph.assign(exec, host.node_graph);
  atom_row = s.atom_row.assign(exec, host.atom_row);
  in_ptr = s.in_ptr.assign(exec, host.in_ptr);
  src = s.src.assign(exec, host.src);
  dst = s.dst.assign(exec, host.dst);
  reverse = s.reverse.assign(exec, host.reverse);
  edge_graph = s.edge_graph.assign(exec, host.edge_graph);
  mult = s.mult.assign(exec, host.mult);
  std::vector<double> sums(static_cast<std::size_t>(num_nodes), 0.0);
  for (std::size_t e = 0; e < host.dst.size(); ++e) sums[static_cast<std::size_t>(host.dst[e])] += host.mult[e];
  node_mult = s.node_mult.assign(exec, sums);
  const auto y = s.target.assign(exec, host.target);
  target = View2<double>(y.data(), num_graphs, num_targets);
  edge_vec = {};
  if (host.directions) edge_vec = View2<double>(s.edge_vec.assign(exec, host.edge_vec).data(), num_edges, 3);
  const auto make_map = [&](const HostRowMap& map, auto& first, auto& weight, auto& piece, auto& row_piece, auto& item) {
    RowMap<T> device;
    device.num_rows = static_cast<int>(map.abscissa.size());
    device.num_items = static_cast<int>(map.first.size());
    device.taps = map.taps;
    device.first = first.assign(exec, map.first);
    const auto w = weight.assign(exec, map.weight);
    device.weight = View2<T>(w.data(), map.first.size(), map.taps);
    const GroupPieces pieces = cut_groups(map.group_ptr);
    device.piece_ptr = piece.assign(exec, pieces.piece_ptr);
    device.row_piece = row_piece.assign(exec, pieces.row_piece);
    device.group_item = item.assign(exec, map.group_item);
    return device;
  };
  distance = make_map(host.distance, s.distance_first, s.distance_weight, s.distance_piece, s.distance_row_piece, s.distance_item);
  cosine = make_map(host.cosine, s.cosine_first, s.cosine_weight, s.cosine_piece, s.cosine_row_piece, s.cosine_item);
  length_argument = s.length_argument.assign(exec, length_arguments(host));
  cosine_argument = s.cosine_argument.assign(exec, host.cosine.abscissa);
  chunks = make_chunks(host);
  max_chunk_edges = 0;
  for (const Chunk& chunk : chunks) max_chunk_edges = std::max(max_chunk_edges, chunk.num_edges());
}

template struct CrystalBatch<float>;
template struct CrystalBatch<double>;

}  // namespace gnn_hpc::comformer
