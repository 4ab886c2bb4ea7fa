// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace gnn_hpc {

/// What a prediction is: a number in label units, the probability of the label 1, or probabilities of the labels 0 .. C-1.
enum class TargetKind { number, probability, classes };

/// One row of predictions.csv.
struct Prediction {
  std::int64_t sample = 0;
  std::vector<double> target;       ///< [K] label units, or the number of the class; NaN where missing
  std::vector<double> prediction;   ///< [K] label units or probabilities; [K C] probabilities of classes, a target's together
  std::vector<double> embedding{};  ///< [embedding_width] if asked for
  std::vector<double> items{};      ///< [items, item_embedding_width] of its parts (residues), in order, if asked for
  std::vector<double> table{};      ///< [items, columns] of its parts, where the system has such a table
};

/// What an evaluation adds up over batches: exact sums in double, reduced over ranks by the trainer, and rows of predictions
/// (kept only if asked for).
struct Measures {
  std::map<std::string, std::pair<double, double>> sums;  ///< name -> (sum, count); the metric is sum / count
  bool keep_predictions = false;
  bool keep_embeddings = false;  ///< with the predictions
  bool keep_items = false;       ///< with the embeddings
  bool keep_table = false;       ///< with the predictions
  std::vector<Prediction> predictions;

  void add(const std::string& name, double sum, double count) {
    auto& s = sums[name];
    s.first += sum;
    s.second += count;
  }
  /// (sum, count); zeros where nothing was added.
  std::pair<double, double> sum_of(const std::string& name) const {
    const auto found = sums.find(name);
    return found == sums.end() ? std::pair{0.0, 0.0} : found->second;
  }
};

}  // namespace gnn_hpc
