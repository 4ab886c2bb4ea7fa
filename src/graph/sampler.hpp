// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace gnn_hpc {

/// Which samples each global step takes, and which of them a rank takes: pure functions of their arguments, the same on every
/// rank, so that a position in the data is (epoch, step) and nothing has to be saved.

/// The samples in the order of an epoch (Fisher-Yates, counter-based numbers of (seed, epoch)).
std::vector<std::int64_t> shuffled(std::span<const std::int64_t> samples, std::uint64_t seed, std::int64_t epoch);

/// How an epoch of training is cut into batches. A number alone is a batch size.
struct BatchRule {
  std::int64_t batch_size = 1;
  bool keep_last = false;                                                         ///< keep the last incomplete batch
  std::int64_t smallest = 1;                                                      ///< ... if it holds so many samples
  std::int64_t most = 0;                                                          ///< batches an epoch; 0: all
  BatchRule(std::int64_t size, bool keep = false, std::int64_t most_batches = 0)  // NOLINT: a size is a rule
      : batch_size(size), keep_last(keep), most(most_batches) {}
};

/// The global batches of an epoch: consecutive runs of `batch_size` samples.
/// Training drops the last incomplete batch (unless it is the only one or the rule keeps it); evaluation covers every sample. No sample:
/// no batch.
class BatchPlan {
 public:
  /// Training: shuffled by (seed, epoch).
  static BatchPlan training(std::span<const std::int64_t> samples, const BatchRule& rule, std::uint64_t seed, std::int64_t epoch);
  /// Evaluation: in the given order.
  static BatchPlan evaluation(std::span<const std::int64_t> samples, std::int64_t batch_size);

  std::int64_t num_batches() const { return num_batches_; }
  std::span<const std::int64_t> batch(std::int64_t b) const;
  /// Batches of an epoch of training, without making its order.
  static std::int64_t count_training(std::int64_t num_samples, const BatchRule& rule);
  /// Samples of the smallest of them; 0 without samples.
  static std::int64_t smallest_training(std::int64_t num_samples, const BatchRule& rule);

 private:
  std::vector<std::int64_t> order_;
  std::int64_t batch_size_ = 1, num_batches_ = 0;
};

/// The part of a global batch that `rank` of `size` takes, in batch order. Costs are evened out: samples in order of falling cost
/// (then position) go to the rank with the least so far (then the lowest). The shares are disjoint and cover the batch;
/// a share may be empty.
std::vector<std::int64_t> rank_share(std::span<const std::int64_t> batch, const std::function<std::int64_t(std::int64_t)>& cost, int rank, int size);

}  // namespace gnn_hpc
