// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/append_log.hpp"
#include "train/checkpoint.hpp"
#include "train/evaluator.hpp"
#include "train/run_folder.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gnn_hpc {

/// A training loss in its two parts: what a validation loss consists of, and auxiliary terms where the task has them.
struct TrainLoss {
  double target = 0.0;
  std::optional<double> auxiliary{};
  std::vector<std::pair<std::string, double>> parts{};  ///< named ones, unweighted, of an epoch
};

/// metrics.jsonl and metrics.csv, written by the root. They hold no times of day, so that equal runs give equal files.
/// `loss`, `train_loss` and `val_loss` are the same quantity, without auxiliary terms; their sum with `auxiliary_loss`
/// (`train_auxiliary_loss`; only of tasks that have it) is what training minimises. What is undefined (NaN) is empty
/// in metrics.csv and null in metrics.jsonl.
///   {"type":"step","epoch":1,"step":1,"learning_rate":...,"loss":...,"gradient_norm":...}   (epoch, step: from 1)
///   {"type":"epoch","epoch":1,"step":9,"learning_rate":...,"train_loss":...,"val_loss":...,"val_mae":...,"best":true}
///   metrics.csv: epoch,step,learning_rate,train_loss,val_loss,val_<metric>...,train_<metric>...[,train_auxiliary_loss][,train_loss_<part>...]
///   [,phase]: of runs with named phases, in both files
class MetricsLog {
 public:
  /// Cuts both files to where the checkpoint says; on other ranks nothing is opened.
  MetricsLog(const RunFolder& folder, bool root, const TrainState& state);

  void step(std::int64_t epoch, std::int64_t step, double learning_rate, const TrainLoss& loss, double gradient_norm, bool bad);
  /// A validation in the middle of an epoch: {"type":"evaluation","epoch":1,"step":200,"learning_rate":...,"val_loss":...,"best":true}
  void evaluation(std::int64_t epoch, std::int64_t step, double learning_rate, const Evaluation& validation, bool best);
  /// Parameters that the task finds worth following: {"type":"report","step":200,"<name>":[...],...}
  void report(std::int64_t step, const std::vector<std::pair<std::string, std::vector<double>>>& values);
  /// `train` may be null: not evaluated this epoch.
  /// @param phase its name; empty: the run has none
  void epoch(std::int64_t epoch, std::int64_t step, const std::string& phase, double learning_rate, const TrainLoss& train_loss,
             const Evaluation& validation, const Evaluation* train, bool best);
  /// Everything written so far is handed to the system, and the state knows how much that is. Not synced: should the machine
  /// itself fail, lines may be missing, never the checkpoint.
  void flush(TrainState& state);

 private:
  AppendLog jsonl_, csv_;
  bool csv_has_auxiliary_ = true;  ///< false: a file that an earlier version began, without that column
};

}  // namespace gnn_hpc
