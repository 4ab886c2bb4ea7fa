// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"
#include "nn/diff_pool.hpp"

namespace gnn_hpc {

namespace {

constexpr double kLeastWeight = 1e-8;

KOKKOS_INLINE_FUNCTION double divisor_of(double weight) { return weight > kLeastWeight ? weight : kLeastWeight; }

/// One graph row by row: cluster p, the nodes with a share in it, the edges that leave them, the clusters of their ends. Scratch of a
/// graph is its own slice of arrays of C entries, so work and memory are linear.
template <class T>
struct CoarseRows {
  PoolLevel<T> level;
  Assignment s;

  /// f(n, k, e, v, j, q, w) for every product w = S_np S_vq > 0 of an edge e = (n, v) with q != p; k and j are the slots of p and q.
  template <class F>
  KOKKOS_INLINE_FUNCTION void each_product(int g, int p, const F& f) const {
    const int at = level.cluster_ptr(g) + g + p;
    for (int m = s.member_ptr(at); m < s.member_ptr(at + 1); ++m) {
      const int n = s.member(m) / s.slots, k = s.member(m) % s.slots;
      for (int o = level.out_ptr(n); o < level.out_ptr(n + 1); ++o) {
        const int e = level.out_item.extent(0) == 0 ? o : level.out_item(o), v = level.dst(e);
        for (int j = 0; j < s.used(v); ++j) {
          const int q = s.cluster(v, j);
          const double w = s.value(n, k) * s.value(v, j);
          if (q != p && w > 0.0) f(n, k, e, v, j, q, w);
        }
      }
    }
  }
  KOKKOS_INLINE_FUNCTION int feature_row(int e) const { return level.feature.extent(0) == 0 ? e : level.feature(e); }
};

/// Number of edges that leave each cluster of one graph.
template <class T>
struct CountPairs {
  CoarseRows<T> rows;
  View1<int> mark;   ///< [C] the last p that met q, plus 1; zero before
  View1<int> count;  ///< [C+1]
  KOKKOS_INLINE_FUNCTION void operator()(const int g) const {
    const int first = rows.level.cluster_ptr(g), clusters = rows.level.cluster_ptr(g + 1) - first;
    for (int p = 0; p < clusters; ++p) {
      int found = 0;
      rows.each_product(g, p, [&](int, int, int, int, int, const int q, double) {
        if (mark(first + q) == p + 1) return;
        mark(first + q) = p + 1;
        ++found;
      });
      count(first + p + 1) = found;
    }
  }
};

/// Weights, order, reverses and features of the pairs of one graph.
template <class T>
struct FillPairs {
  CoarseRows<T> rows;
  CoarseEdges<T> edges;
  View2<T> features;
  View1<double> sum;    ///< [C] W of the row; zero between
  View1<int> position;  ///< [C] pair of q in the row
  bool adjacency;
  double scale;

  KOKKOS_INLINE_FUNCTION void operator()(const int g) const {
    const int first = rows.level.cluster_ptr(g), clusters = rows.level.cluster_ptr(g + 1) - first;
    for (int p = 0; p < clusters; ++p) fill_row(g, first, clusters, p);
    for (int p = 0; p < clusters; ++p) {
      for (int r = edges.row_ptr(first + p); r < edges.row_ptr(first + p + 1); ++r) {
        int low = edges.row_ptr(edges.end(r)), high = edges.row_ptr(edges.end(r) + 1);
        while (high - low > 1) {
          const int middle = (low + high) / 2;
          (edges.end(middle) <= first + p ? low : high) = middle;
        }
        edges.reverse(r) = low;
      }
    }
  }

  KOKKOS_INLINE_FUNCTION void fill_row(int g, int first, int clusters, int p) const {
    const int begin = edges.row_ptr(first + p), end = edges.row_ptr(first + p + 1);
    if (begin == end) return;
    int found = 0;
    rows.each_product(g, p, [&](int, int, int, int, int, const int q, const double w) {
      if (sum(first + q) == 0.0) edges.end(begin + found++) = first + q;
      sum(first + q) += w;
    });
    if (8 * (end - begin) > clusters) {  // most clusters are there: in order of their numbers
      int at = begin;
      for (int q = 0; q < clusters; ++q) {
        if (sum(first + q) > 0.0) edges.end(at++) = first + q;
      }
    } else {
      for (int i = begin + 1; i < end; ++i) {
        const int q = edges.end(i);
        int at = i;
        for (; at > begin && edges.end(at - 1) > q; --at) edges.end(at) = edges.end(at - 1);
        edges.end(at) = q;
      }
    }
    const int width = edges.feature.extent_int(1);
    for (int r = begin; r < end; ++r) {
      const int q = edges.end(r);
      edges.begin(r) = first + p;
      edges.weight(r) = sum(q);
      position(q) = r;
      sum(q) = 0.0;
      for (int f = 0; f < width; ++f) edges.feature(r, f) = adjacency ? static_cast<T>(scale * edges.weight(r)) : T(0);
    }
    if (adjacency) return;
    rows.each_product(g, p, [&](int, int, const int e, int, int, const int q, const double w) {
      const int r = position(first + q);
      const T share = static_cast<T>(w / divisor_of(edges.weight(r)));
      const T* x = &features(rows.feature_row(e), 0);
      T* y = &edges.feature(r, 0);
      for (int f = 0; f < width; ++f) y[f] += share * x[f];
    });
  }
};

/// Gradients of S and of the level's own edge features, one graph.
template <class T>
struct PairsBackward {
  CoarseRows<T> rows;
  CoarseEdges<T> edges;
  View2<T> features, dfeature, dfeatures;
  View1<int> position;     ///< [C] pair of q in the row
  View1<double> constant;  ///< [C] G.E' of that pair
  bool adjacency;
  double scale;

  KOKKOS_INLINE_FUNCTION void operator()(const int g) const {
    const int first = rows.level.cluster_ptr(g), clusters = rows.level.cluster_ptr(g + 1) - first;
    const int width = edges.feature.extent_int(1);
    const View2<double> dvalue = rows.s.dvalue, value = rows.s.value;
    for (int p = 0; p < clusters; ++p) {
      for (int r = edges.row_ptr(first + p); r < edges.row_ptr(first + p + 1); ++r) {
        const int q = edges.end(r);
        position(q) = r;
        double dot = 0.0;
        if (!adjacency && edges.weight(r) > kLeastWeight) {
          for (int f = 0; f < width; ++f) dot += static_cast<double>(dfeature(r, f)) * static_cast<double>(edges.feature(r, f));
        }
        constant(q) = dot;
      }
      rows.each_product(g, p, [&](const int n, const int k, const int e, const int v, const int j, const int q, const double w) {
        const int r = position(first + q);
        const T* grad = &dfeature(r, 0);
        double t = scale * static_cast<double>(grad[0]);
        if (!adjacency) {
          const double inverse = 1.0 / divisor_of(edges.weight(r));
          const int row = rows.feature_row(e);
          const T* x = &features(row, 0);
          double dot = 0.0;
          for (int f = 0; f < width; ++f) dot += static_cast<double>(grad[f]) * static_cast<double>(x[f]);
          t = (dot - constant(first + q)) * inverse;
          if (dfeatures.extent(0) > 0) {
            const T share = static_cast<T>(w * inverse);  // rows that take a gradient are this graph's own: no one else adds to them
            for (int f = 0; f < width; ++f) dfeatures(row, f) += share * grad[f];
          }
        }
        dvalue(n, k) += value(v, j) * t;
        dvalue(v, j) += value(n, k) * t;
      });
    }
  }
};

/// The list of directed edges of the next level, from the pairs of one cluster; `doubled`: per graph all (p,q), then all (q,p).
template <class T>
struct ListEdges {
  View1<int> graph_first, cluster_graph;  ///< cluster_ptr, [C]
  CoarseEdges<T> edges;
  bool doubled;
  View1<int> src, dst, feature, reverse, out_ptr, out_item, in_item;

  KOKKOS_INLINE_FUNCTION void operator()(const int p) const {
    const int begin = edges.row_ptr(p), end = edges.row_ptr(p + 1);
    if (p == 0) out_ptr(0) = 0;
    if (!doubled) {
      out_ptr(p + 1) = end;
      for (int r = begin; r < end; ++r) {
        src(r) = p;
        dst(r) = edges.end(r);
        in_item(r) = reverse(r) = edges.reverse(r);
      }
      return;
    }
    const int g = cluster_graph(p), first = edges.row_ptr(graph_first(g)), second = edges.row_ptr(graph_first(g + 1));
    out_ptr(p + 1) = 2 * end;
    // Pair r of this graph stands at first + r as (p,q) and at second + r as (q,p).
    for (int r = begin; r < end; ++r) {
      const int q = edges.end(r), back = edges.reverse(r), forth = first + r, swapped = second + r;
      src(forth) = p;
      dst(forth) = q;
      src(swapped) = q;
      dst(swapped) = p;
      feature(forth) = feature(swapped) = r;
      reverse(forth) = forth ^ 1;
      reverse(swapped) = swapped ^ 1;
      const int at = 2 * begin + (r - begin), behind = at + (end - begin);
      out_item(at) = forth;
      out_item(behind) = second + back;
      in_item(at) = first + back;
      in_item(behind) = swapped;
    }
  }
};

/// Items of the exchange of messages at one edge: forward from the sums at its source, backward from those at its end.
template <class T>
struct ExchangeItems {
  View1<int> src, dst, reverse;
  View1<int> in_rows, out_rows;  ///< [M * forward], [M * backward]
  View1<T> in_weight, out_weight;
  View1<std::uint64_t> edge_key, graph_key;
  View1<int> cluster_graph;
  View1<int> row_ptr, graph_first;
  int num_edges;
  bool undirected, doubled;

  KOKKOS_INLINE_FUNCTION void operator()(const int e) const {
    const int back = reverse(e), g = cluster_graph(src(e));
    edge_key(e) = (graph_key(g) << 24) + static_cast<std::uint64_t>(e - (doubled ? 2 : 1) * row_ptr(graph_first(g)));
    if (!undirected) {
      in_rows(2 * e) = num_edges + src(e);
      out_rows(2 * e) = num_edges + dst(e);
      in_rows(2 * e + 1) = out_rows(2 * e + 1) = back;
      in_weight(2 * e) = out_weight(2 * e) = T(1);
      in_weight(2 * e + 1) = out_weight(2 * e + 1) = T(-1);
      return;
    }
    const T half = T(0.5);
    in_rows(3 * e) = num_edges + src(e);
    in_rows(3 * e + 1) = back;
    in_rows(3 * e + 2) = e;
    in_weight(3 * e) = T(1);
    in_weight(3 * e + 1) = in_weight(3 * e + 2) = -half;
    out_rows(4 * e) = num_edges + dst(e);
    out_rows(4 * e + 1) = num_edges + dst(back);
    out_rows(4 * e + 2) = back;
    out_rows(4 * e + 3) = e;
    out_weight(4 * e) = out_weight(4 * e + 1) = half;
    out_weight(4 * e + 2) = out_weight(4 * e + 3) = -half;
  }
};

void fill_strided(const Exec& exec, View1<int> ptr, int stride) {
  Kokkos::parallel_for(
      "gnn_hpc::DiffPool::strides", Rows(exec, 0, ptr.extent_int(0)), KOKKOS_LAMBDA(const int i) { ptr(i) = stride * i; });
}

/// Each item and its reverse with half the weight: sums of (P_e + P_rev(e)) / 2.
template <class T>
void average_items(const Exec& exec, View1<int> ptr, View1<int> item, View1<int> reverse, View1<int> ptr2, View1<int> item2, View1<T> weight) {
  Kokkos::parallel_for(
      "gnn_hpc::DiffPool::average", Rows(exec, 0, item.extent_int(0)), KOKKOS_LAMBDA(const int i) {
        item2(2 * i) = item(i);
        item2(2 * i + 1) = reverse(item(i));
        weight(2 * i) = weight(2 * i + 1) = T(0.5);
      });
  Kokkos::parallel_for(
      "gnn_hpc::DiffPool::average_ptr", Rows(exec, 0, ptr.extent_int(0)), KOKKOS_LAMBDA(const int i) { ptr2(i) = 2 * ptr(i); });
}

void node_keys(const Exec& exec, View1<std::uint64_t> graph_key, View1<int> cluster_graph, View1<int> cluster_ptr, View1<std::uint64_t> key) {
  Kokkos::parallel_for(
      "gnn_hpc::DiffPool::keys", Rows(exec, 0, key.extent_int(0)), KOKKOS_LAMBDA(const int p) {
        const int g = cluster_graph(p);
        key(p) = (graph_key(g) << 24) + static_cast<std::uint64_t>(p - cluster_ptr(g));
      });
}

/// Sums of counts in place; returns the total. Fences.
int scan_counts(const Exec& exec, View1<int> count) {
  int total = 0;
  Kokkos::parallel_scan(
      "gnn_hpc::DiffPool::scan", Rows(exec, 0, count.extent_int(0)),
      KOKKOS_LAMBDA(const int i, int& sum, const bool last) {
        sum += count(i);
        if (last) count(i) = sum;
      },
      total);
  return total;
}

}  // namespace

template <class T>
CoarseEdges<T> DiffPool<T>::coarsen(Step<T>& step, const PoolLevel<T>& level, const Assignment& s, View2<T> features) const {
  Arena& arena = step.arena;
  const auto clusters = static_cast<std::size_t>(level.num_clusters);
  CoarseEdges<T> edges;
  edges.row_ptr = arena.array<int>(clusters + 1);
  const auto position = arena.array<int>(clusters);
  const auto sum = arena.array<double>(clusters);
  Kokkos::deep_copy(step.exec, edges.row_ptr, 0);
  Kokkos::deep_copy(step.exec, position, 0);
  Kokkos::deep_copy(step.exec, sum, 0.0);
  const CoarseRows<T> rows{level, s};
  Kokkos::parallel_for("gnn_hpc::DiffPool::count_pairs", Rows(step.exec, 0, level.num_graphs), CountPairs<T>{rows, position, edges.row_ptr});
  edges.num_pairs = scan_counts(step.exec, edges.row_ptr);
  const auto pairs = static_cast<std::size_t>(edges.num_pairs);
  edges.begin = arena.array<int>(pairs);
  edges.end = arena.array<int>(pairs);
  edges.reverse = arena.array<int>(pairs);
  edges.weight = arena.array<double>(pairs);
  edges.feature = arena.matrix<T>(pairs, options.adjacency ? 1 : features.extent(1));
  Kokkos::parallel_for("gnn_hpc::DiffPool::fill_pairs", Rows(step.exec, 0, level.num_graphs),
                       FillPairs<T>{rows, edges, features, sum, position, options.adjacency, options.scale});
  return edges;
}

template <class T>
void DiffPool<T>::coarsen_backward(Step<T>& step, const PoolLevel<T>& level, const Assignment& s, const CoarseEdges<T>& edges, View2<T> features,
                                   View2<T> dfeature, View2<T> dfeatures) const {
  ArenaFrame frame(step.arena);
  const auto clusters = static_cast<std::size_t>(level.num_clusters);
  const auto position = step.arena.template array<int>(clusters);
  const auto constant = step.arena.template array<double>(clusters);
  if (dfeatures.extent(0) > 0) Kokkos::deep_copy(step.exec, dfeatures, T(0));
  Kokkos::parallel_for("gnn_hpc::DiffPool::pairs_backward", Rows(step.exec, 0, level.num_graphs),
                       PairsBackward<T>{{level, s}, edges, features, dfeature, dfeatures, position, constant, options.adjacency, options.scale});
}

template <class T>
typename DiffPool<T>::Next DiffPool<T>::next_level(Step<T>& step, const PoolLevel<T>& level, const Assignment& s, const CoarseEdges<T>& edges,
                                                   View1<int> next_ptr, int next_clusters, int depth, bool undirected) const {
  Arena& arena = step.arena;
  const Exec& exec = step.exec;
  const bool doubled = options.doubled;
  const int nodes = level.num_clusters, num_edges = (doubled ? 2 : 1) * edges.num_pairs;
  const auto m = static_cast<std::size_t>(num_edges), n = static_cast<std::size_t>(nodes);
  const auto src = arena.array<int>(m), dst = arena.array<int>(m), reverse = arena.array<int>(m), in_item = arena.array<int>(m);
  const auto feature = doubled ? arena.array<int>(m) : View1<int>(), out_item = doubled ? arena.array<int>(m) : View1<int>();
  const auto out_ptr = arena.array<int>(n + 1);
  Kokkos::deep_copy(exec, out_ptr, 0);
  Kokkos::parallel_for("gnn_hpc::DiffPool::list_edges", Rows(exec, 0, nodes),
                       ListEdges<T>{level.cluster_ptr, s.cluster_graph, edges, doubled, src, dst, feature, reverse, out_ptr, out_item, in_item});

  Next next;
  PoolLevel<T>& l = next.level;
  l.num_graphs = level.num_graphs;
  l.num_nodes = nodes;
  l.num_clusters = next_clusters;
  l.num_edges = num_edges;
  l.node_ptr = level.cluster_ptr;
  l.cluster_ptr = next_ptr;
  l.node_graph = s.cluster_graph;
  l.graph_key = level.graph_key;
  l.row_nodes.num_rows = nodes;
  l.out_ptr = out_ptr;
  l.out_item = out_item;
  l.dst = dst;
  l.feature = feature;
  l.repeats = doubled ? 2 : 1;

  MessagePlan<T>& plan = next.plan;
  plan.num_h0 = num_edges;
  plan.num_rows_z = nodes;
  plan.h0_node = src;
  plan.h0_edge = feature;
  plan.by_node = {nodes, out_ptr, out_item, {}};
  plan.by_edge.num_rows = edges.num_pairs;
  if (doubled) {  // pair r stands twice; where, follows from its row in the list of edges that leave p and in that of those that enter
    plan.by_edge.ptr = arena.array<int>(static_cast<std::size_t>(edges.num_pairs) + 1);
    plan.by_edge.item = arena.array<int>(m);
    fill_strided(exec, plan.by_edge.ptr, 2);
    const auto by_pair = plan.by_edge.item;
    const auto row_ptr = edges.row_ptr, begin = edges.begin, first = level.cluster_ptr, graph = s.cluster_graph;
    Kokkos::parallel_for(
        "gnn_hpc::DiffPool::twice", Rows(exec, 0, edges.num_pairs), KOKKOS_LAMBDA(const int r) {
          const int g = graph(begin(r));
          by_pair(2 * r) = row_ptr(first(g)) + r;
          by_pair(2 * r + 1) = row_ptr(first(g + 1)) + r;
        });
  }
  const std::size_t forward = undirected ? 3 : 2, backward = undirected ? 4 : 2;
  const auto in_rows = arena.array<int>(forward * m), out_rows = arena.array<int>(backward * m);
  const auto in_weight = arena.array<T>(forward * m), out_weight = arena.array<T>(backward * m);
  const auto in_ptr = arena.array<int>(m + 1), back_ptr = arena.array<int>(m + 1);
  plan.edge_key = arena.array<std::uint64_t>(m);
  plan.z_key = arena.array<std::uint64_t>(n);
  fill_strided(exec, in_ptr, static_cast<int>(forward));
  fill_strided(exec, back_ptr, static_cast<int>(backward));
  node_keys(exec, level.graph_key, s.cluster_graph, level.cluster_ptr, plan.z_key);
  Kokkos::parallel_for("gnn_hpc::DiffPool::exchange", Rows(exec, 0, num_edges),
                       ExchangeItems<T>{src, dst, reverse, in_rows, out_rows, in_weight, out_weight, plan.edge_key, level.graph_key, s.cluster_graph,
                                        edges.row_ptr, level.cluster_ptr, num_edges, undirected, doubled});
  typename MessagePlan<T>::Layer layer;
  layer.num_rows = num_edges;
  layer.residual_out.num_rows = num_edges;
  layer.in.sums = {nodes, out_ptr, in_item, {}};
  if (undirected) {
    layer.in.sums = {nodes, arena.array<int>(n + 1), arena.array<int>(2 * m), arena.array<T>(2 * m)};
    average_items(exec, out_ptr, in_item, reverse, layer.in.sums.ptr, layer.in.sums.item, layer.in.sums.weight);
  }
  layer.in.rows = {num_edges, in_ptr, in_rows, in_weight};
  layer.out.sums = {nodes, out_ptr, out_item, {}};
  layer.out.rows = {num_edges, back_ptr, out_rows, out_weight};
  plan.steps.assign(static_cast<std::size_t>(depth) - 1, layer);
  plan.z_by_node.num_rows = nodes;
  plan.z_in = {nodes, out_ptr, in_item, {}};
  plan.z_out = {num_edges, {}, dst, {}};
  return next;
}

#define GNN_HPC_DIFF_POOL(T)                                                                                                                         \
  template CoarseEdges<T> DiffPool<T>::coarsen(Step<T>&, const PoolLevel<T>&, const Assignment&, View2<T>) const;                                    \
  template void DiffPool<T>::coarsen_backward(Step<T>&, const PoolLevel<T>&, const Assignment&, const CoarseEdges<T>&, View2<T>, View2<T>, View2<T>) \
      const;                                                                                                                                         \
  template DiffPool<T>::Next DiffPool<T>::next_level(Step<T>&, const PoolLevel<T>&, const Assignment&, const CoarseEdges<T>&, View1<int>, int, int,  \
                                                     bool) const;

GNN_HPC_DIFF_POOL(float)
GNN_HPC_DIFF_POOL(double)

}  // namespace gnn_hpc
