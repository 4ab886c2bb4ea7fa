// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"
#include "graph/periodic_knn.hpp"
#include "io/crystal_source.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace gnn_hpc::comformer {

/// The block `data`: where crystals and labels come from, how they are split, where their graphs are kept.
struct DataOptions {
  CrystalSourceOptions source;  ///< format, targets, columns; `paths` is `data.path`
  /// Parts given as files of their own instead of one file and ratios. A part without a file is taken from the training file by
  /// its ratio.
  std::vector<std::string> train, validation, test;
  double train_ratio = 0.8, validation_ratio = 0.1, test_ratio = 0.1;
  std::int64_t split_seed = 123;
  std::string cache_dir = "graph_cache";
  double max_bad_fraction = 0.1;
  int threads = 0;                      ///< that build graphs; 0: all processors of the rank
  std::string classification = "none";  ///< none | label (labels are 0 or 1) | threshold (1 above it)
  double classification_threshold = 0.0;

  bool binary() const { return classification != "none"; }
  static DataOptions parse(Config node);
};

/// The block `graph`.
CrystalGraphOptions parse_graph_options(Config node);

}  // namespace gnn_hpc::comformer
