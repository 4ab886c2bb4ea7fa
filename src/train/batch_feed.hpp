// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "graph/loader.hpp"
#include "graph/sampler.hpp"
#include "train/task.hpp"

#include <cstdint>
#include <memory>
#include <utility>

namespace gnn_hpc {

/// This rank's share of global batch `b` of a plan, collated into `out`.
template <class T>
void collate_share(const Task<T>& task, const Comm& comm, const BatchPlan& plan, std::int64_t b, HostBatch& out) {
  task.collate(rank_share(
                   plan.batch(b), [&](std::int64_t s) { return task.cost(s); }, comm.rank(), comm.size()),
               out);
}

/// The batch of a plan that costs most; 0 of an empty plan.
template <class T>
std::int64_t costliest_batch(const Task<T>& task, const BatchPlan& plan) {
  std::int64_t costliest = 0, largest = -1;
  for (std::int64_t b = 0; b < plan.num_batches(); ++b) {
    std::int64_t cost = 0;
    for (const std::int64_t s : plan.batch(b)) cost += task.cost(s);
    if (cost > largest) {
      largest = cost;
      costliest = b;
    }
  }
  return costliest;
}

/// This rank's shares of all steps of a training run, from step `first` on, filled ahead by a thread. One feed serves all epochs, so
/// that the next one's first batches are ready when validation ends.
template <class T>
class TrainingFeed {
 public:
  TrainingFeed(const Task<T>& task, const Comm& comm, const BatchRule& rule, std::uint64_t seed, std::int64_t epochs, std::int64_t first)
      : task_(task),
        comm_(comm),
        rule_(rule),
        seed_(seed),
        steps_(BatchPlan::count_training(static_cast<std::int64_t>(task.splits().train.size()), rule)),
        loader_(
            epochs * steps_, [&] { return task.new_batch(); }, [this](std::int64_t b, HostBatch& out) { fill(b, out); }, first) {}

  /// Of the next step; valid until the following call.
  const HostBatch& next() {
    const HostBatch* batch = loader_.next();
    GNN_HPC_REQUIRE(batch != nullptr, "no step is left");
    return *batch;
  }

 private:
  void fill(std::int64_t step, HostBatch& out) {  // on the loader's thread
    if (step / steps_ != epoch_) {
      epoch_ = step / steps_;
      plan_ = BatchPlan::training(task_.splits().train, rule_, seed_, epoch_);
    }
    collate_share(task_, comm_, plan_, step % steps_, out);
  }

  const Task<T>& task_;
  const Comm& comm_;
  BatchRule rule_;
  std::uint64_t seed_;
  std::int64_t steps_, epoch_ = -1;
  BatchPlan plan_;
  Loader<HostBatch> loader_;  // last: its thread uses the members above
};

}  // namespace gnn_hpc
