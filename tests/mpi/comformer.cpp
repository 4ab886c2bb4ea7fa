// SPDX-License-Identifier: Apache-2.0
// iComFormer over ranks: 20 steps with uneven and empty shares give the numbers of one rank.
#include "models/comformer/task.hpp"
#include "models/comformer_files.hpp"
#include "support/paths.hpp"
#include "support/trained_numbers.hpp"
#include "support/views.hpp"
#include "train/trainer.hpp"

#include <gtest/gtest.h>

#include <cstdio>

namespace gnn_hpc {
namespace {

using comformer::ComformerTask;

/// Trains on 14 of 20 crystals; graphs are read from, or built into, `folder`.
test::TrainedNumbers train_in(const std::string& folder, const std::string& run_name, int batch, int epochs, int heads, Reduction reduction, const Comm& comm) {
  comformer::DataOptions data = comformer::data_options(folder, 0, false);
  data.source.index = ":20";
  data.train_ratio = 0.7;  // 14 crystals
  data.validation_ratio = data.test_ratio = 0.15;
  CrystalGraphOptions graph;
  graph.max_neighbors = 6;
  comformer::NetworkOptions network;
  network.model.node_features = 16;
  network.model.edge_features = 16;
  network.model.triplet_input_features = 16;
  network.model.fc_features = 8;
  network.model.node_layer_head = heads;
  network.model.reduction = reduction;
  ComformerTask<double> task(data, graph, network, 3);
  task.open_data(comm);
  RunOptions run;
  run.dir = folder + "/" + run_name;
  TrainOptions train;
  train.epochs = epochs;
  train.batch_size = batch;
  train.learning_rate = 3e-3;
  train.weight_decay = 1e-2;
  gnn_hpc::train<double>(task, run, train, comm, "task: comformer\n");
  comm.barrier();
  return test::read_trained_numbers<double>(run.dir, task, {"val_loss"});
}

struct Shares {
  int batch, epochs, heads;
  Reduction reduction;
};

TEST(MpiComformer, RanksAgreeWithOneOverTwentySteps) {
  const test::TemporaryFolder mine;
  const Comm world = Comm::world();
  std::string shared = mine.path().string();
  world.broadcast(shared);
  const std::string own = mine.path().string();
  comformer::data_options(own, 20, true);
  world.barrier();
  // 14 crystals: batches of 3 leave the fourth rank without one, those of 7 are uneven on every number of ranks.
  for (const Shares& s : {Shares{3, 5, 1, Reduction::csr}, Shares{7, 10, 2, Reduction::csr}, Shares{3, 5, 1, Reduction::scatter}}) {
    const std::string name = fmt::format("batch{}_{}", s.batch, s.reduction == Reduction::csr ? "csr" : "scatter");
    SCOPED_TRACE(name);
    const test::TrainedNumbers one = train_in(own, "alone_" + name, s.batch, s.epochs, s.heads, s.reduction, Comm::self());
    const test::TrainedNumbers many = train_in(shared, "together_" + name, s.batch, s.epochs, s.heads, s.reduction, world);
    ASSERT_GE(one.losses.size(), 20U);
    ASSERT_EQ(one.validation.size(), static_cast<std::size_t>(s.epochs));
    const double loss = test::relative_difference(many.losses, one.losses), validation = test::relative_difference(many.validation, one.validation),
                 parameters = test::relative_difference(many.parameters, one.parameters), buffers = test::relative_difference(many.buffers, one.buffers);
    if (world.is_root()) {
      std::printf("%d ranks, %s, %zu steps: losses %.1e, validation %.1e, parameters %.1e, running statistics %.1e\n", world.size(), name.c_str(),
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
