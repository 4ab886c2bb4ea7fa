// SPDX-License-Identifier: Apache-2.0
#pragma once

// Kernels of the pairwise coupler on one chunk of tokens: Views hold R rows of E D columns, or R E rows of D.

#include "nn/chunks.hpp"
#include "nn/gelu.hpp"
#include "nn/row_sums.hpp"

namespace gnn_hpc::hgnn_moe::gnn_kernels {

/// The gate of a pair: c in (0,1) from both experts, a = sigmoid(adjacency) c.
template <class T>
struct GateParams {
  View2<T> adjacency;  ///< [E,E]
  View1<T> message;    ///< [2D] w_r, w_s
  View1<T> bias;       ///< [1]
};

/// dots[r,e] = (x_e . w_r, x_e . w_s)
template <class T>
void gate_dots(const ChunkExec& exec, View2<T> x, const GateParams<T>& gate, int experts, View2<T> dots) {
  const int width = x.extent_int(1) / experts;
  const View1<T> message = gate.message;
  Kokkos::parallel_for(
      "gnn_hpc::GnnCoupler::gate_dots", Kokkos::TeamPolicy<ChunkExec>(exec, x.extent_int(0) * experts, team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank() / experts, e = team.league_rank() % experts;
        const T *row = &x(r, e * width), *w = message.data();
        const T receive = sum_channels<T>(team, width, [&](const int c) { return row[c] * w[c]; });
        const T send = sum_channels<T>(team, width, [&](const int c) { return row[c] * w[width + c]; });
        Kokkos::single(Kokkos::PerTeam(team), [&]() {
          dots(r, 2 * e) = receive;
          dots(r, 2 * e + 1) = send;
        });
      });
}

/// joined[r E + i] = [m_i | x_i], with m_i = sum over j != i of a_ij x_j; one expert: x alone.
template <class T>
void messages(const ChunkExec& exec, View2<T> x, View2<T> dots, const GateParams<T>& gate, int experts, View2<T> joined) {
  const int width = x.extent_int(1) / experts;
  const View2<T> adjacency = gate.adjacency;
  const View1<T> bias = gate.bias;
  Kokkos::parallel_for(
      "gnn_hpc::GnnCoupler::messages", Kokkos::TeamPolicy<ChunkExec>(exec, x.extent_int(0) * experts, team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank() / experts, i = team.league_rank() % experts;
        const int left = experts > 1 ? width : 0;
        T *m = &joined(r * experts + i, 0), *copy = m + left;
        const T* own = &x(r, i * width);
        each_channel(team, width, [&](const int c) { copy[c] = own[c]; });
        if (left == 0) return;
        each_channel(team, width, [&](const int c) { m[c] = T(0); });
        for (int j = 0; j < experts; ++j) {
          if (j == i) continue;
          const T a = sigmoid(adjacency(i, j)) * sigmoid(dots(r, 2 * i) + dots(r, 2 * j + 1) + bias(0));
          const T* from = &x(r, j * width);
          each_channel(team, width, [&](const int c) { m[c] += a * from[c]; });
        }
      });
}

/// u += bias;  next[r,i] = x[r,i] + gelu(u[r E + i])
template <class T>
void residual_gelu(const ChunkExec& exec, View2<T> x, View2<T> u, View1<T> bias, int experts, View2<T> next) {
  const int width = u.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::GnnCoupler::residual_gelu", Kokkos::TeamPolicy<ChunkExec>(exec, u.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int row = team.league_rank(), r = row / experts, i = row % experts;
        T *at = &u(row, 0), *to = &next(r, i * width);
        const T *from = &x(r, i * width), *b = bias.data();
        each_channel(team, width, [&](const int c) {
          const T value = at[c] + b[c];
          at[c] = value;
          to[c] = from[c] + gelu(value);
        });
      });
}

/// u becomes its gradient: u[row] = dx[row] gelu'(u[row]); dx [R, E D].
template <class T>
void gelu_gradient(const ChunkExec& exec, View2<T> dx, int experts, View2<T> u) {
  const int width = u.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::GnnCoupler::gelu_gradient", Kokkos::TeamPolicy<ChunkExec>(exec, u.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int row = team.league_rank(), r = row / experts, i = row % experts;
        T* at = &u(row, 0);
        const T* d = &dx(r, i * width);
        each_channel(team, width, [&](const int c) { at[c] = d[c] * gelu_derivative(at[c]); });
      });
}

/// q[r, i E + j] = dm_i . x_j a_ij (1 - c_ij), and adjacency[r, i E + j] = dm_i . x_j c_ij A_ij (1 - A_ij); both 0 on the diagonal.
template <class T>
void gate_gradient(const ChunkExec& exec, View2<T> x, View2<T> dots, View2<T> djoined, const GateParams<T>& gate, int experts, View2<T> q,
                   View2<T> dadjacency) {
  const int width = x.extent_int(1) / experts;
  const View2<T> adjacency = gate.adjacency;
  const View1<T> bias = gate.bias;
  Kokkos::parallel_for(
      "gnn_hpc::GnnCoupler::gate_gradient", Kokkos::TeamPolicy<ChunkExec>(exec, x.extent_int(0) * experts, team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank() / experts, i = team.league_rank() % experts;
        const T* dm = &djoined(r * experts + i, 0);
        for (int j = 0; j < experts; ++j) {
          const T* from = &x(r, j * width);
          const T dalpha = sum_channels<T>(team, width, [&](const int c) { return dm[c] * from[c]; });
          const T weight = sigmoid(adjacency(i, j)), content = sigmoid(dots(r, 2 * i) + dots(r, 2 * j + 1) + bias(0));
          Kokkos::single(Kokkos::PerTeam(team), [&]() {
            q(r, i * experts + j) = j == i ? T(0) : dalpha * weight * content * (T(1) - content);
            dadjacency(r, i * experts + j) = j == i ? T(0) : dalpha * content * weight * (T(1) - weight);
          });
        }
      });
}

/// dx_i += (du Ws)_i + sum over k != i of a_ki dm_k + (sum_j q_ij) w_r + (sum_k q_ki) w_s; sums[r, 2i] and [r, 2i+1] keep the two sums.
template <class T>
void input_gradient(const ChunkExec& exec, View2<T> djoined, View2<T> dots, View2<T> q, const GateParams<T>& gate, int experts, View2<T> sums,
                    View2<T> dx) {
  const int width = dx.extent_int(1) / experts;
  const View2<T> adjacency = gate.adjacency;
  const View1<T> bias = gate.bias, message = gate.message;
  Kokkos::parallel_for(
      "gnn_hpc::GnnCoupler::input_gradient", Kokkos::TeamPolicy<ChunkExec>(exec, dx.extent_int(0) * experts, team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank() / experts, i = team.league_rank() % experts;
        const int left = experts > 1 ? width : 0;
        T* to = &dx(r, i * width);
        const T* through_self = &djoined(r * experts + i, left);
        if (left == 0) {
          each_channel(team, width, [&](const int c) { to[c] += through_self[c]; });
          return;
        }
        T receive = 0, send = 0;
        for (int j = 0; j < experts; ++j) {
          receive += q(r, i * experts + j);
          send += q(r, j * experts + i);
        }
        const T* w = message.data();
        each_channel(team, width, [&](const int c) { to[c] += through_self[c] + receive * w[c] + send * w[width + c]; });
        for (int k = 0; k < experts; ++k) {
          if (k == i) continue;
          const T a = sigmoid(adjacency(k, i)) * sigmoid(dots(r, 2 * k) + dots(r, 2 * i + 1) + bias(0));
          const T* dm = &djoined(r * experts + k, 0);
          each_channel(team, width, [&](const int c) { to[c] += a * dm[c]; });
        }
        Kokkos::single(Kokkos::PerTeam(team), [&]() {
          sums(r, 2 * i) = receive;
          sums(r, 2 * i + 1) = send;
        });
      });
}

/// z[r] = mean over experts
template <class T>
void mean_rows(const ChunkExec& exec, View2<T> x, View2<T> z) {
  const int width = z.extent_int(1), experts = x.extent_int(1) / width;
  const T share = T(1) / static_cast<T>(experts);
  Kokkos::parallel_for(
      "gnn_hpc::GnnCoupler::mean_rows", Kokkos::TeamPolicy<ChunkExec>(exec, z.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        T* to = &z(r, 0);
        for (int e = 0; e < experts; ++e) {
          const T* from = &x(r, e * width);
          if (e == 0) {
            each_channel(team, width, [&](const int c) { to[c] = share * from[c]; });
          } else {
            each_channel(team, width, [&](const int c) { to[c] += share * from[c]; });
          }
        }
      });
}

/// dx[r,e] = dz[r]/E
template <class T>
void spread_rows(const ChunkExec& exec, View2<T> dz, View2<T> dx) {
  const int width = dz.extent_int(1), experts = dx.extent_int(1) / width;
  const T share = T(1) / static_cast<T>(experts);
  Kokkos::parallel_for(
      "gnn_hpc::GnnCoupler::spread_rows", Kokkos::TeamPolicy<ChunkExec>(exec, dz.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T* from = &dz(r, 0);
        for (int e = 0; e < experts; ++e) {
          T* to = &dx(r, e * width);
          each_channel(team, width, [&](const int c) { to[c] = share * from[c]; });
        }
      });
}

/// dmessage [2,D] += sum over rows and experts of (receive, send) x_e: a product of two columns is too thin for the library.
template <class T>
struct MessageSums {
  View2<T> x, sums;
  View1<double> out;
  int experts, width;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    double receive[W] = {}, send[W] = {};
    for (int r = 0; r < x.extent_int(0); ++r) {
      T a[W] = {}, b[W] = {};
      for (int e = 0; e < experts; ++e) {
        const T* row = &x(r, e * width + c);
        const T first = sums(r, 2 * e), second = sums(r, 2 * e + 1);
        GNN_HPC_SIMD
        for (int j = 0; j < W; ++j) {
          a[j] += first * row[j];
          b[j] += second * row[j];
        }
      }
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) {
        receive[j] += static_cast<double>(a[j]);
        send[j] += static_cast<double>(b[j]);
      }
    }
    for (int j = 0; j < W; ++j) {
      out(c + j) = receive[j];
      out(width + c + j) = send[j];
    }
  }
};
template <class T>
void message_sums(const ChunkExec& exec, View2<T> x, View2<T> sums, int experts, View1<double> out) {
  const int width = x.extent_int(1) / experts;
  Kokkos::parallel_for(
      "gnn_hpc::GnnCoupler::message_sums", Kokkos::TeamPolicy<ChunkExec>(exec, 1, team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        each_strip(team, width, MessageSums<T>{x, sums, out, experts, width});
      });
}

}  // namespace gnn_hpc::hgnn_moe::gnn_kernels
