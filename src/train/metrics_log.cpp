// SPDX-License-Identifier: Apache-2.0
#include "train/metrics_log.hpp"

#include <cmath>
#include <iterator>

namespace gnn_hpc {

namespace {
/// Shortest digits that read back as the same number; JSON has no word for the others.
std::string json_number(double x) { return std::isfinite(x) ? fmt::format("{}", x) : "null"; }
std::string csv_number(double x) { return fmt::format("{}", x); }
}  // namespace

MetricsLog::MetricsLog(const RunFolder& folder, bool root, const TrainState& state) {
  if (!root) return;
  jsonl_ = AppendLog(folder.path("metrics.jsonl"), state.jsonl_bytes);
  csv_ = AppendLog(folder.path("metrics.csv"), state.csv_bytes);
}

void MetricsLog::step(std::int64_t epoch, std::int64_t step, double learning_rate, double loss, double gradient_norm, bool bad) {
  if (!jsonl_.is_open()) return;
  jsonl_.line(fmt::format(R"({{"type":"step","epoch":{},"step":{},"learning_rate":{},"loss":{},"gradient_norm":{}{}}})", epoch, step,
                          json_number(learning_rate), json_number(loss), json_number(gradient_norm), bad ? R"(,"bad":true)" : ""));
}

void MetricsLog::evaluation(std::int64_t epoch, std::int64_t step, double learning_rate, const Evaluation& validation, bool best) {
  if (!jsonl_.is_open()) return;
  std::string json = fmt::format(R"({{"type":"evaluation","epoch":{},"step":{},"learning_rate":{},"val_loss":{})", epoch, step,
                                 json_number(learning_rate), json_number(validation.loss));
  for (const auto& [name, value] : validation.metrics) fmt::format_to(std::back_inserter(json), R"(,"val_{}":{})", name, json_number(value));
  jsonl_.line(json + (best ? R"(,"best":true})" : R"(,"best":false})"));
}

void MetricsLog::report(std::int64_t step, const std::vector<std::pair<std::string, std::vector<double>>>& values) {
  if (!jsonl_.is_open() || values.empty()) return;
  std::string json = fmt::format(R"({{"type":"report","step":{})", step);
  for (const auto& [name, numbers] : values) {
    json += fmt::format(R"(,"{}":[)", name);
    for (std::size_t i = 0; i < numbers.size(); ++i) json += (i > 0 ? "," : "") + json_number(numbers[i]);
    json += "]";
  }
  jsonl_.line(json + "}");
}

void MetricsLog::epoch(std::int64_t epoch, std::int64_t step, double learning_rate, double train_loss, const Evaluation& validation,
                       const Evaluation* train, bool best) {
  if (!jsonl_.is_open()) return;
  std::string header = "epoch,step,learning_rate,train_loss,val_loss";
  std::string row = fmt::format("{},{},{},{},{}", epoch, step, csv_number(learning_rate), csv_number(train_loss),
                                csv_number(validation.loss));
  std::string json = fmt::format(R"({{"type":"epoch","epoch":{},"step":{},"learning_rate":{},"train_loss":{},"val_loss":{})", epoch, step,
                                 json_number(learning_rate), json_number(train_loss), json_number(validation.loss));
  const auto json_metric = [&](const char* part, const std::string& name, double value) {
    fmt::format_to(std::back_inserter(json), R"(,"{}_{}":{})", part, name, json_number(value));
  };
  for (const auto& [name, value] : validation.metrics) {
    header += ",val_" + csv_field(name);
    row += "," + csv_number(value);
    json_metric("val", name, value);
  }
  for (std::size_t i = 0; i < validation.metrics.size(); ++i) {
    header += ",train_" + csv_field(validation.metrics[i].first);
    row += train != nullptr ? "," + csv_number(train->metrics[i].second) : ",";
    if (train != nullptr) json_metric("train", train->metrics[i].first, train->metrics[i].second);
  }
  jsonl_.line(json + (best ? R"(,"best":true})" : R"(,"best":false})"));
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
