// SPDX-License-Identifier: Apache-2.0
#include "nn/residue_input.hpp"

#include "graph/residue_graph.hpp"
#include "nn/activation.hpp"
#include "nn/channels.hpp"
#include "nn/chunks.hpp"

#include <algorithm>
#include <cmath>

namespace gnn_hpc {

namespace {

constexpr int kWaves = kPositionWaves / 2;

std::vector<ResidueChunk> make_chunks(const ResidueBatch& host) {
  std::vector<ResidueChunk> chunks;
  const auto before = [&](int node) { return host.in_ptr[static_cast<std::size_t>(node)]; };
  for (int begin = 0; begin < host.num_nodes;) {
    int end = begin + 1;
    while (end < host.num_nodes && before(end + 1) - before(begin) <= kChunkRows && end - begin < kChunkRows) ++end;
    chunks.push_back({begin, end, before(begin), before(end)});
    begin = end;
  }
  return chunks;
}

/// Residues grouped by type.
struct Types {
  std::vector<int> id, ptr{0}, node;
  explicit Types(const std::vector<int>& code) {
    for (int type = 0; type < 20; ++type) {
      for (std::size_t n = 0; n < code.size(); ++n) {
        if (code[n] == type) node.push_back(static_cast<int>(n));
      }
      if (static_cast<int>(node.size()) == ptr.back()) continue;
      id.push_back(type);
      ptr.push_back(static_cast<int>(node.size()));
    }
  }
};

template <class T>
void features_of_edges(const ChunkExec& exec, const ResidueInput<T>& b, View2<T> waves, int begin, int end, View2<T> s, View2<T> v) {
  const auto src = b.src, dst = b.dst;
  const auto position = b.position;
  Kokkos::parallel_for(
      "gnn_hpc::ResidueInput::edge_features", Kokkos::TeamPolicy<ChunkExec>(exec, end - begin, team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        constexpr double farthest = 20.0, inverse_spread = kDistanceGaussians / farthest;
        const int r = team.league_rank(), j = src(begin + r), i = dst(begin + r);
        const T dx = position(j, 0) - position(i, 0), dy = position(j, 1) - position(i, 1), dz = position(j, 2) - position(i, 2);
        const T length = Kokkos::sqrt(dx * dx + dy * dy + dz * dz);
        const T inverse = length > T(0) ? T(1) / length : T(0);
        Kokkos::single(Kokkos::PerTeam(team), [&] {
          v(3 * r, 0) = dx * inverse;
          v(3 * r + 1, 0) = dy * inverse;
          v(3 * r + 2, 0) = dz * inverse;
        });
        T* row = &s(r, 0);
        each_channel(team, kDistanceGaussians, [&](const int m) {
          const T x = (length - static_cast<T>(farthest / (kDistanceGaussians - 1)) * static_cast<T>(m)) * static_cast<T>(inverse_spread);
          row[m] = exponential(-x * x);
        });
        const int difference = j - i, step = difference < 0 ? -difference : difference;
        const T sign = difference < 0 ? T(-1) : T(1);
        const T* wave = &waves(step, 0);
        each_channel(team, kWaves, [&](const int m) {
          row[kDistanceGaussians + m] = wave[m];
          row[kDistanceGaussians + kWaves + m] = sign * wave[kWaves + m];
        });
      });
}

}  // namespace

template <class T>
void ResidueInput<T>::grow_waves(int longest, const Exec& exec) {
  if (longest <= wave_rows_) return;
  wave_rows_ = longest + longest / 2;
  std::vector<double> values;
  for (int step = 0; step < wave_rows_; ++step) {
    for (const bool sine : {false, true}) {
      for (int m = 0; m < kWaves; ++m) {
        const double phase = step * std::exp(-2.0 * m * std::log(10000.0) / kPositionWaves);
        values.push_back(sine ? std::sin(phase) : std::cos(phase));
      }
    }
  }
  waves_ = View2<T>(storage_.waves.assign(exec, values).data(), static_cast<std::size_t>(wave_rows_), kPositionWaves);
}

template <class T>
void ResidueInput<T>::upload(const ResidueBatch& host, std::span<const std::uint64_t> keys, const Exec& exec) {
  GNN_HPC_REQUIRE(host.in_ptr.size() == static_cast<std::size_t>(host.num_nodes) + 1 && host.dst.size() == host.src.size() &&
                      keys.size() == static_cast<std::size_t>(host.num_graphs),
                  "unfinished batch: {} graphs, {} nodes, {} edges", host.num_graphs, host.num_nodes, host.num_edges);
  exec.fence("gnn_hpc::ResidueInput::upload");  // pinned staging of the previous batch may still be read
  num_graphs = host.num_graphs;
  num_nodes = host.num_nodes;
  num_edges = host.num_edges;
  Storage& s = storage_;
  const auto nodes = static_cast<std::size_t>(num_nodes), edges = static_cast<std::size_t>(num_edges);
  graph_ptr = s.graph_ptr.assign(exec, host.graph_ptr);
  std::vector<int> owner;
  int longest = 1;
  for (std::size_t g = 0; g + 1 < host.graph_ptr.size(); ++g) {
    const int length = host.graph_ptr[g + 1] - host.graph_ptr[g];
    owner.insert(owner.end(), static_cast<std::size_t>(length), static_cast<int>(g));
    longest = std::max(longest, length);
  }
  node_graph = s.node_graph.assign(exec, owner);
  in_ptr = s.in_ptr.assign(exec, host.in_ptr);
  src = s.src.assign(exec, host.src);
  dst = s.dst.assign(exec, host.dst);
  out_ptr = s.out_ptr.assign(exec, host.out_ptr);
  out_edge = s.out_edge.assign(exec, host.out_edge);
  code = s.code.assign(exec, host.code);
  const Types types(host.code);
  type_id = s.type_id.assign(exec, types.id);
  type_ptr = s.type_ptr.assign(exec, types.ptr);
  type_node = s.type_node.assign(exec, types.node);
  graph_key = s.key.assign(exec, std::vector<std::uint64_t>(keys.begin(), keys.end()));
  position = View2<T>(s.position.assign(exec, host.position).data(), host.position.empty() ? 0 : nodes, 3);
  node_s = View2<T>(s.node_s.assign(exec, host.node_s).data(), nodes, kResidueScalars);
  node_v = View2<T>(s.node_v.assign(exec, host.node_v).data(), 3 * nodes, kResidueVectors);
  edge_s = edge_v = {};
  if (!host.edge_s.empty()) {
    edge_s = View2<T>(s.edge_s.assign(exec, host.edge_s).data(), edges, kDistanceGaussians + kPositionWaves);
    edge_v = View2<T>(s.edge_v.assign(exec, host.edge_v).data(), 3 * edges, 1);
  } else {
    grow_waves(longest, exec);
  }
  chunks = make_chunks(host);
  max_chunk_edges = 0;
  for (const ResidueChunk& chunk : chunks) max_chunk_edges = std::max(max_chunk_edges, chunk.num_edges());
}

template <class T>
void ResidueInput<T>::edge_features(const ChunkExec& exec, int begin, int end, View2<T> s, View2<T> v) const {
  if (edge_s.extent(0) > 0) {
    Kokkos::deep_copy(exec, s, row_range(edge_s, begin, end));
    Kokkos::deep_copy(exec, v, row_range(edge_v, 3 * begin, 3 * end));
    return;
  }
  features_of_edges(exec, *this, waves_, begin, end, s, v);
}

template struct ResidueInput<float>;
template struct ResidueInput<double>;

}  // namespace gnn_hpc
