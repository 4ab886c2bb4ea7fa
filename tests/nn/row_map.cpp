// SPDX-License-Identifier: Apache-2.0
#include "nn/row_map.hpp"

#include "base/error.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using test::values_of;

View1<int> indices(const std::vector<int>& values) {
  View1<int> x("gnn_hpc::test::indices", values.size());
  const auto host = Kokkos::create_mirror_view(x);
  for (std::size_t i = 0; i < values.size(); ++i) host(i) = values[i];
  Kokkos::deep_copy(x, host);
  return x;
}

struct HostMap {
  int rows, taps;
  std::vector<int> first;
  std::vector<double> weight;
  template <class T>
  RowMap<T> device() const {
    std::vector<int> ptr(static_cast<std::size_t>(rows) + 1, 0), item;
    for (int r = 0; r < rows; ++r) {
      for (std::size_t i = 0; i < first.size(); ++i) {
        if (first[i] == r) item.push_back(static_cast<int>(i));
      }
      ptr[static_cast<std::size_t>(r) + 1] = static_cast<int>(item.size());
    }
    const GroupPieces pieces = cut_groups(ptr);
    return {rows,
            static_cast<int>(first.size()),
            taps,
            indices(first),
            test::matrix_of<T>(first.size(), static_cast<std::size_t>(taps), weight),
            indices(pieces.piece_ptr),
            indices(pieces.row_piece),
            indices(item)};
  }
};

/// Items spread unevenly over the rows: some rows have none, the last possible first row has some.
HostMap host_map(int rows, int items, int taps, std::uint64_t seed) {
  HostMap m{
      rows,
      taps,
      {},
      taps == 1 ? std::vector<double>(static_cast<std::size_t>(items), 1.0) : test::random_values(static_cast<std::size_t>(items * taps), seed)};
  const RandomKey key{seed, 1};
  for (int i = 0; i < items; ++i) {
    const double u = key.uniform(static_cast<std::uint64_t>(i));
    m.first.push_back(i % 5 == 0 ? rows - taps : static_cast<int>(u * u * (rows - taps + 1)));
  }
  return m;
}

/// add_mapped as kernels use it: strips, then single channels.
template <class T>
struct Mapped {
  RowMap<T> map;
  View2<T> table, y;
  int i;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    T sum[W];
    for (int j = 0; j < W; ++j) sum[j] = T(0);
    add_mapped(map, table, i, c, sum);
    for (int j = 0; j < W; ++j) y(i, c + j) = sum[j];
  }
};

template <class T>
void apply(const RowMap<T>& map, View2<T> table, View2<T> y) {
  const int width = table.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::test::mapped", Kokkos::TeamPolicy<Exec>(Exec(), map.num_items, Kokkos::AUTO), KOKKOS_LAMBDA(const Team& team) {
        each_strip(team, width, Mapped<T>{map, table, y, team.league_rank()});
      });
  Kokkos::fence();
}

TEST(RowMap, CutsGroupsIntoPiecesOfAtMost64) {
  const GroupPieces pieces = cut_groups({0, 0, 64, 65, 195});
  EXPECT_EQ(pieces.piece_ptr, (std::vector<int>{0, 64, 65, 129, 193, 195}));
  EXPECT_EQ(pieces.row_piece, (std::vector<int>{0, 0, 1, 2, 5}));
}

std::vector<HostMap> maps() {
  return {host_map(1, 1, 1, 1),     host_map(9, 30, 1, 2), host_map(300, 200, 1, 3), host_map(4, 1, 4, 4), host_map(4, 40, 4, 5),
          host_map(130, 500, 4, 6), host_map(7, 0, 4, 7),  host_map(7, 0, 1, 8),     HostMap{0, 1, {}, {}}};
}

TEST(RowMap, ForwardMatchesTheDefinition) {
  for (const HostMap& m : maps()) {
    for (const std::size_t width : {1U, 32U, 69U}) {
      SCOPED_TRACE(fmt::format("{} rows, {} items, {} taps, width {}", m.rows, m.first.size(), m.taps, width));
      const auto table = test::random_matrix<double>(static_cast<std::size_t>(m.rows), width, 9);
      const auto y = test::nan_matrix<double>(m.first.size(), width);
      apply(m.device<double>(), table, y);
      const auto t = values_of(table);
      std::vector<double> expected(y.size(), 0.0);
      for (std::size_t i = 0; i < m.first.size(); ++i) {
        for (std::size_t k = 0; k < static_cast<std::size_t>(m.taps); ++k) {
          const double w = m.weight[i * static_cast<std::size_t>(m.taps) + k];
          for (std::size_t c = 0; c < width; ++c) expected[i * width + c] += w * t[(static_cast<std::size_t>(m.first[i]) + k) * width + c];
        }
      }
      EXPECT_LE(test::relative_difference(values_of(y), expected), 1e-15);
    }
  }
}

TEST(RowMap, BackwardIsTheAdjointInBothReductions) {
  for (const HostMap& m : maps()) {
    for (const std::size_t width : {1U, 32U, 69U}) {
      SCOPED_TRACE(fmt::format("{} rows, {} items, {} taps, width {}", m.rows, m.first.size(), m.taps, width));
      const auto map = m.device<double>();
      const auto table = test::random_matrix<double>(static_cast<std::size_t>(m.rows), width, 10);
      for (const Reduction reduction : {Reduction::csr, Reduction::scatter}) {
        test::TestStep<double> step;
        step.poison();
        test::expect_adjoint([&](View2<double> x, View2<double> y) { apply(map, x, y); },
                             [&](View2<double> dy, View2<double> dx) { map.backward(step, reduction, dy, dx, false); }, table, m.first.size(), width);
      }
    }
  }
}

TEST(RowMap, BackwardCanAdd) {
  const HostMap m = host_map(40, 90, 4, 11);
  const auto map = m.device<double>();
  const auto dy = test::random_matrix<double>(90, 37, 12);
  for (const Reduction reduction : {Reduction::csr, Reduction::scatter}) {
    test::TestStep<double> step;
    const auto fresh = test::nan_matrix<double>(40, 37), added = test::random_matrix<double>(40, 37, 13);
    auto expected = values_of(added);
    map.backward(step, reduction, dy, fresh, false);
    map.backward(step, reduction, dy, added, true);
    Kokkos::fence();
    const auto f = values_of(fresh);
    for (std::size_t i = 0; i < f.size(); ++i) expected[i] += f[i];
    EXPECT_LE(test::relative_difference(values_of(added), expected), 1e-14);
  }
}

TEST(RowMap, RefusesShapesThatDoNotFit) {
  const auto map = host_map(9, 30, 1, 2).device<double>();
  test::TestStep<double> step;
  const auto dy = test::random_matrix<double>(30, 4, 1);
  EXPECT_THROW(map.backward(step, Reduction::csr, dy, test::nan_matrix<double>(8, 4), false), Error);
  EXPECT_THROW(map.backward(step, Reduction::csr, dy, test::nan_matrix<double>(9, 5), false), Error);
  EXPECT_THROW(map.backward(step, Reduction::scatter, test::random_matrix<double>(29, 4, 1), test::nan_matrix<double>(9, 4), false), Error);
}

}  // namespace
}  // namespace gnn_hpc
