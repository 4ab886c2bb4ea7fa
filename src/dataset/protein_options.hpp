// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"
#include "dataset/measures.hpp"
#include "dataset/split_options.hpp"

#include <string>
#include <vector>

namespace gnn_hpc {

/// The blocks `data` and `graph` of the protein systems: where chains and labels come from, how they become graphs, how they are split.
struct ProteinDataOptions : SplitOptions {
  std::vector<std::string> paths;  ///< label tables (CSV); for prediction also structure files and folders of them
  std::string path_column = "path", chain_column = "chain";
  std::vector<std::string> targets{"label"};
  std::string id_column;            ///< empty: the path as the table has it, with the chain
  std::string task = "multiclass";  ///< multiclass | binary | regression
  int classes = 0;                  ///< multiclass: 0 = as many as there are different labels
  std::string cache_dir = "graph_cache";
  double max_bad_fraction = 0.0;
  int threads = 0;  ///< that build graphs; 0: all processors of the rank
  int top_k = 30;   ///< nearest residues that send messages to each

  ProteinDataOptions() { split_seed = 42; }
  TargetKind target_kind() const;
  /// `data` and `graph` of the root.
  static ProteinDataOptions parse(Config& root);
};

}  // namespace gnn_hpc
