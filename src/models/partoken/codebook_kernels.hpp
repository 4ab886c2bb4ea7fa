// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/channels.hpp"
#include "nn/matmul.hpp"
#include "nn/row_sums.hpp"

#include <climits>

namespace gnn_hpc::partoken {

/// out[r] = |x_r|^2
template <class T>
void squared_norms(const Exec& exec, View2<T> x, View1<T> out) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Codebook::norms", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        const T sum = sum_channels<T>(team, width, [&](const int c) { return x(r, c) * x(r, c); });
        Kokkos::single(Kokkos::PerTeam(team), [&] { out(r) = sum; });
      });
}

/// From products z.e [R,K] and squared norms of e: by what the codes of row r are compared, the squared distance less |z|^2 or -cos |z|.
template <class T>
struct CodeDistance {
  View2<T> products;
  View1<T> norms;  ///< [K] |e_k|^2
  bool cosine;
  KOKKOS_INLINE_FUNCTION T operator()(int r, int k) const {
    if (!cosine) return norms(k) - T(2) * products(r, k);
    const T length = Kokkos::sqrt(norms(k));
    return -products(r, k) / (length > T(1e-12) ? length : T(1e-12));
  }
};

/// code[r] = argmin over k, the first of equals; -1 where members[r] is 0 (an empty array: nowhere).
template <class T>
void nearest_codes(const Exec& exec, const CodeDistance<T>& distance, View1<int> members, View1<int> code) {
  const int codes = distance.products.extent_int(1);
  const bool all = members.extent(0) == 0;
  Kokkos::parallel_for(
      "gnn_hpc::Codebook::nearest", Kokkos::TeamPolicy<Exec>(exec, code.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        if (!all && members(r) == 0) {
          Kokkos::single(Kokkos::PerTeam(team), [&] { code(r) = -1; });
          return;
        }
        T smallest = 0;
        Kokkos::parallel_reduce(
            Kokkos::TeamThreadRange(team, codes),
            [&](const int k, T& best) {
              const T d = distance(r, k);
              if (d < best) best = d;
            },
            Kokkos::Min<T>(smallest));
        int first = 0;
        Kokkos::parallel_reduce(
            Kokkos::TeamThreadRange(team, codes),
            [&](const int k, int& found) {
              if (distance(r, k) == smallest && k < found) found = k;
            },
            Kokkos::Min<int>(first));
        Kokkos::single(Kokkos::PerTeam(team), [&] { code(r) = first < codes ? first : 0; });  // 0: nothing was a number
      });
}

/// counts[k] and sums[k,:] of the rows of each code, in the order of the rows.
template <class T>
void sum_by_code(const Exec& exec, View2<T> z, View1<int> code, View1<double> counts, View2<double> sums) {
  const int rows = z.extent_int(0), width = z.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Codebook::sums", Kokkos::TeamPolicy<Exec>(exec, counts.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int k = team.league_rank();
        double* to = &sums(k, 0);
        each_channel(team, width, [&](const int c) { to[c] = 0.0; });
        double count = 0.0;
        for (int r = 0; r < rows; ++r) {
          if (code(r) != k) continue;
          count += 1.0;
          const T* from = &z(r, 0);
          each_channel(team, width, [&](const int c) { to[c] += static_cast<double>(from[c]); });
        }
        Kokkos::single(Kokkos::PerTeam(team), [&] { counts(k) = count; });
      });
}

}  // namespace gnn_hpc::partoken
