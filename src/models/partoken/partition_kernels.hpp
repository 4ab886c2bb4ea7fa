// SPDX-License-Identifier: Apache-2.0
#pragma once

// The kernels of the partitioner: one team a chain. On a CPU a team is a thread and the loops over channels are vector instructions.
#include "models/partoken/partitioner.hpp"
#include "nn/activation.hpp"
#include "nn/channels.hpp"

#include <climits>
#include <cstring>

namespace gnn_hpc::partoken {

/// Neighbours from the edge lists: O(degree) a question.
struct SparseEdges {
  View1<int> out_ptr, out_edge, dst;
  KOKKOS_INLINE_FUNCTION int out_degree(int i) const { return out_ptr(i + 1) - out_ptr(i); }
  template <class F>
  KOKKOS_INLINE_FUNCTION void each_out(int i, const F& f) const {
    for (int k = out_ptr(i); k < out_ptr(i + 1); ++k) f(dst(out_edge(k)));
  }
};

/// The same from an adjacency matrix of every chain: O(n) a question, O(n^2) memory.
struct DenseEdges {
  View1<int> graph_ptr, node_graph, degree;
  View1<std::int64_t> begin;     ///< [B+1] of each chain's matrix
  View1<std::uint8_t> adjacent;  ///< [sum n^2] row i of a chain: 1 where an edge leads from i
  KOKKOS_INLINE_FUNCTION int out_degree(int i) const { return degree(i); }
  template <class F>
  KOKKOS_INLINE_FUNCTION void each_out(int i, const F& f) const {
    const int b = node_graph(i), n0 = graph_ptr(b), n = graph_ptr(b + 1) - n0;
    const std::int64_t row = begin(b) + static_cast<std::int64_t>(i - n0) * n;
    for (int j = 0; j < n; ++j) {
      if (adjacent(row + j) != 0) f(n0 + j);
    }
  }
};

/// a . b in eight partial sums, so that a CPU takes vector instructions.
template <class T>
KOKKOS_INLINE_FUNCTION T dot(const T* a, const T* b, int n) {
  T part[8] = {};
  int i = 0;
  for (; i + 8 <= n; i += 8) {
    GNN_HPC_SIMD
    for (int j = 0; j < 8; ++j) part[j] += a[i + j] * b[i + j];
  }
  for (; i < n; ++i) part[0] += a[i] * b[i];
  return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
}

/// y[r] = W[r,:] . x + bias[r], the rows shared out among the team; an empty bias is 0.
template <class T>
KOKKOS_INLINE_FUNCTION void product(const Team& team, const View2<T>& w, const T* x, const View1<T>& bias, T* y) {
  const int columns = w.extent_int(1);
  Kokkos::parallel_for(Kokkos::TeamThreadRange(team, w.extent_int(0)),
                       [&](const int r) { y[r] = dot(&w(r, 0), x, columns) + (bias.extent(0) > 0 ? bias(r) : T(0)); });
}

/// y[c] += sum_r W[r,c] x[r]: a thread of the team keeps to its columns.
template <class T>
KOKKOS_INLINE_FUNCTION void add_transposed_product(const Team& team, const View2<T>& w, const T* x, T* y) {
  const int columns = w.extent_int(1);
  for (int r = 0; r < w.extent_int(0); ++r) {
    const T factor = x[r];
    const T* row = &w(r, 0);
    each_channel(team, columns, [&](const int c) { y[c] += factor * row[c]; });
  }
}

/// Numbers of (0.5, 1] in the order of their bits.
KOKKOS_INLINE_FUNCTION std::uint64_t bits_of(float x) {
  std::uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
KOKKOS_INLINE_FUNCTION std::uint64_t bits_of(double x) {
  std::uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

/// Weights of the partitioner as kernels read them.
template <class T>
struct PartitionWeights {
  View2<T> select_context;  ///< [H,H] of W0
  View1<T> select;          ///< [H] w3
  View1<T> select_bias;     ///< [1]
  View2<T> query;           ///< [64,D]
  View2<T> threshold_hidden;
  View1<T> threshold_hidden_bias, threshold, threshold_bias;
  View2<T> context;  ///< [H,D]
  View1<T> context_bias;
  View1<T> epoch;  ///< [1]
};

/// Noise of the seeds: -log(-log(u + 1e-8) + 1e-8).
struct SeedNoise {
  bool on = false;
  View2<double> given;  ///< [S,N] uniforms; empty: drawn
  RandomKey key;
  View1<std::uint64_t> graph_key;
  KOKKOS_INLINE_FUNCTION double operator()(int b, int c, int i, int place) const {
    if (!on) return 0.0;
    const double u =
        given.extent(0) > 0 ? given(c, i) : key.fold(static_cast<std::uint64_t>(c)).fold(graph_key(b)).uniform(static_cast<std::uint64_t>(place));
    return -Kokkos::log(-Kokkos::log(u + 1e-8) + 1e-8);
  }
};

KOKKOS_INLINE_FUNCTION double temperature(const PartitionerOptions& o, double epoch) {
  const double tau = o.tau_init * Kokkos::pow(o.tau_decay, epoch), low = o.tau_min > 1e-6 ? o.tau_min : 1e-6;
  return tau > low ? tau : low;
}

/// The forward pass of one chain.
template <class T, class Edges>
struct PartitionKernel {
  PartitionerOptions options;
  PartitionWeights<T> weights;
  typename Partitioner<T>::Saved s;
  View1<int> graph_ptr;
  View2<T> context0;  ///< [B,H] of the mean
  View1<int> level;   ///< [N] scratch: steps from the seed, -1: not reached
  Edges edges;
  SeedNoise noise;

  static constexpr int kKeys = Partitioner<T>::kKeyWidth, kHidden = Partitioner<T>::kThresholdWidth;

  /// Where a team stands: chain b, residues [begin, end), cluster c in row b S + c.
  struct At {
    int b, begin, end, c, row;
    T tau;
    KOKKOS_INLINE_FUNCTION int residues() const { return end - begin; }
  };

  KOKKOS_INLINE_FUNCTION void operator()(const Team& team) const {
    const int b = team.league_rank(), clusters = options.max_clusters, width = options.width, hidden = options.hidden;
    At at{b, graph_ptr(b), graph_ptr(b + 1), 0, b * clusters, static_cast<T>(temperature(options, static_cast<double>(weights.epoch(0))))};
    Kokkos::parallel_for(Kokkos::TeamThreadRange(team, at.residues()), [&](const int k) { s.assign(at.begin + k) = -1; });
    each_channel(team, hidden, [&](const int j) { s.local(at.row, width + j) = context0(b, j); });
    team.team_barrier();
    int taken = 0;
    bool active = true;
    for (; at.c < clusters; ++at.c, ++at.row) {
      if (at.c > 0) active = active && taken / (at.residues() + 1e-8) < options.termination_threshold;
      if (active && taken < at.residues())
        taken += cluster(team, at);
      else
        no_cluster(team, at);
    }
  }

  /// Everything of a cluster that a chain does not have; the context stays.
  KOKKOS_INLINE_FUNCTION void no_cluster(const Team& team, const At& at) const {
    each_channel(team, options.width, [&](const int d) {
      s.clusters(at.row, d) = T(0);
      s.local(at.row, d) = T(0);
    });
    each_channel(team, Partitioner<T>::kLocal, [&](const int k) { s.local(at.row, options.width + options.hidden + k) = T(0); });
    each_channel(team, options.hidden, [&](const int j) { s.shift(at.row, j) = T(0); });
    each_channel(team, kKeys, [&](const int j) { s.query(at.row, j) = T(0); });
    each_channel(team, kHidden, [&](const int j) { s.hidden(at.row, j) = T(0); });
    Kokkos::parallel_for(Kokkos::TeamThreadRange(team, at.residues()), [&](const int k) {
      s.soft(at.c, at.begin + k) = T(0);
      s.logit(at.c, at.begin + k) = T(0);
    });
    Kokkos::single(Kokkos::PerTeam(team), [&] {
      s.theta(at.row) = T(0);
      s.gap(at.row) = 0.0;
      s.seed(at.row) = -1;
      s.candidates(at.row) = s.members(at.row) = 0;
    });
    if (at.c + 1 < options.max_clusters) {
      each_channel(team, options.hidden, [&](const int j) { s.local(at.row + 1, options.width + j) = s.local(at.row, options.width + j); });
    }
    team.team_barrier();
  }

  /// Returns the number of residues that joined.
  KOKKOS_INLINE_FUNCTION int cluster(const Team& team, const At& at) const {
    seed_logits(team, at);
    const int seed = choose_seed(team, at);
    Kokkos::single(Kokkos::PerTeam(team), [&] {
      s.assign(seed) = at.c;
      s.seed(at.row) = seed;
    });
    each_channel(team, options.width, [&](const int d) { s.local(at.row, d) = s.x(seed, d); });
    team.team_barrier();
    const int count = options.cluster_size_max > 1 ? find_candidates(team, at, seed) : 0;
    threshold(team, at, seed, count);
    const int joined = join(team, at, count);
    embed(team, at, seed, count, joined);
    return joined + 1;
  }

  /// l_i = w3 . drop(relu(W0 [x_i ; context] + b0)) + b3 of free residues, and y_i = (l_i + noise)/tau in `soft`.
  KOKKOS_INLINE_FUNCTION void seed_logits(const Team& team, const At& at) const {
    const int hidden = options.hidden;
    product(team, weights.select_context, &s.local(at.row, options.width), View1<T>(), &s.shift(at.row, 0));
    team.team_barrier();
    const T* shift = &s.shift(at.row, 0);
    const T* w = &weights.select(0);
    const bool dropped = s.keep.extent(0) > 0;
    const int rows = s.soft.extent_int(1);
    Kokkos::parallel_for(Kokkos::TeamThreadRange(team, at.residues()), [&](const int k) {
      const int i = at.begin + k;
      if (s.assign(i) >= 0) {
        s.logit(at.c, i) = T(0);
        return;
      }
      const T* u = &s.projected(i, 0);
      const T* keep = dropped ? &s.keep(at.c * rows + i, 0) : nullptr;
      T part[8] = {};
      const auto term = [&](const int j) {
        const T v = u[j] + shift[j];
        return w[j] * (v > T(0) ? v : T(0)) * (keep != nullptr ? keep[j] : T(1));
      };
      int j = 0;
      for (; j + 8 <= hidden; j += 8) {
        GNN_HPC_SIMD
        for (int lane = 0; lane < 8; ++lane) part[lane] += term(j + lane);
      }
      for (; j < hidden; ++j) part[0] += term(j);
      const T logit = ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7])) + weights.select_bias(0);
      s.logit(at.c, i) = logit;
      s.soft(at.c, i) = static_cast<T>((static_cast<double>(logit) + noise(at.b, at.c, i, k)) / static_cast<double>(at.tau));
    });
    team.team_barrier();
  }

  /// The free residue of the largest y, the first of equals; `soft` becomes the softmax over the free residues. Residues without edges may be
  /// equal in all they know: rounding, which differs from place to place in a product, must not choose among them.
  KOKKOS_INLINE_FUNCTION int choose_seed(const Team& team, const At& at) const {
    T largest = 0;
    Kokkos::parallel_reduce(
        Kokkos::TeamThreadRange(team, at.residues()),
        [&](const int k, T& best) {
          if (s.assign(at.begin + k) < 0 && s.soft(at.c, at.begin + k) > best) best = s.soft(at.c, at.begin + k);
        },
        Kokkos::Max<T>(largest));
    const T magnitude = largest > T(1) ? largest : (largest < T(-1) ? -largest : T(1)),
            equal = largest - T(sizeof(T) == 4 ? 1e-5 : 1e-11) * magnitude;
    int seed = INT_MAX;
    Kokkos::parallel_reduce(
        Kokkos::TeamThreadRange(team, at.residues()),
        [&](const int k, int& first) {
          if (s.assign(at.begin + k) < 0 && s.soft(at.c, at.begin + k) >= equal && at.begin + k < first) first = at.begin + k;
        },
        Kokkos::Min<int>(seed));
    if (seed == INT_MAX) seed = first_free(team, at);  // not a number: the step is refused, the walk must not leave the memory
    team.team_barrier();
    double sum = 0.0;
    Kokkos::parallel_reduce(
        Kokkos::TeamThreadRange(team, at.residues()),
        [&](const int k, double& part) {
          const int i = at.begin + k;
          const T e = s.assign(i) < 0 ? Kokkos::exp(s.soft(at.c, i) - largest) : T(0);
          s.soft(at.c, i) = e;
          part += static_cast<double>(e);
        },
        sum);
    team.team_barrier();
    const T scale = static_cast<T>(1.0 / sum);
    Kokkos::parallel_for(Kokkos::TeamThreadRange(team, at.residues()), [&](const int k) { s.soft(at.c, at.begin + k) *= scale; });
    team.team_barrier();
    return seed;
  }
  KOKKOS_INLINE_FUNCTION int first_free(const Team& team, const At& at) const {
    int first = INT_MAX;
    Kokkos::parallel_reduce(
        Kokkos::TeamThreadRange(team, at.residues()),
        [&](const int k, int& found) {
          if (s.assign(at.begin + k) < 0 && at.begin + k < found) found = at.begin + k;
        },
        Kokkos::Min<int>(first));
    return first;
  }

  /// Free residues within k_hop steps of the seed along the edges, ascending; the walk may pass through any residue.
  KOKKOS_INLINE_FUNCTION int find_candidates(const Team& team, const At& at, int seed) const {
    Kokkos::parallel_for(Kokkos::TeamThreadRange(team, at.residues()), [&](const int k) { level(at.begin + k) = at.begin + k == seed ? 0 : -1; });
    team.team_barrier();
    for (int hop = 1; hop <= options.k_hop; ++hop) {
      Kokkos::parallel_for(Kokkos::TeamThreadRange(team, at.residues()), [&](const int k) {
        if (level(at.begin + k) != hop - 1) return;
        edges.each_out(at.begin + k, [&](const int j) {
          if (level(j) < 0) level(j) = hop;
        });
      });
      team.team_barrier();
    }
    int count = 0;
    Kokkos::parallel_scan(
        Kokkos::TeamThreadRange(team, at.residues()),
        [&](const int k, int& place, const bool final) {
          const int i = at.begin + k;
          if (!is_candidate(i)) return;
          if (final) s.candidate(at.c, at.begin + place) = i;
          ++place;
        },
        count);
    team.team_barrier();
    return count;
  }
  KOKKOS_INLINE_FUNCTION bool is_candidate(int i) const { return level(i) > 0 && s.assign(i) < 0; }

  /// phi, the query and theta of the chain; z and p of the candidates.
  KOKKOS_INLINE_FUNCTION void threshold(const Team& team, const At& at, int seed, int count) const {
    int into = 0, inner = 0;
    Kokkos::parallel_reduce(
        Kokkos::TeamThreadRange(team, count),
        [&](const int k, int& sum) {
          const int i = s.candidate(at.c, at.begin + k);
          int to_seed = 0;
          edges.each_out(i, [&](const int j) {
            to_seed += j == seed ? 1 : 0;
            sum += is_candidate(j) ? 1 : 0;
          });
          const int degree = edges.out_degree(i);
          s.link(at.c, at.begin + k) = static_cast<T>(to_seed) / static_cast<T>(degree > 1 ? degree : 1);
        },
        inner);
    if (count > 0) edges.each_out(seed, [&](const int j) { into += is_candidate(j) ? 1 : 0; });
    const int degree = edges.out_degree(seed);
    const double pairs = 0.5 * count * (count - 1.0);
    const int phi = options.width + options.hidden;
    team.team_barrier();
    Kokkos::single(Kokkos::PerTeam(team), [&] {
      s.candidates(at.row) = count;
      s.local(at.row, phi) = static_cast<T>(Kokkos::log(count + 1.0));
      s.local(at.row, phi + 1) = static_cast<T>(static_cast<double>(into) / (degree > 1 ? degree : 1));
      s.local(at.row, phi + 2) = static_cast<T>(0.5 * inner / (pairs > 1.0 ? pairs : 1.0));
    });
    team.team_barrier();
    product(team, weights.query, &s.local(at.row, 0), View1<T>(), &s.query(at.row, 0));
    product(team, weights.threshold_hidden, &s.local(at.row, 0), weights.threshold_hidden_bias, &s.hidden(at.row, 0));
    team.team_barrier();
    each_channel(team, kHidden, [&](const int j) { s.hidden(at.row, j) = s.hidden(at.row, j) > T(0) ? s.hidden(at.row, j) : T(0); });
    team.team_barrier();
    const T theta = dot(&weights.threshold(0), &s.hidden(at.row, 0), kHidden) + weights.threshold_bias(0);
    Kokkos::single(Kokkos::PerTeam(team), [&] { s.theta(at.row) = theta; });
    Kokkos::parallel_for(Kokkos::TeamThreadRange(team, count), [&](const int k) {
      const int i = s.candidate(at.c, at.begin + k);
      const T score = dot(&s.keys(i, 0), &s.query(at.row, 0), kKeys) / T(8) + T(Partitioner<T>::kLinkWeight) * s.link(at.c, at.begin + k);
      s.p(at.c, at.begin + k) = T(1) / (T(1) + Kokkos::exp((theta - score) / at.tau));
    });
    team.team_barrier();
  }

  KOKKOS_INLINE_FUNCTION int count_at_least(const Team& team, const At& at, int count, std::uint64_t bits) const {
    int found = 0;
    Kokkos::parallel_reduce(
        Kokkos::TeamThreadRange(team, count), [&](const int k, int& sum) { sum += bits_of(s.p(at.c, at.begin + k)) >= bits ? 1 : 0; }, found);
    return found;
  }

  /// Only the `cap` largest p stay, of equal ones the first; the others become 0. The cap-th largest is found by halving the interval of the
  /// numbers of (0.5, 1], in which it lies.
  KOKKOS_INLINE_FUNCTION void trim(const Team& team, const At& at, int count, int cap) const {
    std::uint64_t low = bits_of(T(0.5)), high = bits_of(T(1)) + 1;
    while (high - low > 1) {
      const std::uint64_t middle = low + (high - low) / 2;
      (count_at_least(team, at, count, middle) >= cap ? low : high) = middle;
    }
    const int equals = cap - count_at_least(team, at, count, low + 1);
    int ignored = 0;
    Kokkos::parallel_scan(
        Kokkos::TeamThreadRange(team, count),
        [&](const int k, int& place, const bool final) {
          const std::uint64_t bits = bits_of(s.p(at.c, at.begin + k));
          const bool equal = bits == low;
          if (final && (bits < low || (equal && place >= equals))) s.p(at.c, at.begin + k) = T(0);
          place += equal ? 1 : 0;
        },
        ignored);
    team.team_barrier();
  }

  /// Residues of p > 0.5 join the cluster; returns how many.
  KOKKOS_INLINE_FUNCTION int join(const Team& team, const At& at, int count) const {
    const int cap = options.cluster_size_max - 1;
    const std::uint64_t half = bits_of(T(0.5)) + 1;
    int joined = count_at_least(team, at, count, half);
    team.team_barrier();
    if (joined > cap) {
      trim(team, at, count, cap);
      joined = cap;
    }
    double expected = 0.0;
    Kokkos::parallel_reduce(
        Kokkos::TeamThreadRange(team, count),
        [&](const int k, double& sum) {
          const T p = s.p(at.c, at.begin + k);
          if (p > T(0.5)) s.assign(s.candidate(at.c, at.begin + k)) = at.c;
          sum += static_cast<double>(p);
        },
        expected);
    const double wanted = 2.0 + 3.0 * static_cast<double>(s.local(at.row, options.width + options.hidden));
    const double mu = wanted > options.cluster_size_max ? options.cluster_size_max : wanted;
    Kokkos::single(Kokkos::PerTeam(team), [&] {
      s.gap(at.row) = expected - mu;
      s.members(at.row) = joined + 1;
    });
    team.team_barrier();
    return joined;
  }

  /// The mean of the members, and the next cluster's context.
  KOKKOS_INLINE_FUNCTION void embed(const Team& team, const At& at, int seed, int count, int joined) const {
    T* sum = &s.clusters(at.row, 0);
    each_channel(team, options.width, [&](const int d) { sum[d] = s.x(seed, d); });
    for (int k = 0; k < count; ++k) {
      if (!(s.p(at.c, at.begin + k) > T(0.5))) continue;
      const T* x = &s.x(s.candidate(at.c, at.begin + k), 0);
      each_channel(team, options.width, [&](const int d) { sum[d] += x[d]; });
    }
    const T share = T(1) / static_cast<T>(joined + 1);
    each_channel(team, options.width, [&](const int d) { sum[d] *= share; });
    team.team_barrier();
    if (at.c + 1 == options.max_clusters) return;
    const T* context = &s.local(at.row, options.width);
    T* next = &s.local(at.row + 1, options.width);
    Kokkos::parallel_for(Kokkos::TeamThreadRange(team, options.hidden), [&](const int j) {
      next[j] = context[j] + T(Partitioner<T>::kContextRate) * (dot(&weights.context(j, 0), sum, options.width) + weights.context_bias(j));
    });
    team.team_barrier();
  }
};

}  // namespace gnn_hpc::partoken
