// SPDX-License-Identifier: Apache-2.0
// What the program knows of this system.
#include "models/system.hpp"

#include "models/hgnn_moe/bench_coupler.hpp"
#include "models/hgnn_moe/golden.hpp"
#include "models/hgnn_moe/task.hpp"

namespace gnn_hpc::hgnn_moe {

namespace {

constexpr verify::GoldenCheck kGolden[] = {
    {"hgnn_moe", "model", verify::hgnn_moe::check_model},
    {"hgnn_moe", "other", verify::hgnn_moe::check_other},
};

constexpr PartBench kParts[] = {
    {"coupler", "the graph convolution that couples the experts", bench_coupler<float>, bench_coupler<double>},
};

/// The published settings.
TrainOptions train_defaults() {
  TrainOptions o;
  o.epochs = 8;
  o.batch_size = 32;
  o.keep_last_batch = true;
  o.learning_rate = 5e-4;
  o.weight_decay = 0.01;
  o.no_decay = {};
  o.schedule = "cosine";
  o.minimum_learning_rate = 1e-6;
  o.clip_norm = 1.0;
  o.eval_every = 200;
  o.train_metrics_every = 0;
  return o;
}

}  // namespace

const System& system() {
  static const System row{
      .name = "hgnn_moe",
      .summary = "texts: a language model whose experts a hypergraph convolution couples",
      .make_float = make_task<float>,
      .make_double = make_task<double>,
      .train_defaults = train_defaults,
      .prediction_input = nullptr,
      .continues_texts = true,
      .golden_checks = kGolden,
      .part_benches = kParts,
  };
  return row;
}

}  // namespace gnn_hpc::hgnn_moe
