// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/step_runner.hpp"

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace gnn_hpc {

/// One pass over a part of the data in evaluation mode.
struct Evaluation {
  double loss = 0.0;                                    ///< sum of losses / sum of loss weights over all samples; NaN without any target
  double weight = 0.0;                                  ///< sum of loss weights
  std::vector<std::pair<std::string, double>> metrics;  ///< of the task; the first one decides
  std::vector<Prediction> predictions;                  ///< on the root, in the order of the samples; only if asked for
};

/// What an evaluation brings to the root besides sums; each all that those before it do.
enum class Keep { sums, predictions, embeddings, items };

/// Runs the samples in their order, `batch` at a time over all ranks; no sample is dropped, shares may be empty. Sums are
/// added over batches and ranks in double. `stop` (may be empty) is asked on every rank before each batch; if any rank says
/// yes, all return nothing. Collective.
template <class T>
std::optional<Evaluation> evaluate(Task<T>& task, StepRunner<T>& runner, const Comm& comm, std::span<const std::int64_t> samples, int batch,
                                   Keep keep, const std::function<bool()>& stop = {});

/// Brings the sums of all ranks together; names may differ between ranks (an empty share adds none). Collective.
void reduce_measures(const Comm& comm, Measures& measures);

/// Columns of a `Prediction`.
struct RowWidths {
  std::size_t target = 0, prediction = 0, embedding = 0;
  bool items = false, table = false;  ///< besides, any number of values of the parts
  std::size_t all() const { return target + prediction + embedding; }
};

/// All ranks' predictions at the root, in the order of `samples`; empty elsewhere. Collective.
std::vector<Prediction> gather_predictions(const Comm& comm, std::span<const std::int64_t> samples, std::vector<Prediction> mine,
                                           const RowWidths& widths);

}  // namespace gnn_hpc
