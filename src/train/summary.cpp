// SPDX-License-Identifier: Apache-2.0
#include "train/summary.hpp"

#include "base/error.hpp"
#include "base/provenance.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace gnn_hpc {

PartScore score_part(const std::string& part, const Evaluation& evaluation, TargetKind kind, std::size_t num_targets) {
  PartScore score;
  score.part = part;
  score.samples = static_cast<std::int64_t>(evaluation.predictions.size());
  score.loss = evaluation.loss;
  score.metrics = evaluation.metrics;
  std::vector<double> target(evaluation.predictions.size()), prediction(evaluation.predictions.size());
  for (std::size_t k = 0; k < num_targets; ++k) {
    for (std::size_t i = 0; i < target.size(); ++i) {
      target[i] = evaluation.predictions[i].target[k];
      prediction[i] = evaluation.predictions[i].prediction[k];
    }
    if (kind == TargetKind::probability) score.binary.push_back(binary_score(target, prediction));
    else score.regression.push_back(regression_score(target, prediction));
  }
  return score;
}

std::string score_table(const std::vector<PartScore>& parts, const std::vector<std::string>& targets, TargetKind kind) {
  std::size_t width = 6;
  for (const std::string& name : targets) width = std::max(width, name.size());
  const bool binary = kind == TargetKind::probability;
  std::string out = fmt::format("{:<11} {:<{}} {:>9} {:>12} {:>12} {:>12}", "part", "target", width, "count", binary ? "accuracy" : "MAE",
                                binary ? "F1" : "RMSE", binary ? "ROC AUC" : "R2");
  for (const PartScore& part : parts) {
    for (std::size_t k = 0; k < targets.size(); ++k) {
      if (binary) {
        const BinaryScore& s = part.binary[k];
        fmt::format_to(std::back_inserter(out), "\n{:<11} {:<{}} {:>9} {:>12.6g} {:>12.6g} {:>12.6g}", part.part, targets[k], width,
                       s.count, s.accuracy, s.f1, s.roc_auc);
      } else {
        const RegressionScore& s = part.regression[k];
        fmt::format_to(std::back_inserter(out), "\n{:<11} {:<{}} {:>9} {:>12.6g} {:>12.6g} {:>12.6g}", part.part, targets[k], width,
                       s.count, s.mae, s.rmse, s.r2);
      }
    }
  }
  return out;
}

std::string summary_json(const SummaryInfo& info, const TrainState& state, const std::vector<PartScore>& parts,
                         const std::vector<std::string>& targets, TargetKind kind) {
  nlohmann::ordered_json out;
  out["system"] = info.system;
  out["status"] = info.status;
  out["weights"] = info.weights;
  out["epochs"] = info.epochs;
  out["epochs_done"] = state.epoch;
  out["steps"] = state.step;
  out["best_epoch"] = state.best_epoch;
  out["deciding_metric"] = info.deciding_metric;
  out["best_validation"] = state.best_metric;
  out["skipped_steps"] = static_cast<std::int64_t>(state.skipped);
  out["skipped_records"] = info.skipped_records;
  out["parameters"] = info.parameters;
  out["ranks"] = info.ranks;
  out["seconds"] = info.seconds;
  out["provenance"] = provenance_line();
  for (const PartScore& part : parts) {
    nlohmann::ordered_json p;
    p["samples"] = part.samples;
    p["loss"] = part.loss;
    for (const auto& [name, value] : part.metrics) p["metrics"][name] = value;
    for (std::size_t k = 0; k < targets.size(); ++k) {
      nlohmann::ordered_json& t = p["targets"][targets[k]];
      if (kind == TargetKind::probability) {
        const BinaryScore& s = part.binary[k];
        t = {{"count", s.count}, {"accuracy", s.accuracy}, {"f1", s.f1}, {"roc_auc", s.roc_auc}};
      } else {
        const RegressionScore& s = part.regression[k];
        t = {{"count", s.count}, {"mae", s.mae}, {"rmse", s.rmse}, {"r2", s.r2}};
      }
    }
    out["parts"][part.part] = std::move(p);
  }
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace gnn_hpc
