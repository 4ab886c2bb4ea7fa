// SPDX-License-Identifier: Apache-2.0
#include "nn/rows.hpp"

#include "nn/activation.hpp"
#include "nn/channels.hpp"

namespace gnn_hpc {

namespace {

constexpr int kBlock = 64;  // rows summed by one team; fixed, so that the order of a sum does not depend on the machine

template <class S>
struct BlockSum {
  View2<S> x;
  View2<double> block;
  int b, begin, end;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    double sum[W] = {};
    for (int r = begin; r < end; ++r) {
      const S* row = &x(r, c);
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) sum[j] += static_cast<double>(row[j]);
    }
    for (int j = 0; j < W; ++j) block(b, c + j) = sum[j];
  }
};

template <class S>
void sum_blocks(const Exec& exec, View2<S> x, View2<double> block) {
  const int rows = x.extent_int(0), width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::column_sums::blocks", Kokkos::TeamPolicy<Exec>(exec, block.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int b = team.league_rank();
        const int begin = b * kBlock, end = begin + kBlock < rows ? begin + kBlock : rows;
        each_strip(team, width, BlockSum<S>{x, block, b, begin, end});
      });
}

template <class S>
void sum_columns(const Exec& exec, Arena& arena, View2<S> x, View1<double> sums) {
  ArenaFrame frame(arena);
  const int width = x.extent_int(1);
  const int blocks = (x.extent_int(0) + kBlock - 1) / kBlock;
  const auto first = arena.matrix<double>(blocks, width);
  sum_blocks(exec, x, first);
  if (blocks > kBlock) {
    sum_columns(exec, arena, first, sums);
    return;
  }
  Kokkos::parallel_for(
      "gnn_hpc::column_sums::total", Rows(exec, 0, width), KOKKOS_LAMBDA(const int c) {
        double sum = 0.0;
        for (int b = 0; b < blocks; ++b) sum += first(b, c);
        sums(c) = sum;
      });
}

}  // namespace

template <class T>
void RowOps<T>::add_bias(const Exec& exec, View2<T> x, View1<T> bias) {
  GNN_HPC_REQUIRE(x.extent(1) == bias.extent(0), "bias of {} for width {}", bias.extent(0), x.extent(1));
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::add_bias", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) { x(r, c) += bias(c); });
      });
}

template <class T>
void RowOps<T>::add(const Exec& exec, View2<T> x, View2<T> y) {
  GNN_HPC_REQUIRE(x.extent(0) == y.extent(0) && x.extent(1) == y.extent(1), "adding {}x{} to {}x{}", x.extent(0), x.extent(1), y.extent(0),
                  y.extent(1));
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::add", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) { y(r, c) += x(r, c); });
      });
}

template <class T>
void RowOps<T>::softplus_backward(const Exec& exec, View2<T> y, View2<T> dy) {
  GNN_HPC_REQUIRE(y.extent(0) == dy.extent(0) && y.extent(1) == dy.extent(1), "softplus of {}x{}, gradient {}x{}", y.extent(0), y.extent(1),
                  dy.extent(0), dy.extent(1));
  const int width = y.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::softplus_backward", Kokkos::TeamPolicy<Exec>(exec, y.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) { dy(r, c) *= softplus_derivative_from_value(y(r, c)); });
      });
}

template <class T>
void RowOps<T>::column_sums(Step<T>& step, View2<T> x, View1<double> sums) {
  GNN_HPC_REQUIRE(x.extent(1) == sums.extent(0), "{} sums for width {}", sums.extent(0), x.extent(1));
  sum_columns(step.exec, step.arena, x, sums);
}

template <class T>
void RowOps<T>::add_column_sums(Step<T>& step, View2<T> dy, View1<T> db) {
  ArenaFrame frame(step.arena);
  const auto sums = step.arena.template array<double>(dy.extent(1));
  column_sums(step, dy, sums);
  Kokkos::parallel_for(
      "gnn_hpc::add_column_sums", Rows(step.exec, 0, dy.extent_int(1)), KOKKOS_LAMBDA(const int c) { db(c) += static_cast<T>(sums(c)); });
}

template <class T>
void sum_partials(Step<T>& step, View2<double> partial, View1<double> sums) {
  GNN_HPC_REQUIRE(partial.extent(1) == sums.extent(0), "{} sums for width {}", sums.extent(0), partial.extent(1));
  sum_columns(step.exec, step.arena, partial, sums);
}

template <class T>
void store_sums(const Exec& exec, View1<double> sums, View1<T> target) {
  GNN_HPC_REQUIRE(sums.extent(0) == target.extent(0), "{} sums for {} numbers", sums.extent(0), target.extent(0));
  Kokkos::parallel_for(
      "gnn_hpc::store_sums", Rows(exec, 0, target.extent_int(0)), KOKKOS_LAMBDA(const int c) { target(c) = static_cast<T>(sums(c)); });
}

template <class T>
void add_sums(const Exec& exec, View1<double> sums, View1<T> target) {
  GNN_HPC_REQUIRE(sums.extent(0) == target.extent(0), "{} sums for {} numbers", sums.extent(0), target.extent(0));
  Kokkos::parallel_for(
      "gnn_hpc::add_sums", Rows(exec, 0, target.extent_int(0)), KOKKOS_LAMBDA(const int c) { target(c) += static_cast<T>(sums(c)); });
}

template void store_sums<float>(const Exec&, View1<double>, View1<float>);
template void store_sums<double>(const Exec&, View1<double>, View1<double>);
template void add_sums<float>(const Exec&, View1<double>, View1<float>);
template void add_sums<double>(const Exec&, View1<double>, View1<double>);
template struct RowOps<float>;
template struct RowOps<double>;
template void sum_partials<float>(Step<float>&, View2<double>, View1<double>);
template void sum_partials<double>(Step<double>&, View2<double>, View1<double>);

}  // namespace gnn_hpc
