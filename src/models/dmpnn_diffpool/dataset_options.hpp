// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace gnn_hpc::dmpnn {

/// What the targets are. Binary: 0 and 1. Multi-class: names, whole numbers or words; see label_names.hpp.
enum class TargetType { regression, binary, multiclass };

/// The block `data`: where molecules, labels and descriptors come from and how they are split.
struct DataOptions {
  std::vector<std::string> paths;       ///< CSV files with a header, plain or .gz; one data set in this order
  std::string smiles = "smiles";        ///< column of the molecules
  std::string notation = "auto";        ///< auto | smiles | polymer; auto: polymer where the first text holds a '|'
  std::vector<std::string> targets;     ///< columns to learn; empty: every numeric column not named elsewhere
  std::vector<std::string> ignore;      ///< columns that are neither targets nor descriptors
  std::vector<std::string> descriptors; ///< columns concatenated to the read-out; "name*": all that begin so
  std::string id_column;                ///< empty: the SMILES is the id
  std::string task = "regression";      ///< regression | binary | multiclass
  int classes = 0;                      ///< multiclass: 0 = as many as there are different labels

  /// Parts given as files of their own; a part without a file is taken from the training file.
  std::vector<std::string> train, validation, test;
  std::string split = "auto";           ///< auto | holdout | kfold; auto: k-fold below 2,000 samples
  std::int64_t split_seed = 42;         ///< holdout: of replicate 0, replicate r has split_seed + r
  int replicate = 0;                    ///< number of the holdout replicate or of the test fold, from 0
  int folds = 5;
  std::string train_size = "full";      ///< full | K: the first K of the training order
  bool stratify = true;                 ///< classification with one target: every part gets its share of each class

  std::string cache_dir = "graph_cache";
  double max_bad_fraction = 0.0;
  int threads = 0;                      ///< that build graphs; 0: all processors of the rank

  TargetType target_type() const;
  bool kfold(std::int64_t samples) const { return split == "kfold" || (split == "auto" && samples < kKfoldBelow); }
  static constexpr std::int64_t kKfoldBelow = 2000;
  static DataOptions parse(Config node);
};

}  // namespace gnn_hpc::dmpnn
