// SPDX-License-Identifier: Apache-2.0
// The language model over ranks: steps with uneven and empty shares give the numbers of one rank.
#include "models/hgnn_moe/files.hpp"
#include "support/rank_agreement.hpp"
#include "train/trainer.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using hgnn_moe::CouplerType;
using hgnn_moe::LanguageTask;
using hgnn_moe::ModelOptions;

/// Trains on 16 of 20 lines; the cache is read from, or built into, `folder`.
test::TrainedNumbers train_in(const std::string& folder, const std::string& run_name, const ModelOptions& model, int batch, int epochs,
                              const Comm& comm) {
  LanguageTask<double> task(hgnn_moe::data_options(folder, 0, false), model, 3);
  RunOptions run;
  run.dir = folder + "/" + run_name;
  TrainOptions train = hgnn_moe::train_options();
  train.batch_size = batch;
  train.epochs = epochs;
  gnn_hpc::train<double>(task, run, train, comm, "system: hgnn_moe\n");
  comm.barrier();
  return test::read_trained_numbers<double>(run.dir, task, {"val_loss", "val_bits_per_byte", "val_perplexity"});
}

TEST(MpiHgnnMoe, RanksAgreeWithOneOverTwentySteps) {
  ModelOptions orthogonal = hgnn_moe::model_options(), ghosts = hgnn_moe::model_options();
  orthogonal.orthogonality.outputs = orthogonal.orthogonality.weights = true;
  orthogonal.orthogonality.warmup_steps = 10;
  ghosts.num_ghost_experts = 2;
  ghosts.ghost_activation_threshold = -1e9;  // they wake at once
  const auto shares = [](const char* what, const ModelOptions& model, int batch, int epochs) {
    return test::RankCase{
        what,
        [=](const std::string& folder, const std::string& name, const Comm& comm) { return train_in(folder, name, model, batch, epochs, comm); },
        static_cast<std::size_t>(3 * epochs)};
  };
  // Batches of 3 leave the fourth rank without a sequence, those of 5 are uneven; the last one of an epoch is smaller.
  test::expect_ranks_agree(
      {shares("hgnn", hgnn_moe::model_options(CouplerType::hgnn), 3, 4), shares("gnn", hgnn_moe::model_options(CouplerType::gnn), 5, 5),
       shares("orthogonality", orthogonal, 3, 4), shares("ghosts", ghosts, 3, 4)},
      [](const std::string& folder) { hgnn_moe::data_options(folder, 20, true); }, /*loose=*/true);
}

}  // namespace
}  // namespace gnn_hpc
