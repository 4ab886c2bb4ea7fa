// SPDX-License-Identifier: Apache-2.0
#include "train/metrics.hpp"

#include "base/error.hpp"
#include "dataset/r_squared.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace gnn_hpc {

namespace {
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
}

RegressionScore regression_score(std::span<const double> target, std::span<const double> prediction) {
  GNN_HPC_REQUIRE(target.size() == prediction.size(), "{} targets, {} predictions", target.size(), prediction.size());
  RegressionScore score;
  double absolute = 0.0, squared = 0.0, sum = 0.0, largest = 0.0;
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (std::isnan(target[i])) continue;
    const double error = prediction[i] - target[i];
    absolute += std::abs(error);
    squared += error * error;
    sum += target[i];
    largest = std::max(largest, std::abs(target[i]));
    ++score.count;
  }
  if (score.count == 0) return {0, kNan, kNan, kNan};
  const double n = static_cast<double>(score.count), mean = sum / n;
  double total = 0.0;
  for (const double y : target) {
    if (!std::isnan(y)) total += (y - mean) * (y - mean);
  }
  score.mae = absolute / n;
  score.rmse = std::sqrt(squared / n);
  score.r2 = r_squared(squared, total, n, largest);
  return score;
}

std::string score_field(double score) { return std::isnan(score) ? std::string() : fmt::format("{}", score); }
std::string score_text(double score) { return std::isnan(score) ? std::string("-") : fmt::format("{:.6g}", score); }

namespace {

/// Mann-Whitney: the positives' ranks, equal probabilities sharing their mean rank. NaN unless both labels occur.
double area_under_curve(std::vector<std::pair<double, bool>> ranked) {
  std::sort(ranked.begin(), ranked.end());
  double rank_sum = 0.0, positives = 0.0;
  for (std::size_t i = 0; i < ranked.size();) {
    std::size_t end = i;
    double here = 0.0;
    while (end < ranked.size() && ranked[end].first == ranked[i].first) here += ranked[end++].second;
    rank_sum += here * (static_cast<double>(i + end) + 1.0) / 2.0;  // ranks i+1 ... end
    positives += here;
    i = end;
  }
  const double negatives = static_cast<double>(ranked.size()) - positives;
  return positives > 0.0 && negatives > 0.0 ? (rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives) : kNan;
}

}  // namespace

ClassScore binary_score(std::span<const double> target, std::span<const double> probability) {
  GNN_HPC_REQUIRE(target.size() == probability.size(), "{} targets, {} predictions", target.size(), probability.size());
  std::vector<std::pair<double, bool>> ranked;  // (probability, label)
  double hits = 0.0, true_positive = 0.0, false_positive = 0.0, false_negative = 0.0;
  bool finite = true;
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (std::isnan(target[i])) continue;
    const bool label = target[i] >= 0.5, guess = probability[i] >= 0.5;
    finite = finite && !std::isnan(probability[i]);
    hits += label == guess;
    true_positive += label && guess;
    false_positive += !label && guess;
    false_negative += label && !guess;
    ranked.emplace_back(probability[i], label);
  }
  ClassScore score;
  score.count = static_cast<std::int64_t>(ranked.size());
  if (ranked.empty() || !finite) return {score.count, kNan, kNan, kNan};
  score.accuracy = hits / static_cast<double>(ranked.size());
  const double f1_divisor = 2.0 * true_positive + false_positive + false_negative;
  score.f1 = f1_divisor > 0.0 ? 2.0 * true_positive / f1_divisor : 0.0;
  score.roc_auc = area_under_curve(std::move(ranked));
  return score;
}

ClassScore multiclass_score(std::span<const double> target, std::span<const double> probability, int num_classes) {
  const auto classes = static_cast<std::size_t>(num_classes);
  GNN_HPC_REQUIRE(target.size() * classes == probability.size(), "{} targets, {} probabilities of {} classes", target.size(), probability.size(),
                  classes);
  std::vector<double> occurs(classes), guessed(classes), hits(classes);
  std::vector<std::size_t> rows;
  bool finite = true;
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (std::isnan(target[i])) continue;
    GNN_HPC_REQUIRE(target[i] >= 0.0 && target[i] < static_cast<double>(num_classes), "class {} of {}", target[i], num_classes);
    const auto row = probability.subspan(i * classes, classes);
    finite = finite && std::none_of(row.begin(), row.end(), [](double p) { return std::isnan(p); });
    const auto label = static_cast<std::size_t>(target[i]);
    const auto guess = static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
    occurs[label] += 1.0;
    guessed[guess] += 1.0;
    hits[label] += label == guess;
    rows.push_back(i);
  }
  ClassScore score{static_cast<std::int64_t>(rows.size()), kNan, kNan, kNan};
  if (rows.empty() || !finite) return score;
  double accuracy = 0.0, present = 0.0, f1 = 0.0, seen = 0.0, area = 0.0, curves = 0.0;
  for (std::size_t c = 0; c < classes; ++c) {
    if (occurs[c] > 0.0) accuracy += hits[c] / occurs[c], present += 1.0;
    if (occurs[c] + guessed[c] > 0.0) f1 += 2.0 * hits[c] / (occurs[c] + guessed[c]), seen += 1.0;
    std::vector<std::pair<double, bool>> ranked;
    for (const std::size_t i : rows) ranked.emplace_back(probability[i * classes + c], static_cast<std::size_t>(target[i]) == c);
    const double here = area_under_curve(std::move(ranked));
    if (!std::isnan(here)) area += here, curves += 1.0;
  }
  score.accuracy = accuracy / present;
  score.f1 = f1 / seen;
  if (curves > 0.0) score.roc_auc = area / curves;
  return score;
}

}  // namespace gnn_hpc
