// SPDX-License-Identifier: Apache-2.0
// ParToken over ranks: stages with k-means, averages, noise and dropout give the numbers of one rank.
#include "models/partoken/files.hpp"
#include "support/rank_agreement.hpp"
#include "train/trainer.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

test::TrainedNumbers train_in(const std::string& folder, const std::string& run_name, const partoken::ModelOptions& model, int batch, int epochs,
                              const Comm& comm) {
  partoken::PartokenTask<double> task(protein::data_options(folder, 0, false), model, 3);
  RunOptions run;
  run.dir = folder + "/" + run_name;
  gnn_hpc::train<double>(task, run, partoken::stages(partoken::train_options(batch), epochs), comm, "system: partoken\n");
  comm.barrier();
  return test::read_trained_numbers<double>(run.dir, task, {"val_loss", "val_accuracy", "val_coverage", "val_perplexity", "train_loss_card"});
}

TEST(MpiPartoken, RanksAgreeWithOneThroughAllStages) {
  partoken::ModelOptions plain = partoken::model_options(), quantized = partoken::model_options();
  quantized.quantized = quantized.codebook.cosine = true;
  const auto shares = [](const char* what, const partoken::ModelOptions& model, int batch, int epochs) {
    return test::RankCase{
        what,
        [=](const std::string& folder, const std::string& name, const Comm& comm) { return train_in(folder, name, model, batch, epochs, comm); },
        static_cast<std::size_t>(3 * epochs)};
  };
  // Dropout and noise are on in all. 12 chains train: batches of 3 leave the fourth rank without one, those of 5 are uneven.
  test::expect_ranks_agree({shares("partoken", plain, 3, 2), shares("partoken_quantized", quantized, 5, 3)},
                           [](const std::string& folder) { protein::data_options(folder, 20, true); });
}

}  // namespace
}  // namespace gnn_hpc
