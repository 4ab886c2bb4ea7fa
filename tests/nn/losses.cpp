// SPDX-License-Identifier: Apache-2.0
#include "nn/target_losses.hpp"

#include "base/error.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace gnn_hpc {
namespace {

using test::TestStep;
using test::values_of;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

using Kind = TargetSlice::Kind;

/// The loss of targets of one kind side by side.
template <class T>
View1<double> loss_of_all(Step<T>& step, Kind kind, View2<T> p, View2<double> y, double divisor, View2<T> dp) {
  const std::vector<TargetSlice> slices(y.extent(1), TargetSlice{kind, 1, 1.0});
  return target_loss<T>(step, slices, p, y, divisor, dp);
}

double loss_of(Kind criterion, double p, double y) {
  if (criterion == Kind::regression) return (p - y) * (p - y);
  if (criterion == Kind::absolute) return std::fabs(p - y);
  return -(y * std::log(1.0 / (1.0 + std::exp(-p))) + (1.0 - y) * std::log(1.0 - 1.0 / (1.0 + std::exp(-p))));
}

std::vector<double> targets_of(Kind criterion, std::size_t n, bool missing) {
  std::vector<double> y = test::random_values(n, 41);
  for (std::size_t i = 0; i < n; ++i) {
    if (criterion == Kind::binary) y[i] = y[i] > 0.0 ? 1.0 : 0.0;
    if (missing && i % 3 == 1) y[i] = kNan;
  }
  return y;
}

class Losses : public ::testing::TestWithParam<Kind> {};

TEST_P(Losses, ValueAndGradient) {
  for (const std::size_t rows : {0U, 1U, 7U, 130U}) {
    for (const std::size_t width : {1U, 3U}) {
      for (const bool missing : {false, true}) {
        SCOPED_TRACE(fmt::format("{} x {}, missing {}", rows, width, missing));
        TestStep<double> step;
        const auto target = targets_of(GetParam(), rows * width, missing);
        const auto y = test::matrix_of<double>(rows, width, target);
        const auto p = test::random_matrix<double>(rows, width, 42), dp = test::nan_matrix<double>(rows, width);
        const double divisor = 17.0;
        step.poison();
        const auto loss = loss_of_all(step, GetParam(), p, y, divisor, dp);
        Kokkos::fence();
        const auto prediction = values_of(p), gradient = values_of(dp);
        double expected = 0.0;
        for (std::size_t i = 0; i < target.size(); ++i) {
          if (std::isnan(target[i])) {
            EXPECT_EQ(gradient[i], 0.0);
            continue;
          }
          expected += loss_of(GetParam(), prediction[i], target[i]) / divisor;
          const double h = 1e-5;
          const double difference =
              (loss_of(GetParam(), prediction[i] + h, target[i]) - loss_of(GetParam(), prediction[i] - h, target[i])) / (2.0 * h);
          EXPECT_NEAR(gradient[i], difference / divisor, 1e-9);
        }
        EXPECT_NEAR(values_of(loss)[0], expected, 1e-13 * (1.0 + expected));
      }
    }
  }
}

TEST_P(Losses, SharesOfABatchAddUp) {
  // Ranks divide by the number of targets in the global batch.
  const std::size_t rows = 12, cut = 5;
  TestStep<double> step;
  const auto target = targets_of(GetParam(), rows, true);
  const auto p = test::random_values(rows, 43);
  const auto run = [&](std::size_t begin, std::size_t end) {
    const auto slice = [&](const std::vector<double>& v) {
      return std::vector<double>(v.begin() + static_cast<std::ptrdiff_t>(begin), v.begin() + static_cast<std::ptrdiff_t>(end));
    };
    const auto dp = test::nan_matrix<double>(end - begin, 1);
    const auto loss = loss_of_all(step, GetParam(), test::matrix_of<double>(end - begin, 1, slice(p)),
                                  test::matrix_of<double>(end - begin, 1, slice(target)), 8.0, dp);
    Kokkos::fence();
    return std::pair(values_of(loss)[0], values_of(dp));
  };
  const auto [whole, gradient] = run(0, rows);
  const auto [first, first_gradient] = run(0, cut);
  const auto [second, second_gradient] = run(cut, rows);
  EXPECT_NEAR(first + second, whole, 1e-15);
  EXPECT_EQ(first_gradient, std::vector<double>(gradient.begin(), gradient.begin() + static_cast<std::ptrdiff_t>(cut)));
  EXPECT_EQ(second_gradient, std::vector<double>(gradient.begin() + static_cast<std::ptrdiff_t>(cut), gradient.end()));
}

TEST_P(Losses, NothingPresentIsZeroNotNan) {
  TestStep<float> step;
  const auto dp = test::nan_matrix<float>(3, 2);
  const auto loss =
      loss_of_all(step, GetParam(), test::random_matrix<float>(3, 2, 1), test::matrix_of<double>(3, 2, std::vector<double>(6, kNan)), 0.0, dp);
  Kokkos::fence();
  EXPECT_EQ(values_of(loss)[0], 0.0);
  EXPECT_EQ(values_of(dp), std::vector<double>(6, 0.0));
}

INSTANTIATE_TEST_SUITE_P(Criteria, Losses, ::testing::Values(Kind::regression, Kind::absolute, Kind::binary));

TEST(TargetLoss, L1HasNoGradientAtItsKink) {
  TestStep<double> step;
  const auto dp = test::nan_matrix<double>(1, 3);
  loss_of_all(step, Kind::absolute, test::matrix_of<double>(1, 3, {1, 2, 3}), test::matrix_of<double>(1, 3, {1, 3, 1}), 2.0, dp);
  Kokkos::fence();
  EXPECT_EQ(values_of(dp), (std::vector<double>{0.0, -0.5, 0.5}));
}

TEST(TargetLoss, BinaryOfExtremeLogitsIsFinite) {
  TestStep<double> step;
  const auto dp = test::nan_matrix<double>(4, 1);
  const auto loss = loss_of_all(step, Kind::binary, test::matrix_of<double>(4, 1, {1000, -1000, 1000, -1000}),
                                test::matrix_of<double>(4, 1, {1, 0, 0, 1}), 1.0, dp);
  Kokkos::fence();
  EXPECT_EQ(values_of(loss)[0], 2000.0);
  EXPECT_EQ(values_of(dp), (std::vector<double>{0.0, 0.0, 1.0, -1.0}));
}

TEST(TargetLoss, RefusesShapesThatDoNotFit) {
  TestStep<double> step;
  EXPECT_THROW(loss_of_all(step, Kind::regression, test::random_matrix<double>(3, 2, 1), test::random_matrix<double>(3, 1, 1), 1.0,
                           test::nan_matrix<double>(3, 2)),
               Error);
}

}  // namespace
}  // namespace gnn_hpc
