// SPDX-License-Identifier: Apache-2.0
// What the program knows of this system.
#include "models/system.hpp"

#include "dataset/prediction_input.hpp"
#include "models/dmpnn_diffpool/bench_coarsen.hpp"
#include "models/dmpnn_diffpool/golden.hpp"
#include "models/dmpnn_diffpool/task.hpp"

namespace gnn_hpc::dmpnn {

namespace {

constexpr verify::GoldenCheck kGolden[] = {
    {"dmpnn_diffpool", "model", verify::dmpnn::check_model},
    {"dmpnn_diffpool", "graphs", verify::dmpnn::check_graphs},
};

constexpr PartBench kParts[] = {
    {"coarsen", "the pooling of molecular graphs", bench_coarsen<float>, bench_coarsen<double>},
};

/// The published settings, but fewer epochs, as the plain encoder needs.
TrainOptions train_defaults() {
  TrainOptions o;
  o.epochs = 50;  // published: 300, for the inputs that name it
  o.keep_last_batch = true;
  o.smallest_last_batch = 2;  // BatchNorm over one graph has no variance
  o.weight_decay = 0.0;
  o.optimizer = "adam";
  o.schedule = "warmup_exponential";
  o.clip_norm = 10.0;
  o.early_stopping = 30;
  o.evaluate_batch_size = 512;
  return o;
}

}  // namespace

const System& system() {
  static const System row{
      .name = "dmpnn_diffpool",
      .summary = "molecules and polymers: D-MPNN, weighted D-MPNN, D-MPNN with DiffPool",
      .make_float = make_task<float>,
      .make_double = make_task<double>,
      .train_defaults = train_defaults,
      .prediction_input = labelled_prediction_input,
      .continues_texts = false,
      .golden_checks = kGolden,
      .part_benches = kParts,
  };
  return row;
}

}  // namespace gnn_hpc::dmpnn
