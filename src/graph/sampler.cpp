// SPDX-License-Identifier: Apache-2.0
#include "graph/sampler.hpp"

#include "base/error.hpp"
#include "base/random.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace gnn_hpc {

namespace {
/// Uniform in [0, bound) from 64 random bits by the high half of a product; the bias is below bound / 2^64.
std::uint64_t bounded(const RandomKey& key, std::uint64_t counter, std::uint64_t bound) {
  const auto w = key.words(counter);
  const std::uint64_t x = (static_cast<std::uint64_t>(w[1]) << 32) | w[0];
  const std::uint64_t x_low = x & 0xFFFFFFFFU, x_high = x >> 32, b_low = bound & 0xFFFFFFFFU, b_high = bound >> 32;
  const std::uint64_t middle = x_high * b_low + ((x_low * b_low) >> 32), cross = x_low * b_high + (middle & 0xFFFFFFFFU);
  return x_high * b_high + (middle >> 32) + (cross >> 32);
}
}  // namespace

std::vector<std::int64_t> shuffled(std::span<const std::int64_t> samples, std::uint64_t seed, std::int64_t epoch) {
  std::vector<std::int64_t> order(samples.begin(), samples.end());
  const RandomKey key = RandomKey{seed, fnv1a64("sampler")}.fold(static_cast<std::uint64_t>(epoch));
  for (std::size_t i = order.size(); i-- > 1;) std::swap(order[i], order[bounded(key, i, i + 1)]);
  return order;
}

std::int64_t BatchPlan::count_training(std::int64_t num_samples, const BatchRule& rule) {
  GNN_HPC_REQUIRE(rule.batch_size >= 1, "batch size {}", rule.batch_size);
  if (num_samples == 0) return 0;
  const std::int64_t whole = num_samples / rule.batch_size, rest = num_samples % rule.batch_size;
  const std::int64_t all = std::max<std::int64_t>(1, rule.keep_last && rest >= std::max<std::int64_t>(1, rule.smallest) ? whole + 1 : whole);
  return rule.most > 0 ? std::min(all, rule.most) : all;
}

std::int64_t BatchPlan::smallest_training(std::int64_t num_samples, const BatchRule& rule) {
  const std::int64_t batches = count_training(num_samples, rule), last = num_samples - (batches - 1) * rule.batch_size;
  return batches == 0 ? 0 : std::min(rule.batch_size, last);
}

BatchPlan BatchPlan::training(std::span<const std::int64_t> samples, const BatchRule& rule, std::uint64_t seed, std::int64_t epoch) {
  BatchPlan plan;
  plan.order_ = shuffled(samples, seed, epoch);
  plan.batch_size_ = rule.batch_size;
  plan.num_batches_ = count_training(static_cast<std::int64_t>(samples.size()), rule);
  return plan;
}

BatchPlan BatchPlan::evaluation(std::span<const std::int64_t> samples, std::int64_t batch_size) {
  GNN_HPC_REQUIRE(batch_size >= 1, "batch size {}", batch_size);
  BatchPlan plan;
  plan.order_.assign(samples.begin(), samples.end());
  plan.batch_size_ = batch_size;
  plan.num_batches_ = (static_cast<std::int64_t>(samples.size()) + batch_size - 1) / batch_size;
  return plan;
}

std::span<const std::int64_t> BatchPlan::batch(std::int64_t b) const {
  GNN_HPC_REQUIRE(b >= 0 && b < num_batches_, "batch {} of {}", b, num_batches_);
  const auto begin = static_cast<std::size_t>(b * batch_size_);
  return std::span<const std::int64_t>(order_).subspan(begin, std::min(static_cast<std::size_t>(batch_size_), order_.size() - begin));
}

std::vector<std::int64_t> rank_share(std::span<const std::int64_t> batch, const std::function<std::int64_t(std::int64_t)>& cost, int rank, int size) {
  if (size == 1) return {batch.begin(), batch.end()};
  std::vector<std::int64_t> costs(batch.size());
  std::transform(batch.begin(), batch.end(), costs.begin(), cost);
  std::vector<std::size_t> by_cost(batch.size());
  std::iota(by_cost.begin(), by_cost.end(), std::size_t{0});
  std::stable_sort(by_cost.begin(), by_cost.end(), [&](std::size_t a, std::size_t b) { return costs[a] > costs[b]; });
  std::vector<std::int64_t> load(static_cast<std::size_t>(size), 0);
  std::vector<std::size_t> mine;
  for (const std::size_t i : by_cost) {
    const auto least = std::min_element(load.begin(), load.end());
    *least += costs[i];
    if (least - load.begin() == rank) mine.push_back(i);
  }
  std::sort(mine.begin(), mine.end());
  std::vector<std::int64_t> share;
  share.reserve(mine.size());
  for (const std::size_t i : mine) share.push_back(batch[i]);
  return share;
}

}  // namespace gnn_hpc
