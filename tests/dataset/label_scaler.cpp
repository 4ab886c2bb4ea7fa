// SPDX-License-Identifier: Apache-2.0
#include "dataset/label_scaler.hpp"

#include "base/error.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace gnn_hpc {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

TEST(LabelScaler, PopulationSpreadOfTheTrainingSamples) {
  const std::vector<double> labels{1.0, 10.0, 3.0, kMissing, 100.0, 30.0, 5.0, 20.0};  // [4,2]
  const std::vector<std::int64_t> train{0, 1, 3};
  const auto scaler = LabelScaler::fit(labels, train, {"a", "b"});
  EXPECT_DOUBLE_EQ(scaler.mean[0], 3.0);
  EXPECT_DOUBLE_EQ(scaler.std[0], std::sqrt(8.0 / 3.0));
  EXPECT_DOUBLE_EQ(scaler.mean[1], 15.0);
  EXPECT_DOUBLE_EQ(scaler.std[1], 5.0);
  EXPECT_DOUBLE_EQ(scaler.unscale(scaler.scale(7.25, 0), 0), 7.25);
}

TEST(LabelScaler, NothingToLearnIsAnError) {
  const std::vector<std::int64_t> all{0, 1, 2};
  EXPECT_THROW(LabelScaler::fit(std::vector<double>{0.1, 0.1, 0.1}, all, {"a"}), Error);
  EXPECT_THROW(LabelScaler::fit(std::vector<double>{kMissing, kMissing, kMissing}, all, {"a"}), Error);
  EXPECT_THROW(LabelScaler::fit(std::vector<double>{0.0, 0.0, 0.0}, all, {"a"}), Error);
}

}  // namespace
}  // namespace gnn_hpc
