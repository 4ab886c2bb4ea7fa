// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"
#include "dataset/measures.hpp"
#include "dataset/split_options.hpp"
#include "graph/periodic_knn.hpp"
#include "io/crystal_source.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace gnn_hpc::comformer {

/// The block `data`: where crystals and labels come from, how they are split, where their graphs are kept.
struct DataOptions : SplitOptions {
  CrystalSourceOptions source;  ///< format, targets, columns; `paths` is `data.path`
  std::string cache_dir = "graph_cache";
  double max_bad_fraction = 0.1;
  int threads = 0;                      ///< that build graphs; 0: all processors of the rank
  std::string classification = "none";  ///< none | label (labels are 0 or 1) | threshold (1 above it)
  double classification_threshold = 0.0;

  TargetKind target_kind() const { return classification == "none" ? TargetKind::number : TargetKind::probability; }
  static DataOptions parse(Config node);
};

/// The block `graph`.
CrystalGraphOptions parse_graph_options(Config node);

}  // namespace gnn_hpc::comformer
