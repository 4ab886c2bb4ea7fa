// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"
#include "io/tokens.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace gnn_hpc::hgnn_moe {

/// The block `data` of a language model: where text comes from, how it is cut, what validates.
struct DataOptions {
  std::vector<std::string> path;        ///< training text (or everything, if `validation` is empty)
  std::vector<std::string> validation;  ///< text of its own that validates; empty: a share of `path`
  TextCut cut;                          ///< `length` is the model's max_seq_length
  double validation_ratio = 0.1;
  bool shuffle = true;  ///< before the split; false: the end of the text validates
  std::int64_t split_seed = 42;
  std::vector<std::string> split_file;  ///< which sequences train and validate (dataset/split_policy.hpp); empty: the options above
  std::string group_by = "none";        ///< none | input: equal sequences stay in one part
  std::int64_t num_train_samples = -1;  ///< the first so many after the split; -1: all
  std::int64_t num_eval_samples = -1;
  std::string cache_dir = "graph_cache";
  int threads = 0;
  int vocabulary = kByteVocabulary;  ///< of the model; ids are checked against it

  static DataOptions parse(Config node);
};

}  // namespace gnn_hpc::hgnn_moe
