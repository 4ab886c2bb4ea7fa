// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"
#include "dataset/measures.hpp"
#include "dataset/split_options.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace gnn_hpc::dmpnn {

/// The block `data`: where molecules, labels and descriptors come from and how they are split.
struct DataOptions : SplitOptions {
  std::vector<std::string> paths;        ///< CSV files with a header, plain or .gz; one data set in this order
  std::string smiles = "smiles";         ///< column of the molecules
  std::string notation = "auto";         ///< auto | smiles | polymer; auto: polymer where the first text holds a '|'
  std::vector<std::string> targets;      ///< columns to learn; empty: every numeric column not named elsewhere
  std::vector<std::string> ignore;       ///< columns that are neither targets nor descriptors
  std::vector<std::string> descriptors;  ///< columns concatenated to the read-out; "name*": all that begin so
  std::string id_column;                 ///< empty: the SMILES is the id
  std::string task = "regression";       ///< regression | binary (0 and 1) | multiclass (names, whole numbers or words; see label_names.hpp)
  int classes = 0;                       ///< multiclass: 0 = as many as there are different labels

  std::string cache_dir = "graph_cache";
  double max_bad_fraction = 0.0;
  int threads = 0;  ///< that build graphs; 0: all processors of the rank

  DataOptions() {
    split = "auto";
    split_seed = 42;
  }
  TargetKind target_kind() const;
  static DataOptions parse(Config node);
};

}  // namespace gnn_hpc::dmpnn
