// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"
#include "graph/sampler.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace gnn_hpc {

/// The block `run`: where results go, how long the run may last, how it starts.
struct RunOptions {
  std::string dir = "run";
  std::int64_t seed = 123;          ///< of weights, batch order and dropout
  std::string precision = "float";  ///< float | double
  double walltime = 0.0;            ///< seconds; 0: no limit
  std::string restart = "auto";     ///< auto | never | require
  bool restart_allow_change = false;
  bool flush_subnormals = true;  ///< base/subnormals.hpp
  static RunOptions parse(Config node);
};

/// The block `train`. The loss belongs to the model's block.
struct TrainOptions {
  int epochs = 500;
  int batch_size = 64;          ///< samples of a global step, over all ranks
  double learning_rate = 1e-3;  ///< the peak, where the schedule has one
  double weight_decay = 1e-5;
  std::vector<std::string> no_decay{"bias", "bn", "norm"};  ///< parts of names
  std::string optimizer = "adamw";                          ///< adamw | adam | sgd
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  std::string schedule = "one_cycle";                                   ///< see schedule.hpp
  double minimum_learning_rate = 1e-6;                                  ///< cosine
  double initial_learning_rate = 1e-4;                                  ///< warmup_exponential
  double final_learning_rate = 1e-4;                                    ///< warmup_exponential
  int warmup_epochs = 2;                                                ///< warmup_exponential, warmup_cosine
  double clip_norm = 0.0;                                               ///< 0: off
  int early_stopping = 0;                                               ///< epochs without a better deciding metric; 0: off
  int max_bad_steps = 3;                                                ///< this many steps in a row that are not finite end the run
  int train_metrics_every = 20;                                         ///< epochs; 0: never
  int evaluate_batch_size = 0;                                          ///< 0: min(4 batch_size, 128)
  std::int64_t checkpoint_every = 0;                                    ///< steps, besides every epoch; 0: off
  double checkpoint_minutes = 0.0;                                      ///< besides every epoch; 0: off
  std::int64_t eval_every = 0;                                          ///< steps between validations, besides the one at the end of an epoch; 0: off
  std::int64_t max_batches_per_epoch = -1;                              ///< an epoch ends after so many steps; -1 (or 0): all samples
  bool keep_last_batch = false;                                         ///< the last incomplete batch of an epoch trains, too
  int smallest_last_batch = 1;                                          ///< ... unless it holds fewer samples than this
  std::string final_weights = "best";                                   ///< best | last
  std::vector<std::string> predictions{"train", "validation", "test"};  ///< parts listed in predictions.csv
  /// `o`: the defaults, which may differ between systems.
  static TrainOptions parse(Config node, TrainOptions o);
  static TrainOptions parse(Config node) { return parse(std::move(node), TrainOptions()); }

  int evaluation_batch() const;
  BatchRule batches() const;
};

/// Of the key `schedule`.
const std::vector<std::string>& schedule_names();

/// Seconds of "90", "30:00" (minutes), "02:00:00" or "1-12:00:00" (days), as Slurm writes them; empty or 0 is no limit.
/// Returns a negative number if the text is none of these.
double parse_duration(const std::string& text);

}  // namespace gnn_hpc
