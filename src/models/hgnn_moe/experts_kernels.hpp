// SPDX-License-Identifier: Apache-2.0
#pragma once

// Row kernels of the expert blocks, on one chunk of rows each. Views hold the rows of the chunk.

#include "nn/chunks.hpp"
#include "nn/gelu.hpp"
#include "nn/random_mask.hpp"
#include "nn/row_sums.hpp"

namespace gnn_hpc::hgnn_moe::experts_kernels {

/// Where the random numbers of a chunk's rows come from.
struct RowStreams {
  RandomMask mask;
  View1<std::uint64_t> key;  ///< of the row's sequence
  View1<int> position;
};

/// y = x + bias
template <class T>
void add_bias_to(const ChunkExec& exec, View2<T> x, View1<T> bias, View2<T> y) {
  const int width = y.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::ExpertBank::residual", Kokkos::TeamPolicy<ChunkExec>(exec, y.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T *from = &x(r, 0), *b = bias.data();
        T* to = &y(r, 0);
        each_channel(team, width, [&](const int c) { to[c] = from[c] + b[c]; });
      });
}

/// u += bias;  g = drop(gelu(u))
template <class T>
void activate(const ChunkExec& exec, View2<T> u, View1<T> bias, const RowStreams& streams, View2<T> g) {
  const int width = u.extent_int(1);
  const RandomMask mask = streams.mask;
  const auto key = streams.key;
  const auto position = streams.position;
  Kokkos::parallel_for(
      "gnn_hpc::ExpertBank::activate", Kokkos::TeamPolicy<ChunkExec>(exec, u.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        T *at = &u(r, 0), *out = &g(r, 0);
        const T* b = bias.data();
        if (!mask.active()) {
          each_channel(team, width, [&](const int c) {
            const T x = at[c] + b[c];
            at[c] = x;
            out[c] = gelu(x);
          });
        } else {
          each_channel_masked<T>(team, mask, key(r), static_cast<std::uint32_t>(position(r)), width, [&](const int c, const T factor) {
            const T x = at[c] + b[c];
            at[c] = x;
            out[c] = factor * gelu(x);
          });
        }
      });
}

/// g = drop(gelu(u));  u becomes its gradient from dg.
template <class T>
void activate_backward(const ChunkExec& exec, View2<T> u, View2<T> dg, const RowStreams& streams, View2<T> g) {
  const int width = u.extent_int(1);
  const RandomMask mask = streams.mask;
  const auto key = streams.key;
  const auto position = streams.position;
  Kokkos::parallel_for(
      "gnn_hpc::ExpertBank::activate_backward", Kokkos::TeamPolicy<ChunkExec>(exec, u.extent_int(0), team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        T *at = &u(r, 0), *out = &g(r, 0);
        const T* d = &dg(r, 0);
        if (!mask.active()) {
          each_channel(team, width, [&](const int c) {
            const T x = at[c];
            const NormalLaw<T> law = normal_law(x);
            out[c] = x * law.cdf;
            at[c] = d[c] * (law.cdf + x * law.density);
          });
        } else {
          each_channel_masked<T>(team, mask, key(r), static_cast<std::uint32_t>(position(r)), width, [&](const int c, const T factor) {
            const T x = at[c];
            const NormalLaw<T> law = normal_law(x);
            out[c] = factor * x * law.cdf;
            at[c] = factor * d[c] * (law.cdf + x * law.density);
          });
        }
      });
}

/// y = h + drop(f + bias)
template <class T>
void add_dropped(const ChunkExec& exec, View2<T> h, View2<T> f, View1<T> bias, const RowStreams& streams, View2<T> y) {
  const int width = y.extent_int(1);
  const RandomMask mask = streams.mask;
  const auto key = streams.key;
  const auto position = streams.position;
  Kokkos::parallel_for(
      "gnn_hpc::ExpertBank::add_dropped", Kokkos::TeamPolicy<ChunkExec>(exec, y.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T *from = &h(r, 0), *add = &f(r, 0), *b = bias.data();
        T* to = &y(r, 0);
        each_channel_masked<T>(team, mask, key(r), static_cast<std::uint32_t>(position(r)), width,
                               [&](const int c, const T factor) { to[c] = from[c] + factor * (add[c] + b[c]); });
      });
}

/// dh = dX_e of expert e (see OutputGradient);  df = drop(dh)
template <class T>
void output_gradient(const ChunkExec& exec, View2<T> common, View1<T> factor, View2<T> each, int e, const RowStreams& streams, View2<T> df,
                     View2<T> dh) {
  const int width = dh.extent_int(1);
  const bool has_common = common.extent(1) > 0, has_each = each.extent(1) > 0;
  const RandomMask mask = streams.mask;
  const auto key = streams.key;
  const auto position = streams.position;
  Kokkos::parallel_for(
      "gnn_hpc::ExpertBank::output_gradient", Kokkos::TeamPolicy<ChunkExec>(exec, dh.extent_int(0), team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        T *out = &dh(r, 0), *dropped = &df(r, 0);
        if (has_common) {
          const T* from = &common(r, 0);
          const T f = factor(e);
          if (has_each) {
            const T* add = &each(r, e * width);
            each_channel(team, width, [&](const int c) { out[c] = f * from[c] + add[c]; });
          } else {
            each_channel(team, width, [&](const int c) { out[c] = f * from[c]; });
          }
        } else {
          const T* from = &each(r, e * width);
          each_channel(team, width, [&](const int c) { out[c] = from[c]; });
        }
        team.team_barrier();
        each_channel_masked<T>(team, mask, key(r), static_cast<std::uint32_t>(position(r)), width,
                               [&](const int c, const T k) { dropped[c] = k * out[c]; });
      });
}

/// y += x
template <class T>
void add_rows(const ChunkExec& exec, View2<T> x, View2<T> y) {
  const int width = y.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::ExpertBank::add_rows", Kokkos::TeamPolicy<ChunkExec>(exec, y.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T* from = &x(r, 0);
        T* to = &y(r, 0);
        each_channel(team, width, [&](const int c) { to[c] += from[c]; });
      });
}

/// Appends q, k, v (with bias) of new tokens to the rows of a cache.
template <class T>
void append_to_cache(const ChunkExec& exec, View2<T> qkv, View1<T> bias, int past, int new_tokens, int capacity, int column, View2<T> cache) {
  const int width = qkv.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::ExpertBank::append_to_cache", Kokkos::TeamPolicy<ChunkExec>(exec, qkv.extent_int(0), team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank(), sequence = r / new_tokens, position = past + r % new_tokens;
        const T *from = &qkv(r, 0), *b = bias.data();
        T* to = &cache(sequence * capacity + position, column);
        each_channel(team, width, [&](const int c) { to[c] = from[c] + b[c]; });
      });
}

/// Attention of new tokens to all cached ones of their sequence; one head of one row a work item. `scores` [rows heads, capacity].
template <class T>
void attend_to_cache(const ChunkExec& exec, View2<T> cache, int column, int past, int new_tokens, int capacity, int heads, View2<T> scores,
                     View2<T> context) {
  const int width = context.extent_int(1), d = width / heads;
  const T scale = static_cast<T>(1.0 / Kokkos::sqrt(static_cast<double>(d)));
  Kokkos::parallel_for(
      "gnn_hpc::ExpertBank::attend_to_cache", Kokkos::TeamPolicy<ChunkExec>(exec, context.extent_int(0) * heads, team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int i = team.league_rank(), r = i / heads, h = i % heads;
        const int position = past + r % new_tokens, first = r / new_tokens * capacity;
        const T* q = &cache(first + position, column + h * d);
        T* s = &scores(i, 0);
        for (int k = 0; k <= position; ++k) {
          const T* key = &cache(first + k, column + width + h * d);
          const T dot = sum_channels<T>(team, d, [&](const int c) { return q[c] * key[c]; });
          Kokkos::single(Kokkos::PerTeam(team), [&]() { s[k] = dot * scale; });
        }
        team.team_barrier();
        T largest = s[0];
        for (int k = 1; k <= position; ++k) largest = largest > s[k] ? largest : s[k];
        T sum = 0;
        for (int k = 0; k <= position; ++k) sum += exponential(s[k] - largest);
        T* out = &context(r, h * d);
        each_channel(team, d, [&](const int c) { out[c] = T(0); });
        for (int k = 0; k <= position; ++k) {
          const T p = exponential(s[k] - largest) / sum;
          const T* value = &cache(first + k, column + 2 * width + h * d);
          each_channel(team, d, [&](const int c) { out[c] += p * value[c]; });
        }
      });
}

}  // namespace gnn_hpc::hgnn_moe::experts_kernels
