// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataset/label_scaler.hpp"
#include "dataset/measures.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc {

/// Metrics of targets from sums over all samples and ranks: what a system's `measure` and `metrics` are made of.
///
/// A row of raw outputs has one column a target (numbers: scaled; binary: logits) or num_classes columns a target (classes: logits).
/// Missing labels count nowhere. Of several targets each metric is told apart by its number k.
class TargetMeasures {
 public:
  /// @param classes [K][C_k] names of the classes; empty for other kinds. All references must outlive this.
  TargetMeasures(TargetKind kind, std::size_t targets, int num_classes, const std::vector<std::vector<std::string>>& classes,
                 const LabelScaler& scaler)
      : kind_(kind), targets_(targets), num_classes_(static_cast<std::size_t>(num_classes)), classes_(classes), scaler_(scaler) {}

  /// Adds rows [G, columns] of samples to the sums; with their predictions (label units or probabilities) where these are kept.
  /// @param embeddings [G, width] or empty
  void add(std::span<const std::int64_t> samples, std::span<const double> raw, const std::function<std::span<const double>(std::int64_t)>& labels_of,
           std::span<const double> embeddings, Measures& measures) const;

  // Of numbers, in label units. NaN without any label.
  double mae(const Measures& m, std::size_t k) const;
  double rmse(const Measures& m, std::size_t k) const;
  double r2(const Measures& m, std::size_t k) const;
  /// Mean over all labels of |p - y| in units of each target's spread: targets may have different units.
  double scaled_mae(const Measures& m) const;
  // Of binary targets and of classes: share of hits; F1 of the label 1 or mean over the classes. Of classes the accuracy, too, is a mean over
  // classes (train/metrics.hpp).
  double accuracy(const Measures& m, std::size_t k) const;
  double f1(const Measures& m, std::size_t k) const;
  /// Share of hits among all labels: of classes, the accuracy that frequent ones decide.
  double hit_rate(const Measures& m, std::size_t k) const;
  // Of all binary targets together.
  double mean_log_loss(const Measures& m) const;
  double mean_accuracy(const Measures& m) const;

 private:
  void add_row(std::span<const double> raw, std::span<const double> labels, Measures& measures, std::vector<double>& prediction) const;

  TargetKind kind_;
  std::size_t targets_, num_classes_;
  const std::vector<std::vector<std::string>>& classes_;
  const LabelScaler& scaler_;
};

}  // namespace gnn_hpc
