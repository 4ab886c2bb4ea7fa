// SPDX-License-Identifier: Apache-2.0
// Training over ranks: the same numbers as on one, whatever the shares.
#include "train/trainer.hpp"

#include "base/error.hpp"
#include "io/hdf5.hpp"
#include "support/paths.hpp"
#include "support/trained_numbers.hpp"
#include "train/fake_task.hpp"
#include "train/predict.hpp"
#include "train/run_folder.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace gnn_hpc {
namespace {

namespace fs = std::filesystem;
using Fake = test::FakeTask<double>;

const std::string kYaml = "train:\n  epochs: 3\n";

/// A folder that all ranks see: the root's.
std::string shared_folder(const test::TemporaryFolder& mine) {
  std::string path = mine.path().string();
  Comm::world().broadcast(path);
  return path;
}

TrainResult run(Fake& task, const Comm& comm, const std::string& dir, int batch, const TrainHooks& hooks = {}) {
  RunOptions options;
  options.dir = dir;
  TrainOptions t;
  t.epochs = 3;
  t.batch_size = batch;
  t.learning_rate = 0.05;
  t.weight_decay = 0.01;
  t.train_metrics_every = 1;
  t.epsilon = 1e-3;  // gradients that are zero but for rounding (a bias before the mean is taken off) must not become steps
  return train<double>(task, options, t, comm, kYaml, hooks);
}

struct Numbers : test::TrainedNumbers {
  std::vector<double> predictions;
};

Numbers numbers_of(Fake& task, const std::string& dir) {
  Numbers out{test::read_trained_numbers<double>(dir, task, {"train_loss", "val_loss", "val_mae", "train_mae"}), {}};
  std::ifstream rows(dir + "/predictions.csv");
  std::string line;
  std::getline(rows, line);
  while (std::getline(rows, line)) {
    line = line.substr(0, line.rfind(','));
    out.predictions.push_back(std::stod(line.substr(line.rfind(',') + 1)));
  }
  return out;
}

void expect_close(const std::vector<double>& a, const std::vector<double>& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  double scale = 0.0;
  for (const double x : b) scale = std::max(scale, std::abs(x));
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-12 * scale) << what << " " << i;
}

TEST(MpiTraining, RanksAgreeWithOne) {
  const test::TemporaryFolder mine;
  const std::string shared = shared_folder(mine);
  const Comm world = Comm::world();
  // 1 and 3 leave ranks without a sample, 5 and 7 are uneven; every step also runs evaluation with such shares.
  for (const int batch : {1, 3, 5, 7, 23}) {
    SCOPED_TRACE(batch);
    Fake one, many;
    const std::string alone = (mine / ("alone" + std::to_string(batch))).string(), together = shared + "/together" + std::to_string(batch);
    run(one, Comm::self(), alone, batch);
    run(many, world, together, batch);
    world.barrier();
    const Numbers a = numbers_of(one, alone), b = numbers_of(many, together);
    EXPECT_FALSE(a.losses.empty());
    EXPECT_EQ(a.predictions.size(), 36u);
    expect_close(b.losses, a.losses, "loss");
    expect_close(b.parameters, a.parameters, "parameter");
    expect_close(b.buffers, a.buffers, "buffer");
    expect_close(b.validation, a.validation, "metric");
    expect_close(b.predictions, a.predictions, "prediction");
    world.barrier();
  }
}

TEST(MpiTraining, AStopOnOneRankStopsAllAndTheRestIsTheSame) {
  const test::TemporaryFolder mine;
  const std::string shared = shared_folder(mine);
  const Comm world = Comm::world();
  Fake whole, stopped, resumed;
  run(whole, world, shared + "/whole", 5);
  const bool last_rank = world.rank() == world.size() - 1;
  const TrainResult result = run(stopped, world, shared + "/stopped", 5, {[&](const TrainState& state) { return last_rank && state.step == 7; }});
  EXPECT_EQ(result.exit, Exit::stopped);
  EXPECT_EQ(result.state.step, 7);
  EXPECT_EQ(run(resumed, world, shared + "/stopped", 5).exit, Exit::ok);
  world.barrier();
  const Numbers a = numbers_of(whole, shared + "/whole"), b = numbers_of(resumed, shared + "/stopped");
  EXPECT_EQ(a.losses, b.losses);
  EXPECT_EQ(a.parameters, b.parameters);
  EXPECT_EQ(a.buffers, b.buffers);
  EXPECT_EQ(a.validation, b.validation);
  EXPECT_EQ(a.predictions, b.predictions);
  world.barrier();
}

TEST(MpiTraining, AllRanksBeginAtTheSamePlace) {
  const test::TemporaryFolder mine;
  const Comm world = Comm::world();
  RunOptions options;
  options.dir = shared_folder(mine) + "/run";
  TrainOptions t;
  t.epochs = 3;
  t.batch_size = 5;
  const auto start = [&](std::int64_t steps, const std::string& yaml) {  // stops before the step after these
    Fake task;
    const TrainResult result = train<double>(task, options, t, world, yaml, {[&](const TrainState& state) { return state.step == steps; }});
    world.barrier();
    return result;
  };
  const auto aside = [&](int n) { return std::filesystem::exists(options.dir + "/previous." + std::to_string(n) + "/checkpoints/last.h5"); };
  EXPECT_EQ(start(0, kYaml).exit, Exit::stopped);
  EXPECT_EQ(start(3, kYaml + "  learning_rate: 0.5\n").state.step, 3) << "a checkpoint without a step holds nothing back";
  EXPECT_TRUE(aside(1));
  options.restart = "never";
  EXPECT_EQ(start(3, kYaml).state.step, 3);
  EXPECT_TRUE(aside(2));
  EXPECT_EQ(start(-1, kYaml).exit, Exit::ok) << "what this command began goes on";
  EXPECT_FALSE(aside(3));
  options.restart = "auto";
  if (world.is_root()) {
    for (const char* name : {"last.h5", "last.prev.h5"}) std::filesystem::resize_file(options.dir + "/checkpoints/" + name, 1000);
  }
  world.barrier();
  for (int again = 0; again < 2; ++again) {
    try {
      start(-1, kYaml);
      ADD_FAILURE() << "trained from nothing";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::data);
      EXPECT_NE(std::string(error.what()).find("last.damaged.h5"), std::string::npos) << error.what();
    }
    world.barrier();
  }
}

TEST(MpiTraining, DivergenceIsSeenByAllRanks) {
  const test::TemporaryFolder mine;
  const std::string shared = shared_folder(mine);
  std::set<std::int64_t> all;
  for (int i = 0; i < 23; ++i) all.insert(i);
  Fake task({.bad_input = all});
  try {
    run(task, Comm::world(), shared + "/run", 2);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::diverged);
  }
  Comm::world().barrier();
}

TEST(MpiTraining, ALossThatIsNotFiniteOnOneRankSkipsTheStepOnAll) {
  const test::TemporaryFolder mine;
  const std::string shared = shared_folder(mine);
  const Comm world = Comm::world();
  Fake one({.bad_loss = {4}}), many({.bad_loss = {4}});
  const TrainResult alone = run(one, Comm::self(), (mine / "alone").string(), 5), together = run(many, world, shared + "/together", 5);
  world.barrier();
  EXPECT_EQ(alone.state.skipped, together.state.skipped);
  EXPECT_GT(together.state.skipped, 0.0);
  EXPECT_EQ(together.state.updates + together.state.skipped, static_cast<double>(together.state.step));
  const Numbers a = numbers_of(one, (mine / "alone").string()), b = numbers_of(many, shared + "/together");
  expect_close(b.parameters, a.parameters, "parameter");  // and the trainer compares the ranks' bits every epoch
  expect_close(b.buffers, a.buffers, "buffer");
  world.barrier();
}

TEST(MpiTraining, AnErrorOfTheRootIsSeenByAllRanks) {
  const test::TemporaryFolder mine;
  const std::string shared = shared_folder(mine);
  if (Comm::world().is_root()) std::ofstream(mine / "file") << "in the way";
  Comm::world().barrier();
  Fake task;
  EXPECT_THROW(run(task, Comm::world(), shared + "/file/run", 2), Error);
  Comm::world().barrier();
}

TEST(MpiTraining, PredictionsReachTheRootInOrder) {
  const test::TemporaryFolder mine;
  const std::string shared = shared_folder(mine);
  const Comm world = Comm::world();
  Fake trained;
  run(trained, world, shared + "/run", 5);
  world.barrier();
  const std::string checkpoint = checkpoint_for_prediction(shared + "/run");
  Fake one({.seed = 4}), many({.seed = 5});
  const auto alone = predict<double>(one, checkpoint, 7, Comm::self());
  const auto together = predict<double>(many, checkpoint, 3, world);
  ASSERT_EQ(together.size(), world.is_root() ? alone.size() : 0u);
  for (std::size_t i = 0; i < together.size(); ++i) {
    EXPECT_EQ(together[i].id, alone[i].id);
    EXPECT_EQ(together[i].prediction[0], alone[i].prediction[0]);
  }
  world.barrier();
}

TEST(MpiTraining, NamesMayHoldAnythingWhenRanksGather) {
  const Comm world = Comm::world();
  const std::vector<std::string> names{"", "\n", "mae_E/atom\n(eV)", std::string("a\0b", 3), "\x1f,\"`$(x)", std::string(300, 'x')};
  Measures m;
  for (std::size_t i = 0; i < names.size(); ++i) {
    // Some ranks lack some names.
    if (static_cast<int>(i) % world.size() == world.rank() || i == 2) m.add(names[i], static_cast<double>(i) + 1.0, 1.0);
  }
  reduce_measures(world, m);
  ASSERT_EQ(m.sums.size(), names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const double count = i == 2 ? world.size() : 1.0;
    EXPECT_EQ(m.sums.at(names[i]), (std::pair<double, double>{count * (static_cast<double>(i) + 1.0), count})) << i;
  }
  std::vector<std::string> texts = world.is_root() ? names : std::vector<std::string>{};
  world.broadcast(texts);
  EXPECT_EQ(texts, names);
}

TEST(MpiTraining, MeasuresOfEmptySharesHaveNoNames) {
  const Comm world = Comm::world();
  Measures m;
  if (world.rank() == 0) m.add("a", 1.5, 2.0);
  if (world.rank() == world.size() - 1) m.add("b", 4.0, 1.0);
  reduce_measures(world, m);
  EXPECT_EQ(m.sums.size(), 2u);
  EXPECT_EQ(m.sums.at("a"), (std::pair<double, double>{1.5, 2.0}));
  EXPECT_EQ(m.sums.at("b"), (std::pair<double, double>{4.0, 1.0}));
}

}  // namespace
}  // namespace gnn_hpc
