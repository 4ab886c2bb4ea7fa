// SPDX-License-Identifier: Apache-2.0
#include "train/schedule.hpp"

#include "io/hdf5.hpp"
#include "support/paths.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace gnn_hpc {
namespace {

TrainOptions options_for(const std::string& schedule, int epochs) {
  TrainOptions o;
  o.schedule = schedule;
  o.epochs = epochs;
  return o;
}

TEST(Schedule, OneCycleMatchesTheReference) {
  const auto path = test::shared_path("reference/fixtures/comformer_misc.h5");
  if (!exists(path)) GTEST_SKIP() << path << " is absent";
  const Hdf5Reader file(path.string());
  for (const std::string& name : file.list("/onecycle")) {
    const int total = std::stoi(name.substr(5));  // steps{T}
    const auto lr = file.read<double>("/onecycle/" + name + "/lr"), beta1 = file.read<double>("/onecycle/" + name + "/beta1");
    ASSERT_EQ(static_cast<int>(lr.size()), total);
    const Schedule schedule(options_for("one_cycle", total), 1);
    for (int s = 0; s < total; ++s) {
      EXPECT_NEAR(schedule.at(s).learning_rate, lr[s], 1e-14 * 1e-3) << name << " step " << s;
      EXPECT_NEAR(schedule.at(s).beta1, beta1[s], 1e-14) << name << " step " << s;
    }
  }
}

TEST(Schedule, WarmUpAndCosineGoByEpochs) {
  TrainOptions o = options_for("warmup_cosine", 9);
  o.learning_rate = 2.0;
  o.warmup_epochs = 5;
  const Schedule schedule(o, 3);
  for (const int step : {0, 1, 2}) EXPECT_DOUBLE_EQ(schedule.at(step).learning_rate, 0.4);
  EXPECT_DOUBLE_EQ(schedule.at(14).learning_rate, 2.0);  // the fifth epoch
  EXPECT_DOUBLE_EQ(schedule.at(15).learning_rate, 2.0);
  EXPECT_NEAR(schedule.at(21).learning_rate, 1.0, 1e-15);  // halfway
  EXPECT_NEAR(schedule.at(26).learning_rate, 1.0 + std::cos(M_PI * 0.75), 1e-15);
  o.warmup_epochs = 0;
  EXPECT_DOUBLE_EQ(Schedule(o, 3).at(0).learning_rate, 2.0);
}

TEST(Schedule, OneCycleOfAFewStepsLiesOnTheSecondPiece) {
  // t1 = 0.3 T - 1 < 0: no step is on the rising piece.
  const Schedule three(options_for("one_cycle", 3), 1);
  EXPECT_NEAR(three.at(0).learning_rate, 4e-9 + (1e-3 - 4e-9) / 2 * (1 + std::cos(M_PI * 0.1 / 2.1)), 1e-15);
  EXPECT_NEAR(three.at(2).learning_rate, 4e-9, 1e-18);
  EXPECT_NEAR(three.at(2).beta1, 0.95, 1e-15);
  EXPECT_NEAR(Schedule(options_for("one_cycle", 1), 1).at(0).learning_rate, 4e-9, 1e-18);
}

TEST(Schedule, OthersFollowTheirFormulae) {
  const Schedule none(options_for("none", 5), 7);
  EXPECT_EQ(none.at(34).learning_rate, 1e-3);
  EXPECT_EQ(none.at(0).beta1, 0.9);

  const Schedule step(options_for("step", 100000), 3);
  EXPECT_EQ(step.at(99999).learning_rate, 1e-3);
  EXPECT_NEAR(step.at(200000).learning_rate, 1e-3 * 0.96 * 0.96, 1e-18);

  const Schedule polynomial(options_for("polynomial", 11), 1);
  EXPECT_EQ(polynomial.at(0).learning_rate, 1e-3);
  EXPECT_NEAR(polynomial.at(5).learning_rate, 1e-3 * 0.51, 1e-18);
  EXPECT_NEAR(polynomial.at(10).learning_rate, 2e-5, 1e-18);

  const Schedule cosine(options_for("cosine", 10), 4);
  EXPECT_EQ(cosine.at(0).learning_rate, 1e-3);
  EXPECT_NEAR(cosine.at(20).learning_rate, 1e-6 + (1e-3 - 1e-6) / 2, 1e-17);
  EXPECT_NEAR(cosine.at(30).learning_rate, 1e-6 + (1e-3 - 1e-6) * (1 + std::cos(M_PI * 0.75)) / 2, 1e-17);

  const Schedule warmup(options_for("warmup_exponential", 12), 5);  // w = 10, T = 50
  EXPECT_EQ(warmup.at(0).learning_rate, 1e-4);
  EXPECT_NEAR(warmup.at(5).learning_rate, 5.5e-4, 1e-17);
  EXPECT_NEAR(warmup.at(10).learning_rate, 1e-3, 1e-17);
  EXPECT_NEAR(warmup.at(35).learning_rate, 1e-3 * std::sqrt(0.1), 1e-17);
  EXPECT_NEAR(warmup.at(60).learning_rate, 1e-4, 1e-18);
}

TEST(Durations, AsSlurmWritesThem) {
  EXPECT_EQ(parse_duration(""), 0.0);
  EXPECT_EQ(parse_duration("90"), 90.0);
  EXPECT_EQ(parse_duration("30:00"), 1800.0);
  EXPECT_EQ(parse_duration("02:00:30"), 7230.0);
  EXPECT_EQ(parse_duration("1-12:00:00"), 129600.0);
  EXPECT_EQ(parse_duration("2-00"), 172800.0);
  for (const char* bad : {"abc", "1:2:3:4", "-5", "1:", "1-2-3", "inf"}) EXPECT_LT(parse_duration(bad), 0.0) << bad;
}

}  // namespace
}  // namespace gnn_hpc
