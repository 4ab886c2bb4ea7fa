// SPDX-License-Identifier: Apache-2.0
// GVP over ranks: steps with uneven and empty shares give the numbers of one rank.
#include "models/gvp/files.hpp"
#include "support/rank_agreement.hpp"
#include "train/trainer.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

/// Trains on 12 of 20 chains; graphs are read from, or built into, `folder`.
test::TrainedNumbers train_in(const std::string& folder, const std::string& run_name, const gvp::ModelOptions& model, int batch, int epochs,
                              const Comm& comm) {
  gvp::GvpTask<double> task(gvp::data_options(folder, 0, false), model, 3);
  RunOptions run;
  run.dir = folder + "/" + run_name;
  TrainOptions train;
  train.epochs = epochs;
  train.batch_size = batch;
  train.keep_last_batch = true;
  train.optimizer = "adam";
  gnn_hpc::train<double>(task, run, train, comm, "system: gvp\n");
  comm.barrier();
  return test::read_trained_numbers<double>(run.dir, task, {"val_loss", "val_accuracy"});
}

TEST(MpiGvp, RanksAgreeWithOneOverTwentySteps) {
  gvp::ModelOptions plain = gvp::model_options(), balanced = gvp::model_options();
  balanced.class_weights = "balanced";
  balanced.pooling = PoolingKind::attention;
  balanced.encoder.vector_gate = balanced.encoder.seq_in = true;
  const auto shares = [](const char* what, const gvp::ModelOptions& model, int batch, int epochs) {
    return test::RankCase{
        what,
        [=](const std::string& folder, const std::string& name, const Comm& comm) { return train_in(folder, name, model, batch, epochs, comm); },
        static_cast<std::size_t>(2 * epochs)};
  };
  // Dropout is on in both. 12 chains train: batches of 3 leave the fourth rank without one, those of 5 are uneven.
  test::expect_ranks_agree({shares("gvp", plain, 3, 5), shares("gvp_balanced", balanced, 5, 7)},
                           [](const std::string& folder) { gvp::data_options(folder, 20, true); });
}

}  // namespace
}  // namespace gnn_hpc
