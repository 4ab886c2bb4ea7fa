// SPDX-License-Identifier: Apache-2.0
// What the program knows of this system.
#include "models/system.hpp"

#include "dataset/prediction_input.hpp"
#include "models/partoken/bench_parts.hpp"
#include "models/partoken/golden.hpp"
#include "models/partoken/task.hpp"

namespace gnn_hpc::partoken {

namespace {

constexpr verify::GoldenCheck kGolden[] = {
    {"partoken", "model", verify::partoken::check_model},
    {"partoken", "other", verify::partoken::check_kmeans},
};

constexpr PartBench kParts[] = {
    {"partitioner", "the partition of chains alone, sparse and dense", bench_partitioner<float>, bench_partitioner<double>},
    {"components", "the parts of a forward pass", bench_components<float>, bench_components<double>},
};

/// The published settings of one stage.
TrainOptions train_defaults() {
  TrainOptions o;
  o.epochs = 10;
  o.batch_size = 64;
  o.learning_rate = 1e-4;
  o.schedule = "warmup_cosine";
  o.warmup_epochs = 5;
  o.optimizer = "adam";
  o.weight_decay = 0.0;
  o.clip_norm = 0.0;
  o.keep_last_batch = true;
  return o;
}

}  // namespace

const System& system() {
  static const System row{
      .name = "partoken",
      .summary = "proteins: partition into clusters, a codebook of them, on GVP features",
      .make_float = make_task<float>,
      .make_double = make_task<double>,
      .train_defaults = train_defaults,
      .prediction_input = labelled_prediction_input,
      .continues_texts = false,
      .golden_checks = kGolden,
      .part_benches = kParts,
      .phase_vocabulary = {kPhaseFlags, kLossParts},
  };
  return row;
}

}  // namespace gnn_hpc::partoken
