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
    if (b.src[e] < 0 || b.src[e] >= b.num_nodes || b.dst[e] < 0 || b.dst[e] >= b.num_nodes) {
      throw Error(Exit::data, fmt::format("edge {} goes from atom {} to atom {} of {}", e, b.src[e], b.dst[e], b.num_nodes));
    }
    if (e > 0 && b.dst[e] < b.dst[e - 1]) {
      throw Error(Exit::data, fmt::format("edge {} enters atom {} after an edge that enters atom {}; edges must be sorted by "
                                          "target",
                                          e, b.dst[e], b.dst[e - 1]));
    }
    const auto v = static_cast<std::size_t>(b.dst[e]);
    ++b.in_ptr[v + 1];
    b.edge_graph[e] = b.node_graph[v];
    ++b.edge_ptr[static_cast<std::size_t>(b.edge_graph[e]) + 1];
  }
  for (std::size_t v = 0; v < nodes; ++v) b.in_ptr[v + 1] += b.in_ptr[v];
  for (std::size_t g = 0; g + 1 < b.edge_ptr.size(); ++g) b.edge_ptr[g + 1] += b.edge_ptr[g];
}

bool opposite(const HostCrystalBatch& b, std::size_t e, std::size_t r) {
  const double sum[3] = {b.edge_vec[3 * e] + b.edge_vec[3 * r], b.edge_vec[3 * e + 1] + b.edge_vec[3 * r + 1],
                         b.edge_vec[3 * e + 2] + b.edge_vec[3 * r + 2]};
  return dot(sum, sum) < 1e-6;  // image vectors differ by lattice vectors, so there is no doubt about which
}

/// The edge v->u with the vector nearest to -r, whatever the order of the images.
int search_reverse(const HostCrystalBatch& b, std::size_t e) {
  const auto u = static_cast<std::size_t>(b.src[e]);
  for (int i = b.in_ptr[u]; i < b.in_ptr[u + 1]; ++i) {
    const auto k = static_cast<std::size_t>(i);
    if (b.src[k] == b.dst[e] && opposite(b, e, k)) return i;
  }
  throw Error(Exit::data, fmt::format("edge {} from atom {} to atom {} has no reverse edge; crystal graphs are symmetric", e, b.src[e], b.dst[e]));
}

/// In canonical order the edges u->v stand together, by ascending image; their reverses v->u have the opposite images, hence stand
/// together in the opposite order. Going through the targets v in order, the groups of each u come up in their order in u's own
/// row, so that one cursor per atom finds them without a search. An input in another order is searched.
void find_reverses(HostCrystalBatch& b) {
  static thread_local std::vector<int> cursor;
  cursor.assign(b.in_ptr.begin(), b.in_ptr.end() - 1);
  b.reverse.resize(b.src.size());
  for (int begin = 0; begin < b.num_edges;) {
    const auto first = static_cast<std::size_t>(begin);
    const int u = b.src[first], v = b.dst[first];
    int end = begin + 1;
    while (end < b.num_edges && b.src[static_cast<std::size_t>(end)] == u && b.dst[static_cast<std::size_t>(end)] == v) ++end;
    int& at = cursor[static_cast<std::size_t>(u)];
    const int last = at + (end - begin) - 1;  // of the group v->u, if it is where it should be
    for (int e = begin; e < end; ++e) {
      const auto edge = static_cast<std::size_t>(e);
      const int guess = last - (e - begin);
      const auto g = static_cast<std::size_t>(guess);
      const bool fits = guess >= at && guess < b.in_ptr[static_cast<std::size_t>(u) + 1] && b.src[g] == v && opposite(b, edge, g);
      b.reverse[edge] = fits ? guess : search_reverse(b, edge);
    }
    at = last + 1;
    begin = end;
  }
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
  map.group_ptr.assign(1, 0);
  map.group_item.clear();
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
  find_reverses(b);
  map_distances(b, tables.distance_points);
  b.directions = tables.directions;
  if (b.directions)
    clear(b.cosine, 0, 1);
  else
    map_cosines(b, tables.cosine_points);
}

}  // namespace gnn_hpc::comformer
