// SPDX-License-Identifier: Apache-2.0
#include "dataset/target_measures.hpp"

#include "dataset/r_squared.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace gnn_hpc {

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Name of a sum of target k (and class c).
std::string sum_name(const char* what, std::size_t k) { return fmt::format("{}:{}", what, k); }
std::string sum_name(const char* what, std::size_t k, std::size_t c) { return fmt::format("{}:{}:{}", what, k, c); }

double ratio(double a, double b) { return b > 0.0 ? a / b : kNan; }

/// In place; the largest logit is taken off first, so that nothing overflows.
void softmax(std::span<double> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (double& p : logits) sum += p = std::exp(p - largest);
  for (double& p : logits) p /= sum;
}

}  // namespace

void TargetMeasures::add(std::span<const std::int64_t> samples, std::span<const double> raw,
                         const std::function<std::span<const double>(std::int64_t)>& labels_of, std::span<const double> embeddings,
                         Measures& measures) const {
  const std::size_t columns = targets_ * num_classes_, width = samples.empty() ? 0 : embeddings.size() / samples.size();
  for (std::size_t g = 0; g < samples.size(); ++g) {
    const auto row = raw.subspan(g * columns, columns);
    const auto labels = labels_of(samples[g]);
    Prediction out{samples[g], {labels.begin(), labels.end()}, {row.begin(), row.end()}};
    add_row(row, labels, measures, out.prediction);
    if (!measures.keep_predictions) continue;
    const auto features = embeddings.subspan(g * width, width);
    out.embedding.assign(features.begin(), features.end());
    measures.predictions.push_back(std::move(out));
  }
}

void TargetMeasures::add_row(std::span<const double> raw, std::span<const double> labels, Measures& measures, std::vector<double>& prediction) const {
  for (std::size_t k = 0; k < labels.size(); ++k) {
    const double y = labels[k];
    const bool present = std::isfinite(y);
    if (kind_ == TargetKind::number) {
      const double p = prediction[k] = scaler_.unscale(raw[k], k);
      if (!present) continue;
      const double scaled = scaler_.scale(y, k);  // about zero mean: its squares cancel nothing
      measures.add(sum_name("absolute", k), std::fabs(p - y), 1.0);
      measures.add(sum_name("squared", k), (p - y) * (p - y), 1.0);
      measures.add(sum_name("label", k), scaled, 1.0);
      measures.add(sum_name("label_squared", k), scaled * scaled, 1.0);
    } else if (kind_ == TargetKind::probability) {
      const double p = prediction[k] = 1.0 / (1.0 + std::exp(-raw[k]));
      if (!present) continue;
      const bool label = y >= 0.5, guess = p >= 0.5;
      measures.add(sum_name("hit", k), label == guess ? 1.0 : 0.0, 1.0);
      measures.add(sum_name("found", k), label && guess ? 1.0 : 0.0, (label ? 1.0 : 0.0) + (guess ? 1.0 : 0.0));
      measures.add(sum_name("log_loss", k), std::fmax(raw[k], 0.0) - raw[k] * y + std::log1p(std::exp(-std::fabs(raw[k]))), 1.0);
    } else {
      const std::span<double> all(prediction.data() + k * num_classes_, num_classes_), p = all.first(classes_[k].size());
      softmax(p);
      std::fill(all.begin() + static_cast<std::ptrdiff_t>(p.size()), all.end(), 0.0);  // another target has more classes
      if (!present) continue;
      const auto label = static_cast<std::size_t>(y), guess = static_cast<std::size_t>(std::max_element(p.begin(), p.end()) - p.begin());
      measures.add(sum_name("class", k, label), label == guess ? 1.0 : 0.0, 1.0);
      measures.add(sum_name("guess", k, guess), 1.0, 0.0);
    }
  }
}

double TargetMeasures::mae(const Measures& m, std::size_t k) const {
  const auto [sum, count] = m.sum_of(sum_name("absolute", k));
  return ratio(sum, count);
}

double TargetMeasures::rmse(const Measures& m, std::size_t k) const {
  const auto [sum, count] = m.sum_of(sum_name("squared", k));
  return std::sqrt(ratio(sum, count));
}

double TargetMeasures::r2(const Measures& m, std::size_t k) const {
  const double std = scaler_.std[k];
  const auto [sum, count] = m.sum_of(sum_name("label", k));
  return r_squared_of_sums(m.sum_of(sum_name("squared", k)).first / (std * std), sum, m.sum_of(sum_name("label_squared", k)).first, count);
}

double TargetMeasures::scaled_mae(const Measures& m) const {
  double sum = 0.0, count = 0.0;
  for (std::size_t k = 0; k < targets_; ++k) {
    const auto [absolute, n] = m.sum_of(sum_name("absolute", k));
    sum += absolute / scaler_.std[k];
    count += n;
  }
  return ratio(sum, count);
}

double TargetMeasures::accuracy(const Measures& m, std::size_t k) const {
  if (kind_ == TargetKind::probability) {
    const auto [hits, count] = m.sum_of(sum_name("hit", k));
    return ratio(hits, count);
  }
  double accuracy = 0.0, present = 0.0;
  for (std::size_t c = 0; c < num_classes_; ++c) {
    const auto [hits, count] = m.sum_of(sum_name("class", k, c));
    if (count > 0.0) accuracy += hits / count, present += 1.0;
  }
  return ratio(accuracy, present);
}

double TargetMeasures::hit_rate(const Measures& m, std::size_t k) const {
  if (kind_ == TargetKind::probability) return accuracy(m, k);
  double sum = 0.0, count = 0.0;
  for (std::size_t c = 0; c < num_classes_; ++c) {
    const auto [hits, n] = m.sum_of(sum_name("class", k, c));
    sum += hits;
    count += n;
  }
  return ratio(sum, count);
}

double TargetMeasures::f1(const Measures& m, std::size_t k) const {
  if (kind_ == TargetKind::probability) {
    const auto [both, either] = m.sum_of(sum_name("found", k));
    if (m.sum_of(sum_name("hit", k)).second == 0.0) return kNan;
    return either > 0.0 ? 2.0 * both / either : 0.0;
  }
  double f1 = 0.0, seen = 0.0;
  for (std::size_t c = 0; c < num_classes_; ++c) {
    const auto [hits, count] = m.sum_of(sum_name("class", k, c));
    const double guesses = m.sum_of(sum_name("guess", k, c)).first;
    if (count + guesses > 0.0) f1 += 2.0 * hits / (count + guesses), seen += 1.0;
  }
  return ratio(f1, seen);
}

double TargetMeasures::mean_log_loss(const Measures& m) const {
  double sum = 0.0, count = 0.0;
  for (std::size_t k = 0; k < targets_; ++k) {
    const auto [part, n] = m.sum_of(sum_name("log_loss", k));
    sum += part;
    count += n;
  }
  return ratio(sum, count);
}

double TargetMeasures::mean_accuracy(const Measures& m) const {
  double sum = 0.0, count = 0.0;
  for (std::size_t k = 0; k < targets_; ++k) {
    const auto [hits, n] = m.sum_of(sum_name("hit", k));
    sum += hits;
    count += n;
  }
  return ratio(sum, count);
}

}  // namespace gnn_hpc
