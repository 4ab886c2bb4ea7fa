// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/partoken/partition_kernels.hpp"

namespace gnn_hpc::partoken {

/// What the backward kernel leaves for the products that follow it; rows as in Partitioner::Saved.
template <class T>
struct PartitionGradients {
  View2<T> projected, keys;       ///< [N,H], [N,64]
  View2<T> shift, query, hidden;  ///< [B S,H], [B S,64], [B S,128] before relu
  View2<T> theta;                 ///< [B S,1]
  View2<T> after, context;        ///< [B S,H] 0.1 of the context's gradient after the cluster, [B,H] of the first context
  View2<T> select;                ///< [B,H] share of each chain in the gradient of w3
  View2<T> seed_x, soft_mean;     ///< [B S,D] scratch: gradient of x of the seed; gradient of the soft mean's sum
  View2<T> logit;                 ///< [S,N] scratch
  View2<T> x;                     ///< [N,D] added to
};

/// The reverse sweep of one chain, clusters from the last to the first; gradients of `docs/derivations/partoken.md`.
template <class T>
struct PartitionBackward {
  PartitionerOptions options;
  PartitionWeights<T> weights;
  typename Partitioner<T>::Saved s;
  View1<int> graph_ptr;
  View2<T> dclusters;
  double penalty_weight;
  PartitionGradients<T> d;

  static constexpr int kKeys = Partitioner<T>::kKeyWidth, kHidden = Partitioner<T>::kThresholdWidth;
  using At = typename PartitionKernel<T, SparseEdges>::At;

  KOKKOS_INLINE_FUNCTION void operator()(const Team& team) const {
    const int b = team.league_rank(), clusters = options.max_clusters;
    At at{b,
          graph_ptr(b),
          graph_ptr(b + 1),
          clusters - 1,
          (b + 1) * clusters - 1,
          static_cast<T>(temperature(options, static_cast<double>(weights.epoch(0))))};
    clear(team, at);
    for (; at.c >= 0; --at.c, --at.row) {
      each_channel(team, options.hidden, [&](const int j) { d.after(at.row, j) = T(Partitioner<T>::kContextRate) * d.context(b, j); });
      team.team_barrier();
      if (s.seed(at.row) >= 0)
        cluster(team, at);
      else
        no_cluster(team, at);
    }
  }

  KOKKOS_INLINE_FUNCTION void clear(const Team& team, const At& at) const {
    each_channel(team, options.hidden, [&](const int j) { d.context(at.b, j) = d.select(at.b, j) = T(0); });
    Kokkos::parallel_for(Kokkos::TeamThreadRange(team, at.residues()), [&](const int k) {
      const int i = at.begin + k;
      for (int j = 0; j < options.hidden; ++j) d.projected(i, j) = T(0);
      for (int j = 0; j < kKeys; ++j) d.keys(i, j) = T(0);
    });
    team.team_barrier();
  }

  KOKKOS_INLINE_FUNCTION void no_cluster(const Team& team, const At& at) const {
    each_channel(team, options.hidden, [&](const int j) { d.shift(at.row, j) = T(0); });
    each_channel(team, kKeys, [&](const int j) { d.query(at.row, j) = T(0); });
    each_channel(team, kHidden, [&](const int j) { d.hidden(at.row, j) = T(0); });
    Kokkos::single(Kokkos::PerTeam(team), [&] { d.theta(at.row, 0) = T(0); });
    team.team_barrier();
  }

  KOKKOS_INLINE_FUNCTION void cluster(const Team& team, const At& at) const {
    const int count = s.candidates(at.row), seed = s.seed(at.row);
    const T constant = means(team, at, seed, count);
    const T dtheta = expansion(team, at, count, constant);
    queries(team, at, dtheta);
    seed_choice(team, at, seed, constant);
  }

  /// Both means. Leaves dC/(sum m) in `soft_mean`, returns mu . dC/(sum m), which every dm subtracts.
  KOKKOS_INLINE_FUNCTION T means(const Team& team, const At& at, int seed, int count) const {
    double mass = 1.0;
    for (int k = 0; k < count; ++k) mass += static_cast<double>(s.p(at.c, at.begin + k));
    const T* dc = &dclusters(at.row, 0);
    T* dm = &d.soft_mean(at.row, 0);
    T* mean = &d.seed_x(at.row, 0);  // scratch until `queries`
    const T inverse = static_cast<T>(1.0 / mass), share = T(1) / static_cast<T>(s.members(at.row));
    each_channel(team, options.width, [&](const int c) {
      dm[c] = inverse * dc[c];
      mean[c] = inverse * s.x(seed, c);
      d.x(seed, c) += share * dc[c] + dm[c];
    });
    for (int k = 0; k < count; ++k) {
      const T p = s.p(at.c, at.begin + k);
      if (!(p > T(0))) continue;
      const int i = s.candidate(at.c, at.begin + k);
      const T hard = p > T(0.5) ? share : T(0), weight = p * inverse;
      each_channel(team, options.width, [&](const int c) {
        mean[c] += weight * s.x(i, c);
        d.x(i, c) += hard * dc[c] + p * dm[c];
      });
    }
    team.team_barrier();
    return dot(mean, dc, options.width) * inverse;
  }

  /// dp -> keys, and the query's gradient; returns that of theta.
  KOKKOS_INLINE_FUNCTION T expansion(const Team& team, const At& at, int count, T constant) const {
    const double chains = s.chains(at.c);
    const T cardinality = options.corrected && chains > 0.0 ? static_cast<T>(2.0 * penalty_weight * s.gap(at.row) / chains) : T(0);
    double dtheta = 0.0;
    Kokkos::parallel_reduce(
        Kokkos::TeamThreadRange(team, count),
        [&](const int k, double& sum) {
          const T p = s.p(at.c, at.begin + k);
          const int i = s.candidate(at.c, at.begin + k);
          T da = 0;
          if (p > T(0)) da = (dot(&s.x(i, 0), &d.soft_mean(at.row, 0), options.width) - constant + cardinality) * p * (T(1) - p) / at.tau;
          d.logit(at.c, at.begin + k) = da;
          sum -= static_cast<double>(da);
        },
        dtheta);
    team.team_barrier();
    const T* q = &s.query(at.row, 0);
    T* dq = &d.query(at.row, 0);
    each_channel(team, kKeys, [&](const int j) { dq[j] = T(0); });
    for (int k = 0; k < count; ++k) {
      const T dscore = d.logit(at.c, at.begin + k) / T(8);
      const int i = s.candidate(at.c, at.begin + k);
      each_channel(team, kKeys, [&](const int j) {
        d.keys(i, j) += dscore * q[j];
        dq[j] += dscore * s.keys(i, j);
      });
    }
    team.team_barrier();
    return static_cast<T>(dtheta);
  }

  /// theta and the query -> x of the seed, context.
  KOKKOS_INLINE_FUNCTION void queries(const Team& team, const At& at, T dtheta) const {
    Kokkos::single(Kokkos::PerTeam(team), [&] { d.theta(at.row, 0) = dtheta; });
    T *dhidden = &d.hidden(at.row, 0), *dseed = &d.seed_x(at.row, 0), *dcontext = &d.context(at.b, 0);
    each_channel(team, kHidden, [&](const int j) { dhidden[j] = s.hidden(at.row, j) > T(0) ? dtheta * weights.threshold(j) : T(0); });
    each_channel(team, options.width, [&](const int c) { dseed[c] = T(0); });
    team.team_barrier();
    add_transposed_product(team, weights.query, &d.query(at.row, 0), dseed);
    const int width = options.width;
    for (int r = 0; r < kHidden; ++r) {
      const T factor = dhidden[r];
      const T* row = &weights.threshold_hidden(r, 0);
      each_channel(team, width, [&](const int c) { dseed[c] += factor * row[c]; });
      each_channel(team, options.hidden, [&](const int j) { dcontext[j] += factor * row[width + j]; });
    }
    team.team_barrier();
  }

  /// The straight-through softmax and the selector's network.
  KOKKOS_INLINE_FUNCTION void seed_choice(const Team& team, const At& at, int seed, T constant) const {
    const T *dseed = &d.seed_x(at.row, 0), *dm = &d.soft_mean(at.row, 0);
    each_channel(team, options.width, [&](const int c) { d.x(seed, c) += dseed[c]; });
    team.team_barrier();
    T* direction = &d.soft_mean(at.row, 0);
    each_channel(team, options.width, [&](const int c) { direction[c] = dm[c] + dseed[c]; });
    team.team_barrier();
    double mean = 0.0;
    Kokkos::parallel_reduce(
        Kokkos::TeamThreadRange(team, at.residues()),
        [&](const int k, double& sum) {
          const int i = at.begin + k;
          const T soft = s.soft(at.c, i);
          const T dsoft = soft > T(0) ? dot(&s.x(i, 0), direction, options.width) - constant : T(0);
          d.logit(at.c, i) = dsoft;
          sum += static_cast<double>(soft) * static_cast<double>(dsoft);
        },
        mean);
    team.team_barrier();
    Kokkos::parallel_for(Kokkos::TeamThreadRange(team, at.residues()), [&](const int k) {
      const int i = at.begin + k;
      d.logit(at.c, i) = s.soft(at.c, i) * (d.logit(at.c, i) - static_cast<T>(mean)) / at.tau;
    });
    team.team_barrier();
    selector(team, at);
  }

  /// dl_i -> w3, W0 x_i, W0 context.
  KOKKOS_INLINE_FUNCTION void selector(const Team& team, const At& at) const {
    const bool dropped = s.keep.extent(0) > 0;
    const int rows = s.soft.extent_int(1);
    const T *shift = &s.shift(at.row, 0), *w = &weights.select(0);
    T *dshift = &d.shift(at.row, 0), *dselect = &d.select(at.b, 0);
    each_channel(team, options.hidden, [&](const int j) { dshift[j] = T(0); });
    for (int i = at.begin; i < at.end; ++i) {
      const T dl = d.logit(at.c, i);
      if (dl == T(0)) continue;
      const T* u = &s.projected(i, 0);
      const T* keep = dropped ? &s.keep(at.c * rows + i, 0) : nullptr;
      T* du = &d.projected(i, 0);
      each_channel(team, options.hidden, [&](const int j) {
        const T v = u[j] + shift[j], through = v > T(0) ? (keep != nullptr ? keep[j] * dl : dl) : T(0);
        dselect[j] += through * v;
        du[j] += through * w[j];
        dshift[j] += through * w[j];
      });
    }
    team.team_barrier();
    add_transposed_product(team, weights.select_context, dshift, &d.context(at.b, 0));
    team.team_barrier();
  }
};

}  // namespace gnn_hpc::partoken
