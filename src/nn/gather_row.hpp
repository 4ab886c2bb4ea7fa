// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/channels.hpp"
#include "nn/gather.hpp"

namespace gnn_hpc {

/// What a kernel needs of a Gather and of the rows it sums; small enough to capture.
template <class T>
struct RowSum {
  View1<int> ptr, item;
  View1<T> weight;
  View2<T> x;
  RowSum(const Gather<T>& gather, const View2<T>& input) : ptr(gather.ptr), item(gather.item), weight(gather.weight), x(input) {}

  KOKKOS_INLINE_FUNCTION int first(int r) const { return ptr.extent(0) == 0 ? r : ptr(r); }
  KOKKOS_INLINE_FUNCTION int last(int r) const { return ptr.extent(0) == 0 ? r + 1 : ptr(r + 1); }
  KOKKOS_INLINE_FUNCTION int row(int k) const { return item.extent(0) == 0 ? k : item(k); }
  KOKKOS_INLINE_FUNCTION T factor(int k) const { return weight.extent(0) == 0 ? T(1) : weight(k); }

  /// y[c] = sum over the items of row r, plus what stands in y if `accumulate`, for all channels of the team. y must not be a row of x.
  /// On a CPU up to four rows are added at a time, so that y is read and written once for them.
  template <class TeamMember>
  KOKKOS_INLINE_FUNCTION void operator()(const TeamMember& team, int width, int r, T* y, bool accumulate = false) const {
    const int begin = first(r), end = last(r);
    if constexpr (kExecIsHost) {
      int k = begin;
      if (!accumulate) {
        const int count = end - begin;
        if (count == 0) {
          for (int c = 0; c < width; ++c) y[c] = T(0);
        } else if (count == 1) {
          const T* a = &x(row(k), 0);
          const T wa = factor(k);
          GNN_HPC_SIMD
          for (int c = 0; c < width; ++c) y[c] = wa * a[c];
          k += 1;
        } else if (count == 2) {
          const T *a = &x(row(k), 0), *b = &x(row(k + 1), 0);
          const T wa = factor(k), wb = factor(k + 1);
          GNN_HPC_SIMD
          for (int c = 0; c < width; ++c) y[c] = wa * a[c] + wb * b[c];
          k += 2;
        } else {
          const T *a = &x(row(k), 0), *b = &x(row(k + 1), 0), *d = &x(row(k + 2), 0);
          const T wa = factor(k), wb = factor(k + 1), wd = factor(k + 2);
          GNN_HPC_SIMD
          for (int c = 0; c < width; ++c) y[c] = wa * a[c] + wb * b[c] + wd * d[c];
          k += 3;
        }
      }
      for (; k + 4 <= end; k += 4) {
        const T *a = &x(row(k), 0), *b = &x(row(k + 1), 0), *d = &x(row(k + 2), 0), *e = &x(row(k + 3), 0);
        const T wa = factor(k), wb = factor(k + 1), wd = factor(k + 2), we = factor(k + 3);
        GNN_HPC_SIMD
        for (int c = 0; c < width; ++c) y[c] += (wa * a[c] + wb * b[c]) + (wd * d[c] + we * e[c]);
      }
      for (; k < end; ++k) {
        const T* a = &x(row(k), 0);
        const T wa = factor(k);
        GNN_HPC_SIMD
        for (int c = 0; c < width; ++c) y[c] += wa * a[c];
      }
    } else {
      Kokkos::parallel_for(Kokkos::TeamVectorRange(team, width), [&](const int c) {
        T sum = accumulate ? y[c] : T(0);
        for (int k = begin; k < end; ++k) sum += factor(k) * x(row(k), c);
        y[c] = sum;
      });
    }
  }
};

/// y[r,:] = gathered rows of x for r in [begin, end).
template <class Space, class T>
void gather_rows(const Space& exec, const Gather<T>& gather, View2<T> x, View2<T> y, int begin, int end, bool accumulate = false) {
  const int width = y.extent_int(1);
  const RowSum<T> sum(gather, x);
  Kokkos::parallel_for(
      "gnn_hpc::gather_rows", Kokkos::TeamPolicy<Space>(exec, end - begin, team_size()),
      KOKKOS_LAMBDA(const typename Kokkos::TeamPolicy<Space>::member_type& team) {
        const int r = begin + team.league_rank();
        sum(team, width, r, &y(r, 0), accumulate);
      });
}

/// The same where rows are few and each has many items (what a batch adds up by kinds of atoms): a team for every element, its threads along
/// the items; a team for a row would leave a GPU idle but for a few. For devices.
template <class T>
void gather_long_rows(const Exec& exec, const Gather<T>& gather, View2<T> x, View2<T> y, bool accumulate = false) {
  const int width = y.extent_int(1);
  const RowSum<T> sum(gather, x);
  Kokkos::parallel_for(
      "gnn_hpc::gather_long_rows", Kokkos::TeamPolicy<Exec>(exec, y.extent_int(0) * width, team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank() / width, c = team.league_rank() % width;
        T total = 0;
        Kokkos::parallel_reduce(
            Kokkos::TeamVectorRange(team, sum.first(r), sum.last(r)), [&](const int k, T& part) { part += sum.factor(k) * sum.x(sum.row(k), c); },
            total);
        Kokkos::single(Kokkos::PerTeam(team), [&] { y(r, c) = accumulate ? y(r, c) + total : total; });
      });
}

}  // namespace gnn_hpc
