// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/checkpoint.hpp"
#include "train/evaluator.hpp"
#include "train/metrics.hpp"
#include "train/repeated_inputs.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gnn_hpc {

/// Errors of one part of the data with the final weights.
struct PartScore {
  std::string part;  ///< train | validation | test
  std::int64_t samples = 0;
  double loss = 0.0;
  std::vector<std::pair<std::string, double>> metrics;  ///< of the task
  std::vector<RegressionScore> regression;              ///< per target; of numbers
  std::vector<ClassScore> classes;                      ///< per target; of probabilities and classes
};

/// From the gathered predictions, two passes in double. Call on the root.
PartScore score_part(const std::string& part, const Evaluation& evaluation, TargetKind kind, std::size_t num_targets, int num_classes);

/// `results.csv`: the errors of the test part, one row per target.
///   test/mae,test/rmse,test/r2,split,target         of numbers
///   test/accuracy,test/f1,test/roc,split,target     of probabilities and classes
std::string results_csv(const std::vector<PartScore>& parts, const std::vector<std::string>& targets, TargetKind kind, int split);

/// The table printed at the end: one row per part and target; without targets one per part, with the task's metrics.
std::string score_table(const std::vector<PartScore>& parts, const std::vector<std::string>& targets, TargetKind kind);

struct SummaryInfo {
  std::string system, status;      ///< finished | early_stopped
  std::string weights;             ///< best | last: whose errors the parts hold
  std::int64_t weights_epoch = 0;  ///< after which epoch they stood
  std::string deciding_metric;
  std::int64_t epochs = 0, parameters = 0, ranks = 1, skipped_records = 0;
  double seconds = 0.0;  ///< wall time of the run over all its starts, reading of the data included; see docs/run_folder.md
  std::optional<RepeatedInputs> repeated{};
  bool larger_is_better = false;  ///< of the deciding metric
};
/// `summary.json`; numbers that are not finite are null.
std::string summary_json(const SummaryInfo& info, const TrainState& state, const std::vector<PartScore>& parts,
                         const std::vector<std::string>& targets, TargetKind kind);

}  // namespace gnn_hpc
