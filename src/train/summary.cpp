// SPDX-License-Identifier: Apache-2.0
#include "train/summary.hpp"

#include "base/error.hpp"
#include "base/provenance.hpp"
#include "base/text.hpp"
#include "train/run_folder.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace gnn_hpc {

PartScore score_part(const std::string& part, const Evaluation& evaluation, TargetKind kind, std::size_t num_targets, int num_classes) {
  PartScore score;
  score.part = part;
  score.samples = static_cast<std::int64_t>(evaluation.predictions.size());
  score.loss = evaluation.loss;
  score.metrics = evaluation.metrics;
  const auto columns = static_cast<std::size_t>(num_classes);
  std::vector<double> target(evaluation.predictions.size()), prediction(columns * evaluation.predictions.size());
  for (std::size_t k = 0; k < num_targets; ++k) {
    for (std::size_t i = 0; i < target.size(); ++i) {
      target[i] = evaluation.predictions[i].target[k];
      for (std::size_t c = 0; c < columns; ++c) prediction[i * columns + c] = evaluation.predictions[i].prediction[k * columns + c];
    }
    if (kind == TargetKind::number)
      score.regression.push_back(regression_score(target, prediction));
    else if (kind == TargetKind::probability)
      score.classes.push_back(binary_score(target, prediction));
    else
      score.classes.push_back(multiclass_score(target, prediction, num_classes));
  }
  return score;
}

std::string score_table(const std::vector<PartScore>& parts, const std::vector<std::string>& targets, TargetKind kind) {
  std::size_t width = 6;
  std::vector<std::string> shown;
  for (const std::string& name : targets) {
    shown.push_back(printable_name(name));
    width = std::max(width, shown.back().size());
  }
  const bool of_classes = kind != TargetKind::number;
  std::string out = fmt::format("{:<11} {:<{}} {:>9} {:>12} {:>12} {:>12}", "part", "target", width, "count", of_classes ? "accuracy" : "MAE",
                                of_classes ? "F1" : "RMSE", of_classes ? "ROC AUC" : "R2");
  if (targets.empty()) {
    out = fmt::format("{:<11} {:>9} {:>14}", "part", "samples", "loss");
    if (!parts.empty()) {
      for (const auto& metric : parts.front().metrics) fmt::format_to(std::back_inserter(out), " {:>14}", metric.first);
    }
  }
  for (const PartScore& part : parts) {
    if (targets.empty()) {
      fmt::format_to(std::back_inserter(out), "\n{:<11} {:>9} {:>14.6g}", part.part, part.samples, part.loss);
      for (const auto& metric : part.metrics) fmt::format_to(std::back_inserter(out), " {:>14.6g}", metric.second);
    }
    for (std::size_t k = 0; k < targets.size(); ++k) {
      if (of_classes) {
        const ClassScore& s = part.classes[k];
        fmt::format_to(std::back_inserter(out), "\n{:<11} {:<{}} {:>9} {:>12} {:>12} {:>12}", part.part, shown[k], width, s.count,
                       score_text(s.accuracy), score_text(s.f1), score_text(s.roc_auc));
      } else {
        const RegressionScore& s = part.regression[k];
        fmt::format_to(std::back_inserter(out), "\n{:<11} {:<{}} {:>9} {:>12} {:>12} {:>12}", part.part, shown[k], width, s.count, score_text(s.mae),
                       score_text(s.rmse), score_text(s.r2));
      }
    }
  }
  return out;
}

std::string results_csv(const std::vector<PartScore>& parts, const std::vector<std::string>& targets, TargetKind kind, int split) {
  std::string out = kind == TargetKind::number ? "test/mae,test/rmse,test/r2,split,target\n" : "test/accuracy,test/f1,test/roc,split,target\n";
  for (const PartScore& part : parts) {
    if (part.part != "test") continue;
    for (std::size_t k = 0; k < targets.size(); ++k) {
      if (kind == TargetKind::number) {
        const RegressionScore& s = part.regression[k];
        fmt::format_to(std::back_inserter(out), "{},{},{}", score_field(s.mae), score_field(s.rmse), score_field(s.r2));
      } else {
        const ClassScore& s = part.classes[k];
        fmt::format_to(std::back_inserter(out), "{},{},{}", score_field(s.accuracy), score_field(s.f1), score_field(s.roc_auc));
      }
      fmt::format_to(std::back_inserter(out), ",{},{}\n", split, csv_field(targets[k]));
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
  out["weights_epoch"] = info.weights_epoch;
  out["epochs"] = info.epochs;
  out["epochs_done"] = state.epoch;
  out["steps"] = state.step;
  out["best_epoch"] = state.best_epoch;
  out["deciding_metric"] = info.deciding_metric;
  out["larger_is_better"] = info.larger_is_better;
  out["best_validation"] = state.best_metric;
  out["skipped_steps"] = static_cast<std::int64_t>(state.skipped);
  out["skipped_records"] = info.skipped_records;
  if (info.repeated) {
    const RepeatedInputs& r = *info.repeated;
    out["repeated_inputs"] = {
        {"training_distinct", r.train_distinct}, {"validation_also_trained", r.validation_seen}, {"test_also_trained", r.test_seen}};
  }
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
      if (kind != TargetKind::number) {
        const ClassScore& s = part.classes[k];
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
