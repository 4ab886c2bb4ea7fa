// SPDX-License-Identifier: Apache-2.0
#include "nn/diff_pool.hpp"

#include "base/error.hpp"
#include "nn/channels.hpp"
#include "nn/gather_row.hpp"

#include <algorithm>
#include <climits>

namespace gnn_hpc {

namespace {

constexpr double kLeast = 1e-8;  // S below this counts as this in the entropy

/// Row of S of one node.
template <class T>
struct AssignNode {
  PoolLevel<T> level;
  View2<T> logits;
  View2<double> value, dvalue;
  View2<int> cluster;
  View1<int> used;
  int slots, topk;
  bool batch_columns;

  KOKKOS_INLINE_FUNCTION void operator()(const int n) const {
    const int g = level.node_graph(n), clusters = level.cluster_ptr(g + 1) - level.cluster_ptr(g);
    const int row = level.node_row.extent(0) == 0 ? n : level.node_row(n);
    const T* own = &logits(row, batch_columns ? level.cluster_ptr(g) : 0);
    const int k = topk == 0 || topk > clusters ? clusters : topk;
    used(n) = k;
    if (k == clusters) {
      for (int s = 0; s < k; ++s) cluster(n, s) = s;
    } else {
      // The k largest so far in falling order; an equal logit later in the row stays behind.
      for (int p = 0; p < clusters; ++p) {
        int at = p < k ? p : k;
        while (at > 0 && own[p] > own[cluster(n, at - 1)]) --at;
        if (at == k) continue;
        for (int s = p < k ? p : k - 1; s > at; --s) cluster(n, s) = cluster(n, s - 1);
        cluster(n, at) = p;
      }
      for (int s = 1; s < k; ++s) {
        const int p = cluster(n, s);
        int at = s;
        for (; at > 0 && cluster(n, at - 1) > p; --at) cluster(n, at) = cluster(n, at - 1);
        cluster(n, at) = p;
      }
    }
    double largest = static_cast<double>(own[cluster(n, 0)]), sum = 0.0;
    for (int s = 1; s < k; ++s) largest = Kokkos::fmax(largest, static_cast<double>(own[cluster(n, s)]));
    for (int s = 0; s < k; ++s) {
      const double e = Kokkos::exp(static_cast<double>(own[cluster(n, s)]) - largest);
      value(n, s) = e;
      sum += e;
    }
    for (int s = 0; s < k; ++s) {
      value(n, s) /= sum;
      dvalue(n, s) = 0.0;
    }
    for (int s = k; s < slots; ++s) {
      value(n, s) = 0.0;
      dvalue(n, s) = 0.0;
      cluster(n, s) = 0;
    }
  }
};

/// Members of the clusters of one graph by counting.
template <class T>
struct MembersOfGraph {
  PoolLevel<T> level;
  Assignment s;

  KOKKOS_INLINE_FUNCTION void operator()(const int g) const {
    const int first = level.cluster_ptr(g), clusters = level.cluster_ptr(g + 1) - first;
    int* ptr = &s.member_ptr(first + g);
    for (int p = 0; p <= clusters; ++p) ptr[p] = 0;
    for (int p = 0; p < clusters; ++p) s.cluster_graph(first + p) = g;
    const int begin = level.node_ptr(g), end = level.node_ptr(g + 1);
    for (int n = begin; n < end; ++n) {
      for (int k = 0; k < s.used(n); ++k) ++ptr[s.cluster(n, k)];
    }
    int at = begin * s.slots;
    for (int p = 0; p <= clusters; ++p) {
      const int count = ptr[p];
      ptr[p] = at;
      at += count;
    }
    for (int n = begin; n < end; ++n) {
      for (int k = 0; k < s.used(n); ++k) s.member(ptr[s.cluster(n, k)]++) = n * s.slots + k;
    }
    for (int p = clusters; p > 0; --p) ptr[p] = ptr[p - 1];
    ptr[0] = begin * s.slots;
  }
};

/// dL_p = S_p (dS_p - sum_q S_q dS_q), summed over the nodes of a row of logits.
template <class T>
struct AssignBackward {
  PoolLevel<T> level;
  Assignment s;
  View2<T> dlogits;
  RowSum<T> nodes;
  bool batch_columns;

  KOKKOS_INLINE_FUNCTION void operator()(const int r) const {
    for (int c = 0; c < dlogits.extent_int(1); ++c) dlogits(r, c) = T(0);
    for (int k = nodes.first(r); k < nodes.last(r); ++k) {
      const int n = nodes.row(k), used = s.used(n);
      const int shift = batch_columns ? level.cluster_ptr(level.node_graph(n)) : 0;
      double mean = 0.0;
      for (int i = 0; i < used; ++i) mean += s.value(n, i) * s.dvalue(n, i);
      for (int i = 0; i < used; ++i) {
        dlogits(r, shift + s.cluster(n, i)) += static_cast<T>(s.value(n, i) * (s.dvalue(n, i) - mean));
      }
    }
  }
};

/// Link and entropy losses of one graph and their gradients.
template <class T>
struct AuxiliaryOfGraph {
  PoolLevel<T> level;
  Assignment s;
  PoolOptions options;
  double factor;
  View1<double> row;   ///< [C] one row of S'S at a time; zero between
  View2<double> pull;  ///< [N,K] A S - S (S'S)
  View2<double> out;

  /// Adds A S to `pull`; returns the sum over edges of A_uv s_u.s_v.
  KOKKOS_INLINE_FUNCTION double edges_of(int n, double weight) const {
    double total = 0.0;
    for (int k = level.out_ptr(n); k < level.out_ptr(n + 1); ++k) {
      const int v = level.dst(level.out_item.extent(0) == 0 ? k : level.out_item(k));
      int i = 0, j = 0;
      while (i < s.used(n) && j < s.used(v)) {  // both ascend
        const int a = s.cluster(n, i), b = s.cluster(v, j);
        if (a == b) {
          pull(n, i) += weight * s.value(v, j);
          total += weight * s.value(n, i) * s.value(v, j);
        }
        i += a <= b ? 1 : 0;
        j += b <= a ? 1 : 0;
      }
    }
    return total;
  }

  KOKKOS_INLINE_FUNCTION void operator()(const int g) const {
    const int begin = level.node_ptr(g), end = level.node_ptr(g + 1), nodes = end - begin;
    const int first = level.cluster_ptr(g), clusters = level.cluster_ptr(g + 1) - first;
    if (nodes == 0) {
      out(g, 0) = out(g, 1) = 0.0;
      return;
    }
    out(g, 0) = options.lp_max_nodes > 0 && nodes > options.lp_max_nodes ? 0.0 : link(begin, end, first, clusters, g);
    double entropy = 0.0;
    const double unit = options.lambda_ent / nodes;
    for (int n = begin; n < end; ++n) {
      for (int k = 0; k < s.used(n); ++k) {
        const double v = s.value(n, k), floor = v > kLeast ? v : kLeast, log = Kokkos::log(floor);
        entropy -= floor * log;
        if (v >= kLeast) s.dvalue(n, k) -= factor * unit * (log + 1.0);
      }
      entropy -= (clusters - s.used(n)) * (kLeast * Kokkos::log(kLeast));
    }
    out(g, 1) = unit * entropy;
  }

  KOKKOS_INLINE_FUNCTION double link(int begin, int end, int first, int clusters, int g) const {
    double square = 0.0, dot = 0.0;
    for (int p = 0; p < clusters; ++p) {
      const int from = s.member_ptr(first + g + p), to = s.member_ptr(first + g + p + 1);
      for (int m = from; m < to; ++m) {
        const int n = s.member(m) / s.slots, k = s.member(m) % s.slots;
        for (int q = 0; q < s.used(n); ++q) row(first + s.cluster(n, q)) += s.value(n, k) * s.value(n, q);
      }
      for (int m = from; m < to; ++m) {
        const int n = s.member(m) / s.slots, k = s.member(m) % s.slots;
        double sum = 0.0;
        for (int q = 0; q < s.used(n); ++q) sum += row(first + s.cluster(n, q)) * s.value(n, q);
        pull(n, k) = -sum;
      }
      for (int m = from; m < to; ++m) {
        const int n = s.member(m) / s.slots;
        for (int q = 0; q < s.used(n); ++q) {
          double& entry = row(first + s.cluster(n, q));
          square += entry * entry;
          entry = 0.0;
        }
      }
    }
    // Entries of A: 1 however often a pair is listed, or the scale for every time.
    const double entry = options.scale == 1.0 ? 1.0 : options.scale * level.repeats, weight = entry / level.repeats;
    for (int n = begin; n < end; ++n) dot += edges_of(n, weight);
    square += entry * weight * (level.out_ptr(end) - level.out_ptr(begin)) - 2.0 * dot;
    const double norm = Kokkos::sqrt(square);
    const double pulled = -2.0 * options.lambda_lp * factor / norm;
    for (int n = begin; n < end; ++n) {
      for (int k = 0; k < s.used(n); ++k) s.dvalue(n, k) += pulled * pull(n, k);
    }
    return options.lambda_lp * norm;
  }
};

/// V' of one cluster.
template <class T>
struct PoolCluster {
  PoolLevel<T> level;
  Assignment s;
  View2<T> z, v;

  template <class Member>
  KOKKOS_INLINE_FUNCTION void at(const Member& team, int p) const {
    const int g = s.cluster_graph(p), width = z.extent_int(1);
    T* out = &v(p, 0);
    each_channel(team, width, [&](const int c) { out[c] = T(0); });
    for (int m = s.member_ptr(p + g); m < s.member_ptr(p + g + 1); ++m) {
      const int n = s.member(m) / s.slots;
      const T weight = static_cast<T>(s.value(n, s.member(m) % s.slots));
      const T* in = &z(level.node_row.extent(0) == 0 ? n : level.node_row(n), 0);
      each_channel(team, width, [&](const int c) { out[c] += weight * in[c]; });
    }
  }
};

/// x.y over a row.
template <class T, class Member>
KOKKOS_INLINE_FUNCTION double row_dot(const Member& team, int width, const T* x, const T* y) {
  if constexpr (kExecIsHost) {
    constexpr int kLanes = 16;
    T part[kLanes] = {};
    int c = 0;
    for (; c + kLanes <= width; c += kLanes) {
      GNN_HPC_SIMD
      for (int j = 0; j < kLanes; ++j) part[j] += x[c + j] * y[c + j];
    }
    double sum = 0.0;
    for (; c < width; ++c) sum += static_cast<double>(x[c] * y[c]);
    for (int j = 0; j < kLanes; ++j) sum += static_cast<double>(part[j]);
    return sum;
  } else {
    double sum = 0.0;
    Kokkos::parallel_reduce(
        Kokkos::TeamVectorRange(team, width), [&](const int c, double& s) { s += static_cast<double>(x[c]) * static_cast<double>(y[c]); }, sum);
    return sum;
  }
}

/// dz of one row of z and dS of its nodes.
template <class T>
struct PoolBackward {
  PoolLevel<T> level;
  Assignment s;
  RowSum<T> nodes;
  View2<T> z, dv, dz;

  template <class Member>
  KOKKOS_INLINE_FUNCTION void at(const Member& team, int r) const {
    const int width = z.extent_int(1);
    T* out = &dz(r, 0);
    each_channel(team, width, [&](const int c) { out[c] = T(0); });
    for (int m = nodes.first(r); m < nodes.last(r); ++m) {
      const int n = nodes.row(m), first = level.cluster_ptr(level.node_graph(n));
      for (int k = 0; k < s.used(n); ++k) {
        const T weight = static_cast<T>(s.value(n, k));
        const T* in = &dv(first + s.cluster(n, k), 0);
        each_channel(team, width, [&](const int c) { out[c] += weight * in[c]; });
        const double dot = row_dot(team, width, &z(r, 0), in);
        Kokkos::single(Kokkos::PerTeam(team), [&]() { s.dvalue(n, k) += dot; });
      }
    }
  }
};

/// f.at(team, r) for every row.
template <class F>
void for_each_row(const char* label, const Exec& exec, int rows, const F& f) {
  Kokkos::parallel_for(
      label, Kokkos::TeamPolicy<Exec>(exec, rows, team_size()), KOKKOS_LAMBDA(const Team& team) { f.at(team, team.league_rank()); });
}

}  // namespace

template <class T>
Assignment DiffPool<T>::assign(Step<T>& step, const PoolLevel<T>& level, View2<T> logits, int largest_clusters) const {
  Assignment s;
  s.slots = options.topk == 0 ? largest_clusters : std::min(options.topk, largest_clusters);
  const auto nodes = static_cast<std::size_t>(level.num_nodes), slots = static_cast<std::size_t>(s.slots);
  if (nodes * slots > static_cast<std::size_t>(INT_MAX)) {
    throw Error(Exit::usage,
                fmt::format("a batch of {} nodes with {} clusters each: no more than 2^31 shares; lower train.batch_size", nodes, slots));
  }
  Arena& arena = step.arena;
  s.value = arena.matrix<double>(nodes, slots);
  s.dvalue = arena.matrix<double>(nodes, slots);
  s.cluster = arena.matrix<int>(nodes, slots);
  s.used = arena.array<int>(nodes);
  s.member_ptr = arena.array<int>(static_cast<std::size_t>(level.num_clusters + level.num_graphs));
  s.member = arena.array<int>(nodes * slots);
  s.cluster_graph = arena.array<int>(static_cast<std::size_t>(level.num_clusters));
  Kokkos::parallel_for("gnn_hpc::DiffPool::assign", Rows(step.exec, 0, level.num_nodes),
                       AssignNode<T>{level, logits, s.value, s.dvalue, s.cluster, s.used, s.slots, options.topk, options.batch_columns});
  Kokkos::parallel_for("gnn_hpc::DiffPool::members", Rows(step.exec, 0, level.num_graphs), MembersOfGraph<T>{level, s});
  return s;
}

template <class T>
void DiffPool<T>::assign_backward(Step<T>& step, const PoolLevel<T>& level, const Assignment& s, View2<T> dlogits) const {
  Kokkos::parallel_for("gnn_hpc::DiffPool::assign_backward", Rows(step.exec, 0, dlogits.extent_int(0)),
                       AssignBackward<T>{level, s, dlogits, RowSum<T>(level.row_nodes, dlogits), options.batch_columns});
}

template <class T>
void DiffPool<T>::auxiliary(Step<T>& step, const PoolLevel<T>& level, const Assignment& s, double factor, View2<double> out) const {
  ArenaFrame frame(step.arena);
  const auto row = step.arena.template array<double>(static_cast<std::size_t>(level.num_clusters));
  const auto pull = step.arena.template matrix<double>(s.value.extent(0), s.value.extent(1));
  Kokkos::deep_copy(step.exec, row, 0.0);
  Kokkos::parallel_for("gnn_hpc::DiffPool::auxiliary", Rows(step.exec, 0, level.num_graphs),
                       AuxiliaryOfGraph<T>{level, s, options, factor, row, pull, out});
}

template <class T>
void DiffPool<T>::pool(Step<T>& step, const PoolLevel<T>& level, const Assignment& s, View2<T> z, View2<T> v) const {
  for_each_row("gnn_hpc::DiffPool::pool", step.exec, level.num_clusters, PoolCluster<T>{level, s, z, v});
}

template <class T>
void DiffPool<T>::pool_backward(Step<T>& step, const PoolLevel<T>& level, const Assignment& s, View2<T> z, View2<T> dv, View2<T> dz) const {
  for_each_row("gnn_hpc::DiffPool::pool_backward", step.exec, dz.extent_int(0), PoolBackward<T>{level, s, RowSum<T>(level.row_nodes, z), z, dv, dz});
}

#define GNN_HPC_DIFF_POOL(T)                                                                                           \
  template Assignment DiffPool<T>::assign(Step<T>&, const PoolLevel<T>&, View2<T>, int) const;                         \
  template void DiffPool<T>::assign_backward(Step<T>&, const PoolLevel<T>&, const Assignment&, View2<T>) const;        \
  template void DiffPool<T>::auxiliary(Step<T>&, const PoolLevel<T>&, const Assignment&, double, View2<double>) const; \
  template void DiffPool<T>::pool(Step<T>&, const PoolLevel<T>&, const Assignment&, View2<T>, View2<T>) const;         \
  template void DiffPool<T>::pool_backward(Step<T>&, const PoolLevel<T>&, const Assignment&, View2<T>, View2<T>, View2<T>) const;

GNN_HPC_DIFF_POOL(float)
GNN_HPC_DIFF_POOL(double)

}  // namespace gnn_hpc
