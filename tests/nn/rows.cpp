// SPDX-License-Identifier: Apache-2.0
#include "nn/rows.hpp"

#include "base/error.hpp"
#include "nn/channels.hpp"
#include "support/views.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using test::random_matrix;
using test::TestStep;
using test::values_of;

std::vector<double> sums_of(const std::vector<double>& x, std::size_t width) {
  std::vector<long double> sums(width, 0.0L);
  for (std::size_t i = 0; i < x.size(); ++i) sums[i % width] += static_cast<long double>(x[i]);
  return {sums.begin(), sums.end()};
}

TEST(Rows, ColumnSumsOfAnyShape) {
  for (const std::size_t rows : {0U, 1U, 63U, 64U, 65U, 4096U, 4097U, 9000U}) {  // one, two and three stages
    for (const std::size_t width : {1U, 32U, 69U}) {
      SCOPED_TRACE(fmt::format("{} x {}", rows, width));
      TestStep<float> step(Mode::train, std::size_t{1} << 24);
      const auto x = random_matrix<float>(rows, width, 7);
      const auto sums = step.arena.array<double>(width);
      step.poison();
      Kokkos::deep_copy(sums, std::nan(""));
      RowOps<float>::column_sums(step, x, sums);
      const auto db = test::array_of<float>(std::vector<double>(width, 2.0));
      RowOps<float>::add_column_sums(step, x, db);
      Kokkos::fence();
      const auto expected = sums_of(values_of(x), width);
      const auto got = values_of(sums), added = values_of(db);
      for (std::size_t c = 0; c < width; ++c) {
        EXPECT_NEAR(got[c], expected[c], 1e-12 * std::sqrt(1.0 + static_cast<double>(rows)));
        EXPECT_NEAR(added[c], 2.0 + expected[c], 1e-6 * (2.0 + std::abs(expected[c])));
      }
    }
  }
}

TEST(Rows, SumsOfFloatsKeepDoublePrecision) {
  TestStep<float> step(Mode::train, std::size_t{1} << 25);
  const std::size_t rows = 100001;
  std::vector<double> values(rows, 1.0);
  values[0] = 16777216.0;  // 2^24: adding ones to it in float changes nothing
  const auto x = test::matrix_of<float>(rows, 1, values);
  const auto sums = step.arena.array<double>(1);
  RowOps<float>::column_sums(step, x, sums);
  Kokkos::fence();
  EXPECT_EQ(values_of(sums)[0], 16777216.0 + 100000.0);
}

TEST(Rows, SumPartials) {
  TestStep<float> step;
  const auto partial = random_matrix<double>(130, 6, 8);
  const auto sums = step.arena.array<double>(6);
  sum_partials(step, partial, sums);
  Kokkos::fence();
  EXPECT_LT(test::relative_difference(values_of(sums), sums_of(values_of(partial), 6)), 1e-14);
}

TEST(Rows, BiasAndAddWorkOnWindows) {
  const auto wide = random_matrix<double>(5, 9, 9), other = random_matrix<double>(5, 4, 10);
  const auto bias = test::array_of<double>({1, 2, 3, 4});
  auto expected = values_of(wide);
  const auto b = values_of(other);
  for (std::size_t r = 0; r < 5; ++r) {
    for (std::size_t c = 0; c < 4; ++c) expected[r * 9 + 3 + c] = (expected[r * 9 + 3 + c] + static_cast<double>(c + 1)) + b[r * 4 + c];
  }
  const Exec exec;
  RowOps<double>::add_bias(exec, column_range(wide, 3, 7), bias);
  RowOps<double>::add(exec, other, column_range(wide, 3, 7));
  exec.fence();
  EXPECT_EQ(values_of(wide), expected);
  RowOps<double>::add_bias(exec, View2<double>("none", 0, 4), bias);
  EXPECT_THROW(RowOps<double>::add_bias(exec, wide, bias), Error);
  EXPECT_THROW(RowOps<double>::add(exec, other, wide), Error);
}

}  // namespace
}  // namespace gnn_hpc
