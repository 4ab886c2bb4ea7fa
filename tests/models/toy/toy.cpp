// SPDX-License-Identifier: Apache-2.0
// A sixth system, to prove that the interface carries one: trained, validated, continued and used by the shared trainer. Its table row would
// be one line of models/systems.cpp.
#include "models/toy/toy.hpp"

#include "support/paths.hpp"
#include "train/predict.hpp"
#include "train/trainer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

namespace gnn_hpc::toy {

template <class T>
std::unique_ptr<gnn_hpc::Task<T>> make_task(Config& root, std::uint64_t seed) {
  return std::make_unique<Task<T>>(DataOptions::parse(root.block("data", "rows of numbers")), seed);
}

const System& system() {
  static const System row{.name = "toy",
                          .summary = "a linear model on columns of numbers",
                          .make_float = make_task<float>,
                          .make_double = make_task<double>,
                          .train_defaults = [] { return TrainOptions{}; },
                          .prediction_input = labelled_prediction_input,
                          .golden_checks = {},
                          .part_benches = {}};
  return row;
}

namespace {

TEST(Toy, LearnsWhatIsLinearAndPredictsNewRows) {
  const test::TemporaryFolder folder;
  std::ofstream table(folder / "data.csv");
  table << "a,b,y\n";
  for (int i = 0; i < 200; ++i) {
    const double a = i % 13 - 6.0, b = i % 7 - 3.0;
    table << a << "," << b << "," << 3.0 * a - 2.0 * b + 1.0 << "\n";
  }
  table << "1,x,2\n";
  table.close();
  const std::string path = (folder / "data.csv").string();
  const std::string yaml = fmt::format("data: {{path: {}, columns: [a, b], targets: y, split: holdout, split_seed: 3}}\n", path);
  Config root = Config::from_text(yaml, "toy.yaml");
  const auto task = system().make_double(root, 1);
  root.done();
  root.finish();
  RunOptions run;
  run.dir = (folder / "run").string();
  TrainOptions train = system().train_defaults();
  train.epochs = 60;
  train.batch_size = 16;
  train.learning_rate = 0.05;
  train.weight_decay = 0.0;
  const TrainResult result = gnn_hpc::train<double>(*task, run, train, Comm::self(), yaml);
  EXPECT_EQ(result.status, "finished");
  EXPECT_EQ(task->skipped().size(), 1U);

  std::ofstream(folder / "new.csv") << "a,b,y\n10,0,\n0,10,0\n";
  std::vector<std::string> overrides = system().prediction_input((folder / "new.csv").string());
  Config again = Config::from_text(yaml, "toy.yaml", overrides);
  const auto fresh = system().make_double(again, 7);
  const auto rows = predict(*fresh, checkpoint_for_prediction(run.dir), 8, Comm::self());
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_TRUE(std::isnan(rows[0].prediction[0])) << "this reader wants every number";
  EXPECT_NEAR(rows[1].prediction[0], -19.0, 0.5);
}

}  // namespace
}  // namespace gnn_hpc::toy
