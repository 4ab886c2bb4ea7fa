// SPDX-License-Identifier: Apache-2.0
// The language model over ranks: steps with uneven and empty shares give the numbers of one rank.
#include "models/hgnn_moe_files.hpp"
#include "support/trained_numbers.hpp"
#include "support/views.hpp"
#include "train/trainer.hpp"

#include <gtest/gtest.h>

#include <cstdio>

namespace gnn_hpc {
namespace {

using hgnn_moe::CouplerType;
using hgnn_moe::LanguageTask;
using hgnn_moe::ModelOptions;

/// Trains on 16 of 20 lines; the cache is read from, or built into, `folder`.
test::TrainedNumbers train_in(const std::string& folder, const std::string& run_name, const ModelOptions& model, int batch, int epochs, const Comm& comm) {
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
  const test::TemporaryFolder mine;
  const Comm world = Comm::world();
  std::string shared = mine.path().string();
  world.broadcast(shared);
  const std::string own = mine.path().string();
  hgnn_moe::data_options(own, 20, true);
  world.barrier();
  ModelOptions orthogonal = hgnn_moe::model_options(), ghosts = hgnn_moe::model_options();
  orthogonal.orthogonality.outputs = orthogonal.orthogonality.weights = true;
  orthogonal.orthogonality.warmup_steps = 10;
  ghosts.num_ghost_experts = 2;
  ghosts.ghost_activation_threshold = -1e9;  // they wake at once
  struct Case {
    const char* name;
    ModelOptions model;
    int batch, epochs;
  };
  // Batches of 3 leave the fourth rank without a sequence, those of 5 are uneven; the last one of an epoch is smaller.
  for (const Case& c : {Case{"hgnn", hgnn_moe::model_options(CouplerType::hgnn), 3, 4}, Case{"gnn", hgnn_moe::model_options(CouplerType::gnn), 5, 5},
                        Case{"orthogonality", orthogonal, 3, 4}, Case{"ghosts", ghosts, 3, 4}}) {
    SCOPED_TRACE(c.name);
    const test::TrainedNumbers one = train_in(own, std::string("alone_") + c.name, c.model, c.batch, c.epochs, Comm::self());
    const test::TrainedNumbers many = train_in(shared, std::string("together_") + c.name, c.model, c.batch, c.epochs, world);
    ASSERT_GE(one.losses.size(), 20U);
    ASSERT_GE(one.validation.size(), static_cast<std::size_t>(3 * c.epochs));
    const double loss = test::relative_difference(many.losses, one.losses), norm = test::relative_difference(many.gradient_norms, one.gradient_norms),
                 validation = test::relative_difference(many.validation, one.validation),
                 parameters = test::relative_difference(many.parameters, one.parameters);
    if (world.is_root()) {
      std::printf("%d ranks, %s, %zu steps: losses %.1e, gradient norms %.1e, validation %.1e, parameters %.1e\n", world.size(), c.name,
                  one.losses.size(), loss, norm, validation, parameters);
    }
    EXPECT_LT(loss, 1e-10);
    EXPECT_LT(norm, 1e-9);
    EXPECT_LT(validation, 1e-10);
    EXPECT_LT(parameters, 1e-9);
    world.barrier();
  }
}

}  // namespace
}  // namespace gnn_hpc
