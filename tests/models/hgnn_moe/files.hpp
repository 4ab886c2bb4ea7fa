// SPDX-License-Identifier: Apache-2.0
#pragma once

// A small text and the options of a small language model on it.

#include "models/hgnn_moe/task.hpp"
#include "support/paths.hpp"
#include "train/options.hpp"

#include <filesystem>
#include <fstream>
#include <string>

namespace gnn_hpc::hgnn_moe {

/// `count` lines of different lengths, some longer than a sequence of `data_options`.
inline std::string some_lines(int count) {
  const char* words[] = {"graph ", "token ", "expert ", "edge ", "layer ", "of ", "the ", "a "};
  std::string text;
  unsigned state = 7;
  for (int i = 0; i < count; ++i) {
    std::string line = "line " + std::to_string(i) + ": ";
    const std::size_t length = 14 + static_cast<std::size_t>(i * 5 % 17);
    while (line.size() < length) line += words[(state = state * 1103515245u + 12345u) >> 16 & 7u];
    text += line + "\n";
  }
  return text;
}

/// The text in `folder`/text.txt (written if `write`), lines of at most 24 bytes; four fifths train.
inline DataOptions data_options(const std::string& folder, int count, bool write) {
  const std::string path = folder + "/text.txt";
  if (write) std::ofstream(path, std::ios::binary) << some_lines(count);
  DataOptions o;
  o.path = {path};
  o.cache_dir = folder + "/cache";
  o.validation_ratio = 0.2;
  o.threads = 1;
  o.cut.length = 24;
  o.cut.min_chars = 10;
  return o;
}

inline ModelOptions model_options(CouplerType coupler = CouplerType::hgnn) {
  ModelOptions o;
  o.max_seq_length = 24;
  o.embed_dim = 16;
  o.num_layers = 2;
  o.num_heads = 2;
  o.num_experts = 3;
  o.coupler_type = coupler;
  o.dropout_rate = 0.1;
  return o;
}

inline TrainOptions train_options() {
  TrainOptions o;
  o.epochs = 3;
  o.batch_size = 7;
  o.keep_last_batch = true;
  o.learning_rate = 3e-3;
  o.weight_decay = 0.01;
  o.no_decay.clear();
  o.schedule = "cosine";
  o.clip_norm = 1.0;
  o.eval_every = 3;
  o.train_metrics_every = 0;
  o.predictions.clear();
  return o;
}

}  // namespace gnn_hpc::hgnn_moe
