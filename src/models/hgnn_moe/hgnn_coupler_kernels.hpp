// SPDX-License-Identifier: Apache-2.0
#pragma once

// Kernels of the hypergraph coupler.

#include "nn/channels.hpp"
#include "nn/hypergraph.hpp"
#include "nn/row_sums.hpp"

namespace gnn_hpc::hgnn_moe::hgnn_kernels {

/// s[r] = sum_e factor[e] X[r,e]
template <class T>
void weighted_sum(const ChunkExec& exec, View2<T> x, View1<T> factor, View2<T> s) {
  const int width = s.extent_int(1), experts = factor.extent_int(0);
  Kokkos::parallel_for(
      "gnn_hpc::HgnnCoupler::weighted_sum", Kokkos::TeamPolicy<ChunkExec>(exec, s.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        T* to = &s(r, 0);
        for (int e = 0; e < experts; ++e) {
          const T* from = &x(r, e * width);
          const T f = factor(e);
          if (e == 0) {
            each_channel(team, width, [&](const int c) { to[c] = f * from[c]; });
          } else {
            each_channel(team, width, [&](const int c) { to[c] += f * from[c]; });
          }
        }
      });
}

/// sums[e] = sum over the rows of ds . X_e
template <class T>
void expert_dots(const ChunkExec& exec, View2<T> ds, View2<T> x, View1<double> sums) {
  const int width = ds.extent_int(1), rows = ds.extent_int(0);
  Kokkos::parallel_for(
      "gnn_hpc::HgnnCoupler::expert_dots", Kokkos::TeamPolicy<ChunkExec>(exec, sums.extent_int(0), team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int e = team.league_rank();
        double sum = 0.0;
        for (int r = 0; r < rows; ++r) {
          const T *g = &ds(r, 0), *from = &x(r, e * width);
          sum += static_cast<double>(sum_channels<T>(team, width, [&](const int c) { return g[c] * from[c]; }));
        }
        Kokkos::single(Kokkos::PerTeam(team), [&]() { sums(e) = sum; });
      });
}

/// y += a[l] b on every row
template <class T>
void add_scaled_bias(const ChunkExec& exec, View1<double> a, int l, View1<T> bias, View2<T> y) {
  const int width = y.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::HgnnCoupler::add_scaled_bias", Kokkos::TeamPolicy<ChunkExec>(exec, y.extent_int(0), team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const T factor = static_cast<T>(a(l));
        T* to = &y(team.league_rank(), 0);
        each_channel(team, width, [&](const int c) { to[c] += factor * bias(c); });
      });
}

/// bias[d] += a[l] sum_k map[d,k] b[k]
template <class T>
void add_mapped_bias(const Exec& exec, View1<double> a, int l, View2<T> map, View1<T> b, View1<T> bias) {
  const int width = map.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::HgnnCoupler::add_mapped_bias", Kokkos::TeamPolicy<Exec>(exec, map.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int d = team.league_rank();
        const T* row = &map(d, 0);
        const T sum = sum_channels<T>(team, width, [&](const int k) { return row[k] * b(k); });
        Kokkos::single(Kokkos::PerTeam(team), [&]() { bias(d) += static_cast<T>(a(l)) * sum; });
      });
}

/// m += a[l] c b'
template <class T>
void add_outer(const Exec& exec, View1<double> a, int l, View1<T> c, View1<T> b, View2<T> m) {
  const int width = m.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::HgnnCoupler::add_outer", Kokkos::TeamPolicy<Exec>(exec, m.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int d = team.league_rank();
        const T factor = static_cast<T>(a(l)) * c(d);
        T* row = &m(d, 0);
        each_channel(team, width, [&](const int k) { row[k] += factor * b(k); });
      });
}

/// db += a[l] t,  da[out] = b . t
template <class T>
void bias_gradient(const Exec& exec, View1<double> a, int l, View1<T> t, View1<T> b, View1<T> db, View1<double> da, int out) {
  const int width = t.extent_int(0);
  Kokkos::parallel_for(
      "gnn_hpc::HgnnCoupler::bias_gradient", Kokkos::TeamPolicy<Exec>(exec, 1, team_size()), KOKKOS_LAMBDA(const Team& team) {
        const double factor = a(l);
        each_channel(team, width, [&](const int c) { db(c) += static_cast<T>(factor * static_cast<double>(t(c))); });
        const double dot = sum_channels<double>(team, width, [&](const int c) { return static_cast<double>(t(c)) * static_cast<double>(b(c)); });
        Kokkos::single(Kokkos::PerTeam(team), [&]() { da(out) = dot; });
      });
}

/// y[r,v] = sum_u m[v,u] x[r,u] (or m' with `transposed`) + bias (may be empty); rows of E D columns.
template <class T>
void mix_dense(const Exec& exec, View2<double> m, bool transposed, View2<T> x, View1<T> bias, View2<T> y) {
  const int experts = m.extent_int(0), width = y.extent_int(1) / (experts > 0 ? experts : 1);
  const bool has_bias = bias.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::HgnnCoupler::mix_dense", Kokkos::TeamPolicy<Exec>(exec, y.extent_int(0) * experts, team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank() / experts, v = team.league_rank() % experts;
        T* to = &y(r, v * width);
        each_channel(team, width, [&](const int c) { to[c] = has_bias ? bias(c) : T(0); });
        for (int u = 0; u < experts; ++u) {
          const T f = static_cast<T>(transposed ? m(u, v) : m(v, u));
          const T* from = &x(r, u * width);
          each_channel(team, width, [&](const int c) { to[c] += f * from[c]; });
        }
      });
}

/// y[r,i] = bias + row_factor[i] sum over members j of row i of the CSR (ptr, item) of item_factor[j] x[r,j]; empty factors are 1.
template <class T>
void mix_sparse(const Exec& exec, View1<int> ptr, View1<int> item, View1<double> row_factor, View1<double> item_factor, View2<T> x, View1<T> bias,
                View2<T> y) {
  const int outputs = ptr.extent_int(0) - 1;
  const int width = y.extent_int(1) / (outputs > 0 ? outputs : 1);
  const bool has_bias = bias.extent(0) > 0, row_given = row_factor.extent(0) > 0, item_given = item_factor.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::HgnnCoupler::mix_sparse", Kokkos::TeamPolicy<Exec>(exec, y.extent_int(0) * outputs, team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank() / outputs, i = team.league_rank() % outputs;
        T* to = &y(r, i * width);
        each_channel(team, width, [&](const int c) { to[c] = has_bias ? bias(c) : T(0); });
        for (int k = ptr(i); k < ptr(i + 1); ++k) {
          const int j = item(k);
          const T f = static_cast<T>((row_given ? row_factor(i) : 1.0) * (item_given ? item_factor(j) : 1.0));
          const T* from = &x(r, j * width);
          each_channel(team, width, [&](const int c) { to[c] += f * from[c]; });
        }
      });
}

/// dots[i,j] = sum over rows of a[r,i] . b[r,j] for blocks of D columns (dM and its like); one team a pair.
template <class T>
void block_dots(const Exec& exec, View2<T> a, View2<T> b, int width, View2<double> dots) {
  const int columns = dots.extent_int(1), rows = a.extent_int(0);
  Kokkos::parallel_for(
      "gnn_hpc::HgnnCoupler::block_dots", Kokkos::TeamPolicy<Exec>(exec, dots.extent_int(0) * columns, team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int i = team.league_rank() / columns, j = team.league_rank() % columns;
        double sum = 0.0;
        for (int r = 0; r < rows; ++r) {
          const T *p = &a(r, i * width), *q = &b(r, j * width);
          sum += static_cast<double>(sum_channels<T>(team, width, [&](const int c) { return p[c] * q[c]; }));
        }
        Kokkos::single(Kokkos::PerTeam(team), [&]() { dots(i, j) += sum; });
      });
}

/// A row of the table of powers, in the precision of the model.
template <class T>
void copy_vector(const Exec& exec, View2<double> from, int row, View1<T> to) {
  Kokkos::parallel_for(
      "gnn_hpc::HgnnCoupler::copy_vector", Rows(exec, 0, to.extent_int(0)), KOKKOS_LAMBDA(const int i) { to(i) = static_cast<T>(from(row, i)); });
}

}  // namespace gnn_hpc::hgnn_moe::hgnn_kernels
