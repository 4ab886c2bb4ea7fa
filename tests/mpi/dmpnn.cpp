// SPDX-License-Identifier: Apache-2.0
// D-MPNN and DiffPool over ranks: steps with uneven and empty shares give the numbers of one rank.
#include "io/smiles.hpp"
#include "models/dmpnn_files.hpp"
#include "support/trained_numbers.hpp"
#include "support/views.hpp"
#include "train/trainer.hpp"

#include <gtest/gtest.h>

#include <cstdio>

namespace gnn_hpc {
namespace {

using dmpnn::DmpnnTask;
using dmpnn::ModelOptions;

/// Trains on 14 of 20 molecules; graphs are read from, or built into, `folder`.
test::TrainedNumbers train_in(const std::string& folder, const std::string& run_name, const ModelOptions& model, int batch, int epochs, const Comm& comm) {
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
  const test::TemporaryFolder mine;
  const Comm world = Comm::world();
  std::string shared = mine.path().string();
  world.broadcast(shared);
  const std::string own = mine.path().string();
  dmpnn::data_options(own, 20, true);
  world.barrier();
  ModelOptions plain = dmpnn::model_options(), pooled = dmpnn::model_options(), dropped = dmpnn::model_options();
  plain.encoder = dmpnn::Encoder::dmpnn;
  plain.batch_norm = true;
  dropped.dropout = 0.2;
  dropped.diffpool_topk = 0;
  struct Case {
    const char* name;
    ModelOptions model;
    int batch, epochs;
  };
  // 14 molecules train: batches of 3 leave the fourth rank without one, those of 5 are uneven; the last one of an epoch is smaller.
  for (const Case& c : {Case{"dmpnn_bn", plain, 3, 4}, Case{"diffpool", pooled, 5, 7}, Case{"diffpool_dropout", dropped, 3, 4}}) {
    SCOPED_TRACE(c.name);
    const test::TrainedNumbers one = train_in(own, std::string("alone_") + c.name, c.model, c.batch, c.epochs, Comm::self());
    const test::TrainedNumbers many = train_in(shared, std::string("together_") + c.name, c.model, c.batch, c.epochs, world);
    ASSERT_GE(one.losses.size(), 20U);
    ASSERT_EQ(one.validation.size(), static_cast<std::size_t>(3 * c.epochs));
    const double loss = test::relative_difference(many.losses, one.losses), validation = test::relative_difference(many.validation, one.validation),
                 parameters = test::relative_difference(many.parameters, one.parameters),
                 buffers = one.buffers.empty() ? 0.0 : test::relative_difference(many.buffers, one.buffers);
    if (world.is_root()) {
      std::printf("%d ranks, %s, %zu steps: losses %.1e, validation %.1e, parameters %.1e, running statistics %.1e\n", world.size(), c.name,
                  one.losses.size(), loss, validation, parameters, buffers);
    }
    EXPECT_LT(loss, 1e-10);
    EXPECT_LT(validation, 1e-10);
    EXPECT_LT(parameters, 1e-10);
    EXPECT_LT(buffers, 1e-10);
    world.barrier();
  }
}

}  // namespace
}  // namespace gnn_hpc
