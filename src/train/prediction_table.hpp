// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/capabilities.hpp"
#include "train/predict.hpp"

#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace gnn_hpc {

/// What a table of predictions shows of each target. Names (of targets, classes, ids) come from data: they are quoted where CSV
/// asks for it.
struct PredictionColumns {
  std::vector<std::string> targets;                     ///< [K]
  int num_classes = 1;                                  ///< C; beyond 1 a row holds [K C] probabilities
  std::vector<std::vector<std::string>> class_names{};  ///< [K][C_k], C_k <= C; empty: classes are called 0 .. C-1
  bool suffix = true;                                   ///< `prediction_<target>`; false: one target's columns are `target`, `prediction`

  template <class T>
  static PredictionColumns of(const Task<T>& task, bool suffix_of_one_target);

  /// Columns of every target: `target`, `prediction`, and of classes `probability_<class>`.
  std::vector<std::string> names(bool with_target) const;
  /// `,field` for each of them. A class goes by its name; what is not known is `nan`.
  std::string fields(const std::vector<double>& target, const std::vector<double>& prediction, bool with_target) const;

 private:
  std::size_t classes_of(std::size_t target) const;
  std::string class_name(std::size_t target, std::size_t c) const;
};

/// The table that `predict` writes, a line for every record in the order of the input:
///   id, [target_<name>,] prediction_<name>, [probability_<name>_<class> ...,] row, then the columns of the input's own table
/// Target columns are there where any target is known. `row` is the number of the record in the input, from 1. A column of the
/// input whose name is taken goes by `input_<name>`. A table of ids and nothing else gets no further columns: line and row are the
/// same. Throws Error(Exit::data) if the input's table has changed meanwhile.
void write_predicted(std::ostream& out, const std::vector<PredictedRow>& rows, const PredictionColumns& columns, const InputTable& table = {});

/// `predictions.csv` of a run: id, row (the number of the record in the files that its part was read from, from 1), target,
/// prediction (several targets: `target_<name>`, `prediction_<name>`; classes as above), split.
template <class T>
std::string predictions_csv(const Task<T>& task, const std::vector<std::pair<std::string, std::vector<Prediction>>>& parts);

/// Where `predict` lists the records that have no prediction: `out.csv` -> `out_skipped.csv`.
std::string skipped_path(const std::string& output);

}  // namespace gnn_hpc
