// SPDX-License-Identifier: Apache-2.0
#include "nn/dropout.hpp"

#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace gnn_hpc {
namespace {

using test::TestStep;
using Team = Kokkos::TeamPolicy<Exec>::member_type;

View1<std::uint64_t> keys_of(int rows, std::uint64_t first) {
  View1<std::uint64_t> keys("keys", static_cast<std::size_t>(rows));
  const auto host = Kokkos::create_mirror_view(keys);
  for (int r = 0; r < rows; ++r) host(r) = first + static_cast<std::uint64_t>(r);
  Kokkos::deep_copy(keys, host);
  return keys;
}

std::vector<double> dropped(const Dropout<double>& drop, int rows, int width) {
  const auto y = test::matrix_of<double>(static_cast<std::size_t>(rows), static_cast<std::size_t>(width),
                                         std::vector<double>(static_cast<std::size_t>(rows * width), 1.0));
  Kokkos::parallel_for(
      Kokkos::TeamPolicy<Exec>(rows, Kokkos::AUTO),
      KOKKOS_LAMBDA(const Team& team) { drop.apply(team, width, team.league_rank(), &y(team.league_rank(), 0)); });
  Kokkos::fence();
  return test::values_of(y);
}

TEST(Dropout, KeepsTheMeanAtEveryRate) {
  TestStep<double> step;
  for (const double p : {0.1, 0.5, 0.9}) {
    const double kept = 65536.0 / (65536.0 - std::round(p * 65536.0));  // p is one of 65,536ths
    const auto y = dropped(Dropout<double>(step, 3, p, keys_of(400, 0)), 400, 130);
    double sum = 0.0, zeros = 0.0;
    for (const double v : y) {
      EXPECT_TRUE(v == 0.0 || std::fabs(v - kept) < 1e-12);
      sum += v;
      zeros += v == 0.0;
    }
    const double n = static_cast<double>(y.size());
    EXPECT_NEAR(zeros / n, p, 4.0 * std::sqrt(p * (1.0 - p) / n));
    EXPECT_NEAR(sum / n, 1.0, 4.0 * std::sqrt(p / (1.0 - p) / n));
  }
}

TEST(Dropout, IsAFunctionOfLayerRowAndChannelOnly) {
  TestStep<double> step;
  const auto whole = dropped(Dropout<double>(step, 3, 0.5, keys_of(8, 10)), 8, 37);
  const auto part = dropped(Dropout<double>(step, 3, 0.5, keys_of(3, 14)), 3, 37);  // rows 4..6 of the other
  EXPECT_EQ(part, std::vector<double>(whole.begin() + 4 * 37, whole.begin() + 7 * 37));
  EXPECT_NE(dropped(Dropout<double>(step, 4, 0.5, keys_of(8, 10)), 8, 37), whole);
}

TEST(Dropout, IsOffWhenEvaluatingAndAtZero) {
  TestStep<double> evaluate(Mode::evaluate), train;
  const std::vector<double> ones(2 * 9, 1.0);
  EXPECT_EQ(dropped(Dropout<double>(evaluate, 3, 0.5, keys_of(2, 0)), 2, 9), ones);
  EXPECT_EQ(dropped(Dropout<double>(train, 3, 0.0, keys_of(2, 0)), 2, 9), ones);
}

}  // namespace
}  // namespace gnn_hpc
