// SPDX-License-Identifier: Apache-2.0
#include "nn/segment_sum.hpp"

#include "nn/channels.hpp"

#include <Kokkos_ScatterView.hpp>

namespace gnn_hpc {

namespace {

template <class T>
struct SumRow {
  View2<T> x, y;
  View1<int> item;
  int n, begin, end;
  bool mean;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    T sum[W] = {};
    const bool indirect = item.extent(0) > 0;
    for (int i = begin; i < end; ++i) {
      const T* row = &x(indirect ? item(i) : i, c);
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) sum[j] += row[j];
    }
    const T factor = mean && end > begin ? T(1) / static_cast<T>(end - begin) : T(1);
    for (int j = 0; j < W; ++j) y(n, c + j) = sum[j] * factor;
  }
};

template <class T>
void sum_rows(const Exec& exec, View1<int> row_ptr, View1<int> item, View2<T> x, View2<T> y, bool mean) {
  GNN_HPC_REQUIRE(row_ptr.extent(0) == y.extent(0) + 1 && x.extent(1) == y.extent(1), "segment sum of {}x{} by {} pointers into {}x{}", x.extent(0),
                  x.extent(1), row_ptr.extent(0), y.extent(0), y.extent(1));
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::SegmentSum::csr", Kokkos::TeamPolicy<Exec>(exec, y.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int n = team.league_rank();
        each_strip(team, width, SumRow<T>{x, y, item, n, row_ptr(n), row_ptr(n + 1), mean});
      });
}

template <class T>
void scatter_rows(const Exec& exec, const Segments& segments, View2<T> x, View2<T> y) {
  GNN_HPC_REQUIRE(x.extent(1) == y.extent(1), "scatter of width {} into {}", x.extent(1), y.extent(1));
  const int width = x.extent_int(1);
  const auto item = segments.item, owner = segments.owner;
  const bool indirect = item.extent(0) > 0;
  Kokkos::deep_copy(exec, y, T(0));
  auto scatter = Kokkos::Experimental::create_scatter_view(y);
  Kokkos::parallel_for(
      "gnn_hpc::SegmentSum::scatter", Kokkos::TeamPolicy<Exec>(exec, owner.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int i = team.league_rank();
        auto add = scatter.access();
        const int from = indirect ? item(i) : i, to = owner(i);
        Kokkos::parallel_for(Kokkos::TeamVectorRange(team, width), [&](const int c) { add(to, c) += x(from, c); });
      });
  Kokkos::Experimental::contribute(exec, y, scatter);
}

template <class T>
void spread_rows(const Exec& exec, View1<int> row_ptr, View1<int> item, View2<T> dy, View2<T> dx, bool mean) {
  GNN_HPC_REQUIRE(row_ptr.extent(0) == dy.extent(0) + 1 && dx.extent(1) == dy.extent(1), "spreading {}x{} by {} pointers into {}x{}", dy.extent(0),
                  dy.extent(1), row_ptr.extent(0), dx.extent(0), dx.extent(1));
  const int width = dy.extent_int(1);
  const bool indirect = item.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::SegmentSum::backward", Kokkos::TeamPolicy<Exec>(exec, dy.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int n = team.league_rank();
        const int begin = row_ptr(n), end = row_ptr(n + 1);
        const T factor = mean && end > begin ? T(1) / static_cast<T>(end - begin) : T(1);
        for (int i = begin; i < end; ++i) {
          const int to = indirect ? item(i) : i;
          each_channel(team, width, [&](const int c) { dx(to, c) = dy(n, c) * factor; });
        }
      });
}

}  // namespace

template <class T>
void SegmentSum<T>::forward(const Exec& exec, Reduction reduction, const Segments& segments, View2<T> x, View2<T> y) {
  if (reduction == Reduction::scatter) {
    scatter_rows(exec, segments, x, y);
  } else {
    sum_rows(exec, segments.row_ptr, segments.item, x, y, false);
  }
}
template <class T>
void SegmentSum<T>::backward(const Exec& exec, const Segments& segments, View2<T> dy, View2<T> dx) {
  spread_rows(exec, segments.row_ptr, segments.item, dy, dx, false);
}
template <class T>
void SegmentMean<T>::forward(const Exec& exec, View1<int> row_ptr, View2<T> x, View2<T> y) {
  sum_rows(exec, row_ptr, {}, x, y, true);
}
template <class T>
void SegmentMean<T>::backward(const Exec& exec, View1<int> row_ptr, View2<T> dy, View2<T> dx) {
  spread_rows(exec, row_ptr, {}, dy, dx, true);
}

template struct SegmentSum<float>;
template struct SegmentSum<double>;
template struct SegmentMean<float>;
template struct SegmentMean<double>;

}  // namespace gnn_hpc
