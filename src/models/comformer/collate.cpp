// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"
#include "models/comformer/batch.hpp"

#include <algorithm>
#include <cmath>

namespace gnn_hpc::comformer {

namespace {

constexpr double kClosest = -1.2;  // s = -0.75/|r| of the shortest tabulated distance, 0.625 angstrom

double dot(const double* a, const double* b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

void index_edges(HostCrystalBatch& b) {
  const auto nodes = static_cast<std::size_t>(b.num_nodes), edges = static_cast<std::size_t>(b.num_edges);
  b.in_ptr.assign(nodes + 1, 0);
  b.edge_graph.resize(edges);
  b.edge_ptr.assign(static_cast<std::size_t>(b.num_graphs) + 1, 0);
  for (std::size_t e = 0; e < edges; ++e) {
    if (e > 0 && b.dst[e] < b.dst[e - 1]) {
      throw Error(Exit::data, fmt::format("edge {} enters atom {} after an edge that enters atom {}; edges must be sorted by "
                                          "target", e, b.dst[e], b.dst[e - 1]));
    }
    const auto v = static_cast<std::size_t>(b.dst[e]);
    ++b.in_ptr[v + 1];
    b.edge_graph[e] = b.node_graph[v];
    ++b.edge_ptr[static_cast<std::size_t>(b.edge_graph[e]) + 1];
  }
  for (std::size_t v = 0; v < nodes; ++v) b.in_ptr[v + 1] += b.in_ptr[v];
  for (std::size_t g = 0; g + 1 < b.edge_ptr.size(); ++g) b.edge_ptr[g + 1] += b.edge_ptr[g];
}

/// The edge v->u whose vector is nearest to -r: image vectors differ by lattice vectors, so there is no doubt about which.
int find_reverse(const HostCrystalBatch& b, std::size_t e) {
  const auto u = static_cast<std::size_t>(b.src[e]);
  const int v = b.dst[e];
  const double* r = &b.edge_vec[3 * e];
  int best = -1;
  double best_distance = 1e-6;
  for (int i = b.in_ptr[u]; i < b.in_ptr[u + 1]; ++i) {
    const auto k = static_cast<std::size_t>(i);
    if (b.src[k] != v) continue;
    const double sum[3] = {b.edge_vec[3 * k] + r[0], b.edge_vec[3 * k + 1] + r[1], b.edge_vec[3 * k + 2] + r[2]};
    const double distance = dot(sum, sum);
    if (distance < best_distance) {
      best_distance = distance;
      best = i;
    }
  }
  if (best < 0) {
    throw Error(Exit::data, fmt::format("edge {} from atom {} to atom {} has no reverse edge; crystal graphs are symmetric", e,
                                        b.src[e], v));
  }
  return best;
}

void group_items(HostRowMap& map) {
  map.group_ptr.assign(map.abscissa.size() + 1, 0);
  map.group_item.resize(map.first.size());
  for (const int row : map.first) ++map.group_ptr[static_cast<std::size_t>(row) + 1];
  for (std::size_t r = 0; r + 1 < map.group_ptr.size(); ++r) map.group_ptr[r + 1] += map.group_ptr[r];
  std::vector<int> next(map.group_ptr.begin(), map.group_ptr.end() - 1);
  for (std::size_t i = 0; i < map.first.size(); ++i) {
    map.group_item[static_cast<std::size_t>(next[static_cast<std::size_t>(map.first[i])]++)] = static_cast<int>(i);
  }
}

/// Points of a uniform grid and the cubic Lagrange weights of an argument between them.
struct Grid {
  double low, spacing;
  int points;
  Grid(double from, double to, int n) : low(from), spacing((to - from) / (n - 1)), points(n) {}
  void add_rows(HostRowMap& map) const {
    for (int i = 0; i < points; ++i) map.abscissa.push_back(low + spacing * i);
  }
  /// First of the four rows around x, with x in the middle interval where the grid allows.
  int place(double x, double* weight) const {
    const int cell = static_cast<int>(std::floor((x - low) / spacing));
    const int first = std::clamp(cell - 1, 0, points - 4);
    const double t = (x - (low + spacing * first)) / spacing;
    weight[0] = -(t - 1.0) * (t - 2.0) * (t - 3.0) / 6.0;
    weight[1] = t * (t - 2.0) * (t - 3.0) / 2.0;
    weight[2] = -t * (t - 1.0) * (t - 3.0) / 2.0;
    weight[3] = t * (t - 1.0) * (t - 2.0) / 6.0;
    return first;
  }
};

void clear(HostRowMap& map, std::size_t items, int taps) {
  map.taps = taps;
  map.abscissa.clear();
  map.first.resize(items);
  map.weight.assign(items * static_cast<std::size_t>(taps), 1.0);
}

void map_distances(HostCrystalBatch& b, int points) {
  const auto edges = static_cast<std::size_t>(b.num_edges);
  HostRowMap& map = b.distance;
  clear(map, edges, points > 0 ? 4 : 1);
  const Grid grid(kClosest, 0.0, std::max(points, 4));
  if (points > 0) grid.add_rows(map);
  for (std::size_t e = 0; e < edges; ++e) {
    const double* r = &b.edge_vec[3 * e];
    const double s = -0.75 / std::sqrt(dot(r, r));
    const auto reverse = static_cast<std::size_t>(b.reverse[e]);
    if (points > 0 && s >= kClosest) {
      map.first[e] = grid.place(s, &map.weight[4 * e]);
      continue;
    }
    if (points > 0) {
      map.weight[4 * e + 1] = map.weight[4 * e + 2] = map.weight[4 * e + 3] = 0.0;
    }
    if (reverse < e && (points == 0 || map.weight[4 * reverse + 1] == 0.0)) {
      map.first[e] = map.first[reverse];  // both directions share |r|
    } else {
      map.first[e] = static_cast<int>(map.abscissa.size());
      map.abscissa.push_back(s);
    }
  }
  if (points > 0) map.abscissa.insert(map.abscissa.end(), 3, 0.0);  // an item's four rows always exist
  group_items(map);
}

void map_cosines(HostCrystalBatch& b, int points) {
  const std::size_t items = 3 * static_cast<std::size_t>(b.num_edges);
  HostRowMap& map = b.cosine;
  clear(map, items, points > 0 ? 4 : 1);
  const Grid grid(-1.0, 1.0, std::max(points, 4));
  if (points > 0) grid.add_rows(map);
  for (std::size_t i = 0; i < items; ++i) {
    const double* r = &b.edge_vec[i / 3 * 3];
    const double* l = &b.lattice[9 * static_cast<std::size_t>(b.edge_graph[i / 3]) + 3 * (i % 3)];
    const double cosine = std::clamp(dot(l, r) / std::sqrt(dot(l, l)) / std::sqrt(dot(r, r)), -1.0, 1.0);
    if (points > 0) {
      map.first[i] = grid.place(cosine, &map.weight[4 * i]);
    } else {
      map.first[i] = static_cast<int>(i);
      map.abscissa.push_back(cosine);
    }
  }
  group_items(map);
}

}  // namespace

void finish_batch(HostCrystalBatch& b, const TableOptions& tables) {
  index_edges(b);
  b.reverse.resize(b.src.size());
  for (std::size_t e = 0; e < b.src.size(); ++e) b.reverse[e] = find_reverse(b, e);
  map_distances(b, tables.distance_points);
  map_cosines(b, tables.cosine_points);
}

}  // namespace gnn_hpc::comformer
