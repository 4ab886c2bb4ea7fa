// SPDX-License-Identifier: Apache-2.0
#include "graph/sampler.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

namespace gnn_hpc {
namespace {

std::vector<std::int64_t> numbers(std::int64_t n) {
  std::vector<std::int64_t> out(static_cast<std::size_t>(n));
  std::iota(out.begin(), out.end(), 100);
  return out;
}

TEST(Sampler, ShuffleIsAPermutationAndDependsOnSeedAndEpoch) {
  const auto samples = numbers(1000);
  auto a = shuffled(samples, 123, 0);
  EXPECT_EQ(a, shuffled(samples, 123, 0));
  EXPECT_NE(a, shuffled(samples, 123, 1));
  EXPECT_NE(a, shuffled(samples, 124, 0));
  EXPECT_NE(a, samples);
  std::sort(a.begin(), a.end());
  EXPECT_EQ(a, samples);
  EXPECT_TRUE(shuffled({}, 1, 1).empty());
}

TEST(Sampler, ShuffleIsUniform) {
  // Every sample stands at every place equally often: chi-square of 10 x 10 counts over 20,000 epochs.
  const auto samples = numbers(10);
  std::vector<double> count(100, 0.0);
  constexpr int kEpochs = 20000;
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    const auto order = shuffled(samples, 7, epoch);
    for (std::size_t i = 0; i < 10; ++i) count[i * 10 + static_cast<std::size_t>(order[i] - 100)] += 1;
  }
  double chi2 = 0.0;
  for (const double c : count) chi2 += (c - kEpochs / 10.0) * (c - kEpochs / 10.0) / (kEpochs / 10.0);
  EXPECT_LT(chi2, 140.0);  // 81 degrees of freedom: the 0.9999 quantile is 136
}

TEST(Sampler, TrainingDropsTheLastIncompleteBatch) {
  const auto samples = numbers(70);
  const auto plan = BatchPlan::training(samples, 32, 1, 0);
  EXPECT_EQ(plan.num_batches(), 2);
  EXPECT_EQ(plan.batch(1).size(), 32U);
  EXPECT_EQ(BatchPlan::count_training(70, 32), 2);
  const auto small = BatchPlan::training(std::span(samples).first(5), 32, 1, 0);
  EXPECT_EQ(small.num_batches(), 1);
  EXPECT_EQ(small.batch(0).size(), 5U);
  EXPECT_EQ(BatchPlan::training({}, 32, 1, 0).num_batches(), 0);
}

TEST(Sampler, EvaluationCoversEverySampleInOrder) {
  const auto samples = numbers(70);
  const auto plan = BatchPlan::evaluation(samples, 32);
  ASSERT_EQ(plan.num_batches(), 3);
  std::vector<std::int64_t> all;
  for (int b = 0; b < 3; ++b) all.insert(all.end(), plan.batch(b).begin(), plan.batch(b).end());
  EXPECT_EQ(all, samples);
  EXPECT_EQ(BatchPlan::evaluation({}, 32).num_batches(), 0);
}

TEST(Sampler, SharesCoverTheBatchEvenly) {
  const auto batch = shuffled(numbers(64), 3, 0);
  const auto cost = [](std::int64_t s) { return 10 + (s * s) % 97; };
  for (const int size : {1, 2, 3, 4, 8}) {
    std::multiset<std::int64_t> all;
    std::int64_t most = 0, total = 0;
    for (int rank = 0; rank < size; ++rank) {
      const auto share = rank_share(batch, cost, rank, size);
      std::int64_t load = 0;
      std::size_t at = 0;
      for (const auto s : share) {
        while (at < batch.size() && batch[at] != s) ++at;  // in batch order
        EXPECT_LT(at, batch.size());
        all.insert(s);
        load += cost(s);
      }
      most = std::max(most, load);
      total += load;
    }
    EXPECT_EQ(all, std::multiset<std::int64_t>(batch.begin(), batch.end()));
    EXPECT_LE(most * size, total + 107 * size);
  }
}

TEST(Sampler, MoreRanksThanSamples) {
  const std::vector<std::int64_t> batch{5, 6};
  const auto cost = [](std::int64_t) { return std::int64_t{1}; };
  EXPECT_EQ(rank_share(batch, cost, 0, 4).size(), 1U);
  EXPECT_EQ(rank_share(batch, cost, 1, 4).size(), 1U);
  EXPECT_TRUE(rank_share(batch, cost, 2, 4).empty());
  EXPECT_TRUE(rank_share({}, cost, 0, 4).empty());
}

TEST(BatchPlan, TheSmallestTrainingBatch) {
  const auto smallest = [](std::int64_t samples, std::int64_t size, bool keep, std::int64_t least, std::int64_t most = 0) {
    BatchRule rule(size, keep, most);
    rule.smallest = least;
    // The count agrees with the batches themselves.
    std::vector<std::int64_t> all(static_cast<std::size_t>(samples));
    const BatchPlan plan = BatchPlan::training(all, rule, 1, 0);
    std::int64_t found = samples == 0 ? 0 : size + samples;
    for (std::int64_t b = 0; b < plan.num_batches(); ++b) found = std::min(found, static_cast<std::int64_t>(plan.batch(b).size()));
    EXPECT_EQ(BatchPlan::smallest_training(samples, rule), found) << samples << " " << size << " " << keep << " " << least;
    return found;
  };
  EXPECT_EQ(smallest(43, 6, true, 1), 1);
  EXPECT_EQ(smallest(43, 6, true, 2), 6);
  EXPECT_EQ(smallest(43, 6, false, 1), 6);
  EXPECT_EQ(smallest(44, 6, true, 2), 2);
  EXPECT_EQ(smallest(43, 6, true, 1, 3), 6);
  EXPECT_EQ(smallest(43, 1, true, 2), 1);
  EXPECT_EQ(smallest(5, 64, false, 1), 5);
  EXPECT_EQ(smallest(1, 64, true, 2), 1);
  EXPECT_EQ(smallest(12, 6, true, 1), 6);
  EXPECT_EQ(smallest(0, 6, true, 1), 0);
}

}  // namespace
}  // namespace gnn_hpc
