// SPDX-License-Identifier: Apache-2.0
#include "nn/gelu.hpp"
#include "nn/random_mask.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace gnn_hpc {
namespace {

TEST(Gelu, IsTheExactForm) {
  for (double u = -9.0; u <= 9.0; u += 0.0625) {
    const double cdf = 0.5 * std::erfc(-u / std::sqrt(2.0));
    EXPECT_NEAR(gelu(u), u * cdf, 1e-15 * (1.0 + std::fabs(u)));
    EXPECT_NEAR(static_cast<double>(gelu(static_cast<float>(u))), u * cdf, 1e-6);
    const double h = 1e-4, numeric = (8.0 * (gelu(u + h) - gelu(u - h)) - (gelu(u + 2 * h) - gelu(u - 2 * h))) / (12.0 * h);
    EXPECT_NEAR(gelu_derivative(u), numeric, 1e-10);
    EXPECT_NEAR(static_cast<double>(gelu_derivative(static_cast<float>(u))), numeric, 1e-6);
  }
}

TEST(RandomMask, BlocksAndSingleFactorsAgree) {
  const RandomMask mask(RandomKey{3, 8}, 0.2);
  for (const std::uint64_t sequence : {0ULL, 91ULL}) {
    for (const std::uint32_t row : {0U, 5U, 5000U}) {
      for (int block = 0; block < 3; ++block) {
        double factor[128];
        mask.fill_block<double>(sequence, row, block, factor);
        for (int c = 0; c < 128; ++c) EXPECT_EQ(factor[c], mask.factor<double>(sequence, row, 128 * block + c));
      }
    }
  }
}

TEST(RandomMask, DropsItsRateAndKeepsTheMean) {
  for (const double rate : {0.1, 0.5, 0.9}) {
    const RandomMask mask(RandomKey{3, 8}, rate);
    double sum = 0.0, dropped = 0.0;
    const int rows = 800;
    for (int row = 0; row < rows; ++row) {
      double factor[128];
      mask.fill_block<double>(7, static_cast<std::uint32_t>(row), 0, factor);
      for (const double f : factor) {
        sum += f;
        dropped += f == 0.0 ? 1.0 : 0.0;
      }
    }
    const double n = rows * 128.0;
    EXPECT_NEAR(dropped / n, rate, 5.0 * std::sqrt(rate * (1.0 - rate) / n));
    EXPECT_NEAR(sum / n, 1.0, 5.0 * std::sqrt(rate / (1.0 - rate) / n));
  }
  EXPECT_FALSE(RandomMask().active());
}

}  // namespace
}  // namespace gnn_hpc
