// SPDX-License-Identifier: Apache-2.0
#include "train/batch_check.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "graph/sampler.hpp"

#include <string>

namespace gnn_hpc {

namespace {

/// Which option makes a batch of one graph, and what to do about it.
std::string cause_of_one(std::int64_t samples, const TrainOptions& options) {
  if (options.batch_size == 1) return "train.batch_size is 1 (over all ranks): set it to 2 or more";
  if (samples == 1) return "the training part has one sample: use more data";
  return fmt::format(
      "{} training samples in batches of {} leave a last batch of 1 (over all ranks): set train.smallest_last_batch to 2 or more, "
      "train.keep_last_batch to false, or another train.batch_size",
      samples, options.batch_size);
}

}  // namespace

template <class T>
void check_batches(const Task<T>& task, const TrainOptions& options) {
  const auto samples = static_cast<std::int64_t>(task.splits().train.size());
  if (samples > 0 && samples < options.batch_size) {
    log_info("train.batch_size is {}, but only {} samples train: every step takes them all", options.batch_size, samples);
  }
  const NormalisedRows rows = task.normalised_rows();
  if (rows == NormalisedRows::none || BatchPlan::smallest_training(samples, options.batches()) != 1) return;
  const std::string cause = cause_of_one(samples, options);
  if (rows == NormalisedRows::graphs) {
    throw Error(Exit::usage, fmt::format("BatchNorm over a batch of one graph gives the same for every graph: such a step teaches nothing. {}; "
                                         "or switch BatchNorm off (model.batch_norm: false)",
                                         cause));
  }
  log_warning("BatchNorm over a batch of one graph knows the nodes of that graph only (a graph of one node teaches nothing). {}", cause);
}

template void check_batches<float>(const Task<float>&, const TrainOptions&);
template void check_batches<double>(const Task<double>&, const TrainOptions&);

}  // namespace gnn_hpc
