// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace gnn_hpc {

/// How the records of a data set are divided into parts that train, validate and test: keys of the block `data`, the same for every
/// system. Its `split`:
///   ratios   Python's random.seed(split_seed + replicate); shuffle; int(ratio n) of each part (published splits of crystals)
///   holdout  scikit-learn's ShuffleSplit twice, ceil(ratio n) test and validate (published splits of polymers)
///   kfold    fold `replicate` of `folds` tests, a tenth of the rest validates
///   auto     kfold below 2,000 records, else holdout
///   column   a column of the table says it: train, validation (val, valid, dev) or test
///   file     one JSON file of ids or numbers of records, or three text files of numbers; see split_policy.hpp
struct SplitOptions {
  /// Parts given as files of their own; a part without a file is taken from the training file.
  std::vector<std::string> train, validation, test;
  std::string split = "ratios";
  double train_ratio = 0.8, validation_ratio = 0.1, test_ratio = 0.1;
  std::int64_t split_seed = 123;  ///< of replicate 0; replicate r has split_seed + r
  int replicate = 0;              ///< number of the replicate, or of the fold that tests, from 0
  int folds = 5;
  std::string train_size = "full";  ///< full | K: the first K of the training order
  bool stratify = true;             ///< classification with one target: every part gets its share of each class
  std::string group_by = "none";    ///< none | input | formula | a column: records that agree in it stay in one part
  std::string split_column = "split";
  std::vector<std::string> split_file;

  bool kfold(std::int64_t samples) const { return split == "kfold" || (split == "auto" && samples < kKfoldBelow); }
  bool is_given() const { return split == "column" || split == "file"; }
  static constexpr std::int64_t kKfoldBelow = 2000;

  /// Reads the keys into this; members hold the defaults. @param records what messages call them ("crystals")
  void parse_split(Config& node, const std::string& records, const std::vector<std::string>& paths);
};

}  // namespace gnn_hpc
