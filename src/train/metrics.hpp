// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace gnn_hpc {

/// Errors of one target over one part of the data. NaN targets are left out; a NaN prediction of a present target makes the
/// errors NaN.
///   mae = mean |p - y|,  rmse = sqrt(mean (p - y)^2),  r2 = 1 - sum (p - y)^2 / sum (y - mean y)^2
/// R2 is NaN where the targets do not vary (`r_squared`). A score that is NaN is undefined: empty in CSV files, null in JSON, "-" in
/// tables. Two passes in double, in the order given.
struct RegressionScore {
  std::int64_t count = 0;
  double mae = 0.0, rmse = 0.0, r2 = 0.0;
};
RegressionScore regression_score(std::span<const double> target, std::span<const double> prediction);

/// A score for a CSV file: empty if it is undefined; and for a table to read, where it is "-".
std::string score_field(double score);
std::string score_text(double score);

/// Scores of probabilities against labels 0 and 1; NaN targets are left out. A probability >= 0.5 is the label 1.
///   f1 = 2 tp/(2 tp + fp + fn), 0 if there is no positive at all
///   roc_auc: probability that a positive is ranked above a negative, ties count half; NaN unless both labels occur
struct ClassScore {
  std::int64_t count = 0;
  double accuracy = 0.0, f1 = 0.0, roc_auc = 0.0;
};
ClassScore binary_score(std::span<const double> target, std::span<const double> probability);

/// Scores of probabilities of the classes 0 .. C-1, [n,C] by row; the most probable class (the first of equals) is the guess. Means
/// over classes, each counting the same:
///   accuracy  of the shares found of each class that occurs
///   f1        2 tp/(2 tp + fp + fn) of each class that occurs or is guessed
///   roc_auc   of each class against the others, where both occur; NaN if there is none
/// Throws Error(Exit::internal) for a target that is no class.
ClassScore multiclass_score(std::span<const double> target, std::span<const double> probability, int num_classes);

}  // namespace gnn_hpc
