// SPDX-License-Identifier: Apache-2.0
// iComFormer over ranks: 20 steps with uneven and empty shares give the numbers of one rank.
#include "models/comformer/files.hpp"
#include "models/comformer/task.hpp"
#include "support/rank_agreement.hpp"
#include "train/trainer.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using comformer::ComformerTask;

/// Trains on 14 of 20 crystals; graphs are read from, or built into, `folder`.
test::TrainedNumbers train_in(const std::string& folder, const std::string& run_name, int batch, int epochs, int heads, Reduction reduction,
                              comformer::Network model, const Comm& comm) {
  comformer::DataOptions data = comformer::data_options(folder, 0, false);
  data.source.index = ":20";
  data.train_ratio = 0.7;  // 14 crystals
  data.validation_ratio = data.test_ratio = 0.15;
  CrystalGraphOptions graph;
  graph.max_neighbors = 6;
  comformer::NetworkOptions network;
  network.model.network = model;
  network.model.node_features = 16;
  network.model.edge_features = 16;
  network.model.triplet_input_features = 16;
  network.model.fc_features = 8;
  network.model.node_layer_head = heads;
  network.model.reduction = reduction;
  ComformerTask<double> task(data, graph, network, 3);
  task.open_data(comm, DataUse::training);
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

TEST(MpiComformer, RanksAgreeWithOneOverTwentySteps) {
  // 14 crystals: batches of 3 leave the fourth rank without one, those of 7 are uneven on every number of ranks.
  const auto shares = [](int batch, int epochs, int heads, Reduction reduction, comformer::Network network = comformer::Network::icomformer) {
    return test::RankCase{fmt::format("{}batch{}_{}", network == comformer::Network::ecomformer ? "equivariant_" : "", batch,
                                      reduction == Reduction::csr ? "csr" : "scatter"),
                          [=](const std::string& folder, const std::string& name, const Comm& comm) {
                            return train_in(folder, name, batch, epochs, heads, reduction, network, comm);
                          },
                          static_cast<std::size_t>(epochs)};
  };
  test::expect_ranks_agree({shares(3, 5, 1, Reduction::csr), shares(7, 10, 2, Reduction::csr), shares(3, 5, 1, Reduction::scatter),
                            shares(3, 5, 1, Reduction::csr, comformer::Network::ecomformer)},
                           [](const std::string& folder) { comformer::data_options(folder, 20, true); });
}

}  // namespace
}  // namespace gnn_hpc
