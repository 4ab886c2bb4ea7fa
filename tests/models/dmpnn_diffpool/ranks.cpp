// SPDX-License-Identifier: Apache-2.0
// D-MPNN and DiffPool over ranks: steps with uneven and empty shares give the numbers of one rank.
#include "io/smiles.hpp"
#include "models/dmpnn_diffpool/files.hpp"
#include "support/rank_agreement.hpp"
#include "train/trainer.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using dmpnn::DmpnnTask;
using dmpnn::ModelOptions;

/// Trains on 14 of 20 molecules; graphs are read from, or built into, `folder`.
test::TrainedNumbers train_in(const std::string& folder, const std::string& run_name, const ModelOptions& model, int batch, int epochs,
                              const Comm& comm) {
  DmpnnTask<double> task(dmpnn::data_options(folder, 0, false), model, 3);
  RunOptions run;
  run.dir = folder + "/" + run_name;
  TrainOptions train;
  train.epochs = epochs;
  train.batch_size = batch;
  train.keep_last_batch = true;
  train.smallest_last_batch = 2;
  train.optimizer = "adam";
  train.clip_norm = 10.0;
  gnn_hpc::train<double>(task, run, train, comm, "system: dmpnn_diffpool\n");
  comm.barrier();
  return test::read_trained_numbers<double>(run.dir, task, {"val_loss", "val_mae_a", "val_r2_b"});
}

TEST(MpiDmpnn, RanksAgreeWithOneOverTwentySteps) {
  if (rdkit_version().empty()) GTEST_SKIP() << "built without RDKit";
  ModelOptions plain = dmpnn::model_options(), pooled = dmpnn::model_options(), dropped = dmpnn::model_options();
  plain.encoder = dmpnn::Encoder::dmpnn;
  plain.batch_norm = true;
  dropped.dropout = 0.2;
  dropped.diffpool_topk = 0;
  const auto shares = [](const char* what, const ModelOptions& model, int batch, int epochs) {
    return test::RankCase{
        what,
        [=](const std::string& folder, const std::string& name, const Comm& comm) { return train_in(folder, name, model, batch, epochs, comm); },
        static_cast<std::size_t>(3 * epochs)};
  };
  // 14 molecules train: batches of 3 leave the fourth rank without one, those of 5 are uneven; the last one of an epoch is smaller.
  test::expect_ranks_agree({shares("dmpnn_bn", plain, 3, 4), shares("diffpool", pooled, 5, 7), shares("diffpool_dropout", dropped, 3, 4)},
                           [](const std::string& folder) { dmpnn::data_options(folder, 20, true); });
}

}  // namespace
}  // namespace gnn_hpc
