// SPDX-License-Identifier: Apache-2.0
#include "train/metrics_log.hpp"

#include "base/log.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>

namespace gnn_hpc {

namespace {

using Json = nlohmann::ordered_json;  // numbers that are not finite become null

std::string csv_number(double x) { return std::isnan(x) ? std::string() : fmt::format("{}", x); }

/// One line; names that are not UTF-8 get replacement characters.
std::string text_of(const Json& line) { return line.dump(-1, ' ', false, Json::error_handler_t::replace); }

void add_metrics(Json& line, const std::string& part, const std::vector<std::pair<std::string, double>>& metrics) {
  for (const auto& [name, value] : metrics) line[part + "_" + name] = value;
}

constexpr const char* kAuxiliaryColumn = "train_auxiliary_loss";

/// The header of a metrics.csv that is continued; empty: it is a new file.
std::string header_of(const std::string& path, std::int64_t bytes) {
  std::string line;
  std::ifstream file(path);
  if (bytes > 0 && file) std::getline(file, line);
  return line;
}

}  // namespace

MetricsLog::MetricsLog(const RunFolder& folder, bool root, const TrainState& state) {
  if (!root) return;
  const std::string header = header_of(folder.path("metrics.csv"), state.csv_bytes);
  csv_has_auxiliary_ = header.empty() || header.find(kAuxiliaryColumn) != std::string::npos;
  jsonl_ = AppendLog(folder.path("metrics.jsonl"), state.jsonl_bytes);
  csv_ = AppendLog(folder.path("metrics.csv"), state.csv_bytes);
  for (const AppendLog* log : {&jsonl_, &csv_}) {
    if (log->missing() <= 0) continue;
    log_warning(
        "{} is {} bytes shorter than the checkpoint says: lines of earlier steps are missing in it, as after a crash of the machine "
        "or an edit; the training itself goes on unharmed",
        log->path(), log->missing());
  }
}

void MetricsLog::step(std::int64_t epoch, std::int64_t step, double learning_rate, const TrainLoss& loss, double gradient_norm, bool bad) {
  if (!jsonl_.is_open()) return;
  Json line{{"type", "step"}, {"epoch", epoch}, {"step", step}, {"learning_rate", learning_rate}, {"loss", loss.target}};
  if (loss.auxiliary) line["auxiliary_loss"] = *loss.auxiliary;
  line["gradient_norm"] = gradient_norm;
  if (bad) line["bad"] = true;
  jsonl_.line(text_of(line));
}

void MetricsLog::evaluation(std::int64_t epoch, std::int64_t step, double learning_rate, const Evaluation& validation, bool best) {
  if (!jsonl_.is_open()) return;
  Json line{{"type", "evaluation"}, {"epoch", epoch}, {"step", step}, {"learning_rate", learning_rate}, {"val_loss", validation.loss}};
  add_metrics(line, "val", validation.metrics);
  line["best"] = best;
  jsonl_.line(text_of(line));
}

void MetricsLog::report(std::int64_t step, const std::vector<std::pair<std::string, std::vector<double>>>& values) {
  if (!jsonl_.is_open() || values.empty()) return;
  Json line{{"type", "report"}, {"step", step}};
  for (const auto& [name, numbers] : values) line[name] = numbers;
  jsonl_.line(text_of(line));
}

void MetricsLog::epoch(std::int64_t epoch, std::int64_t step, const std::string& phase, double learning_rate, const TrainLoss& train_loss,
                       const Evaluation& validation, const Evaluation* train, bool best) {
  if (!jsonl_.is_open()) return;
  Json line{{"type", "epoch"},
            {"epoch", epoch},
            {"step", step},
            {"learning_rate", learning_rate},
            {"train_loss", train_loss.target},
            {"val_loss", validation.loss}};
  add_metrics(line, "val", validation.metrics);
  if (train != nullptr) add_metrics(line, "train", train->metrics);
  if (train_loss.auxiliary) line["train_auxiliary_loss"] = *train_loss.auxiliary;
  for (const auto& [name, value] : train_loss.parts) line["train_loss_" + name] = value;
  if (!phase.empty()) line["phase"] = phase;
  line["best"] = best;
  jsonl_.line(text_of(line));

  std::string header = "epoch,step,learning_rate,train_loss,val_loss";
  std::string row = fmt::format("{},{},{},{},{}", epoch, step, csv_number(learning_rate), csv_number(train_loss.target), csv_number(validation.loss));
  for (const auto& [name, value] : validation.metrics) {
    header += "," + csv_field("val_" + name);
    row += "," + csv_number(value);
  }
  for (std::size_t i = 0; i < validation.metrics.size(); ++i) {
    header += "," + csv_field("train_" + validation.metrics[i].first);
    row += train != nullptr ? "," + csv_number(train->metrics[i].second) : ",";
  }
  if (train_loss.auxiliary && csv_has_auxiliary_) {
    header += std::string(",") + kAuxiliaryColumn;
    row += "," + csv_number(*train_loss.auxiliary);
  }
  for (const auto& [name, value] : train_loss.parts) {
    header += "," + csv_field("train_loss_" + name);
    row += "," + csv_number(value);
  }
  if (!phase.empty()) {
    header += ",phase";
    row += "," + phase;
  }
  if (csv_.bytes() == 0) csv_.line(header);
  csv_.line(row);
}

void MetricsLog::flush(TrainState& state) {
  if (!jsonl_.is_open()) return;
  jsonl_.flush();
  csv_.flush();
  state.jsonl_bytes = jsonl_.bytes();
  state.csv_bytes = csv_.bytes();
}

}  // namespace gnn_hpc
