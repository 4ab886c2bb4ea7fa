// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.hpp"

#include "base/error.hpp"
#include "io/hdf5.hpp"
#include "support/paths.hpp"
#include "train/fake_task.hpp"
#include "train/predict.hpp"
#include "train/repeated_inputs.hpp"
#include "train/run_folder.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace gnn_hpc {
namespace {

namespace fs = std::filesystem;
using Fake = test::FakeTask<double>;

/// Hundreds of checkpoints are written and synced here; what is under test is not the disk.
[[maybe_unused]] const bool kInMemory = [] {
  if (fs::exists("/dev/shm")) ::setenv("TMPDIR", "/dev/shm", 0);
  return true;
}();

/// Thrown by a hook in place of a kill: nothing after it runs, nothing is flushed on purpose.
struct Killed {};

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// What must be equal of two runs: parameters, moments and buffers of both checkpoints, metrics, predictions.
std::string fingerprint(const fs::path& dir) {
  std::string out = read_text(dir / "metrics.jsonl") + read_text(dir / "metrics.csv") + read_text(dir / "predictions.csv");
  for (const char* name : {"checkpoints/last.h5", "checkpoints/best.h5"}) {
    const Hdf5Reader file(dir / name, SealCheck::required);
    for (const char* group : {"/params", "/buffers", "/optimizer", "/state"}) {
      if (!file.exists(group)) continue;
      for (const std::string& dataset : file.datasets(group)) {
        const auto values = file.read<double>(dataset);
        out += dataset + std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
      }
    }
  }
  return out;
}

struct Settings {
  TrainOptions train;
  RunOptions run;
  Settings(const fs::path& dir) {
    run.dir = dir.string();
    train.epochs = 4;
    train.batch_size = 5;  // 23 samples: 4 steps an epoch
    train.learning_rate = 0.05;
    train.weight_decay = 0.01;
    train.train_metrics_every = 2;
  }
};

const std::string kYaml = "train:\n  epochs: 4\n";

TEST(Trainer, LearnsAndWritesTheRunFolder) {
  const test::TemporaryFolder folder;
  Settings s(folder / "run");
  s.train.epochs = 60;
  Fake task;
  const TrainResult result = train<double>(task, s.run, s.train, Comm::self(), kYaml);
  EXPECT_EQ(result.exit, Exit::ok);
  EXPECT_EQ(result.status, "finished");
  EXPECT_EQ(result.state.epoch, 60);
  EXPECT_EQ(result.state.step, 240);
  ASSERT_EQ(result.parts.size(), 3u);
  EXPECT_GT(result.parts[0].regression[0].r2, 0.95);
  EXPECT_EQ(result.parts[0].regression[0].count, 23);
  for (const char* name : {"resolved.yaml", "metrics.jsonl", "metrics.csv", "predictions.csv", "skipped.csv", "summary.json", "results.csv",
                           "ids_train_val_test.json", "checkpoints/last.h5", "checkpoints/best.h5", "checkpoints/last.prev.h5"}) {
    EXPECT_TRUE(fs::exists(folder / "run" / name)) << name;
  }
  EXPECT_EQ(read_text(folder / "run" / "resolved.yaml"), kYaml);
  EXPECT_EQ(read_text(folder / "run" / "metrics.csv").substr(0, 64), "epoch,step,learning_rate,train_loss,val_loss,val_mae,train_mae\n1");
  const std::string predictions = read_text(folder / "run" / "predictions.csv");
  EXPECT_EQ(predictions.substr(0, 30), "id,row,target,prediction,split");
  EXPECT_EQ(std::count(predictions.begin(), predictions.end(), '\n'), 1 + 36);
  const auto summary = nlohmann::json::parse(read_text(folder / "run" / "summary.json"));
  EXPECT_EQ(summary["parts"]["test"]["targets"]["y"]["mae"].get<double>(), result.parts[2].regression[0].mae);
  EXPECT_NEAR(summary["parts"]["validation"]["metrics"]["mae"].get<double>(), result.state.best_metric, 1e-14);
}

TEST(Trainer, KilledAtAnyStepAndResumedIsNeverStopped) {
  const test::TemporaryFolder folder;
  const auto run_once = [&](const std::string& name, const TrainHooks& hooks, std::int64_t every) {
    Settings s(folder / name);
    s.train.checkpoint_every = every;
    Fake task;
    return train<double>(task, s.run, s.train, Comm::self(), kYaml, hooks);
  };
  run_once("whole", {}, 0);
  const std::string expected = fingerprint(folder / "whole");
  // The hook is asked before each step and each evaluation batch: killing at its n-th call covers every place in between.
  int calls = 0;
  run_once("count", {[&](const TrainState&) { return ++calls, false; }}, 0);
  ASSERT_GT(calls, 16 + 4);
  for (int n = 1; n <= calls; ++n) {
    for (const std::int64_t every : {0, 1, 3}) {
      const std::string name = "killed" + std::to_string(n) + "_" + std::to_string(every);
      int count = 0;
      const TrainHooks kill{[&](const TrainState&) {
        if (++count == n) throw Killed{};
        return false;
      }};
      EXPECT_THROW(run_once(name, kill, every), Killed);
      const TrainResult result = run_once(name, {}, every);
      EXPECT_EQ(result.exit, Exit::ok);
      EXPECT_EQ(fingerprint(folder / name), expected) << name;
    }
    // The same with a signal: a checkpoint is written, the exit code says so.
    const std::string name = "stopped" + std::to_string(n);
    int count = 0;
    const TrainResult stopped = run_once(name, {[&](const TrainState&) { return ++count == n; }}, 0);
    EXPECT_EQ(stopped.exit, Exit::stopped);
    EXPECT_TRUE(fs::exists(folder / name / "checkpoints" / "last.h5"));
    EXPECT_EQ(run_once(name, {}, 0).exit, Exit::ok);
    EXPECT_EQ(fingerprint(folder / name), expected) << name;
  }
  // Stopped before every single step.
  for (int guard = 0; guard < 200; ++guard) {
    int count = 0;
    if (run_once("often", {[&](const TrainState&) { return ++count == 5; }}, 0).exit == Exit::ok) break;
  }
  EXPECT_EQ(fingerprint(folder / "often"), expected);
}

TEST(Trainer, AFinishedRunOnlyRepeatsItsEnd) {
  const test::TemporaryFolder folder;
  const Settings s(folder / "run");
  Fake task;
  train<double>(task, s.run, s.train, Comm::self(), kYaml);
  const std::string expected = fingerprint(folder / "run");
  Fake again;
  EXPECT_EQ(train<double>(again, s.run, s.train, Comm::self(), kYaml).exit, Exit::ok);
  EXPECT_EQ(fingerprint(folder / "run"), expected);
}

TEST(Trainer, ADamagedCheckpointFallsBackToThePrevious) {
  const test::TemporaryFolder folder;
  Settings s(folder / "run");
  Fake whole;
  train<double>(whole, s.run, s.train, Comm::self(), kYaml);
  const std::string expected = fingerprint(folder / "run");
  fs::resize_file(folder / "run" / "checkpoints" / "last.h5", 3000);
  Fake task;
  EXPECT_EQ(train<double>(task, s.run, s.train, Comm::self(), kYaml).exit, Exit::ok);
  EXPECT_EQ(fingerprint(folder / "run"), expected);
}

TEST(Trainer, RestartModes) {
  const test::TemporaryFolder folder;
  Settings s(folder / "run");
  s.run.restart = "require";
  Fake task;
  EXPECT_THROW(train<double>(task, s.run, s.train, Comm::self(), kYaml), Error);
  s.run.restart = "auto";
  train<double>(task, s.run, s.train, Comm::self(), kYaml);
  Fake changed;
  EXPECT_THROW(train<double>(changed, s.run, s.train, Comm::self(), "train:\n  epochs: 5\n"), Error);
  Fake other_labels({.mean = 3.0});
  EXPECT_THROW(train<double>(other_labels, s.run, s.train, Comm::self(), kYaml), Error);
  s.run.restart = "never";
  Fake fresh;
  EXPECT_EQ(train<double>(fresh, s.run, s.train, Comm::self(), kYaml).exit, Exit::ok);
  EXPECT_TRUE(fs::exists(folder / "run" / "previous.1" / "checkpoints" / "last.h5"));
  EXPECT_TRUE(fs::exists(folder / "run" / "previous.1" / "metrics.csv"));
}

TEST(Trainer, TwoRunsCannotShareAFolder) {
  const test::TemporaryFolder folder;
  const Settings s(folder / "run");
  Fake task;
  const TrainHooks second{[&](const TrainState&) {
    Fake other;
    EXPECT_THROW(train<double>(other, s.run, s.train, Comm::self(), kYaml), Error);
    return true;
  }};
  train<double>(task, s.run, s.train, Comm::self(), kYaml, second);
}

TEST(Trainer, StopsEarly) {
  const test::TemporaryFolder folder;
  Settings s(folder / "run");
  s.train.epochs = 500;
  s.train.early_stopping = 3;
  s.train.learning_rate = 1e-12;  // nothing improves by much; the running mean settles
  s.train.schedule = "none";
  s.train.weight_decay = 0.0;
  Fake task({.frozen_validation = true});
  const TrainResult result = train<double>(task, s.run, s.train, Comm::self(), kYaml);
  EXPECT_EQ(result.status, "early_stopped");
  EXPECT_LT(result.state.epoch, 500);
  EXPECT_EQ(result.state.epoch, result.state.best_epoch + 3);
  EXPECT_EQ(result.exit, Exit::ok);
}

TEST(Trainer, DivergenceNamesTheSamplesAndKeepsTheCheckpoint) {
  const test::TemporaryFolder folder;
  Settings s(folder / "run");
  Fake good;
  const TrainResult stopped = train<double>(good, s.run, s.train, Comm::self(), kYaml, {[](const TrainState& state) { return state.step == 5; }});
  ASSERT_EQ(stopped.exit, Exit::stopped);
  const std::string before = read_text(folder / "run" / "checkpoints" / "last.h5");
  std::set<std::int64_t> all;
  for (int i = 0; i < 23; ++i) all.insert(i);
  Fake bad({.bad_input = all});
  try {
    train<double>(bad, s.run, s.train, Comm::self(), kYaml);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::diverged);
    EXPECT_NE(std::string(error.what()).find("sample_"), std::string::npos) << error.what();
  }
  EXPECT_EQ(read_text(folder / "run" / "checkpoints" / "last.h5"), before);
}

TEST(Trainer, OneBadSampleCostsOneStepAnEpoch) {
  const test::TemporaryFolder folder;
  Settings s(folder / "run");
  s.train.max_bad_steps = 2;
  s.train.learning_rate = 0.01;
  s.train.batch_size = 1;
  Fake task({.train = 12, .bad_input = {4}});
  const TrainResult result = train<double>(task, s.run, s.train, Comm::self(), kYaml);
  EXPECT_EQ(result.state.skipped, 4.0);
  EXPECT_EQ(result.state.updates, 4 * 11.0);
  EXPECT_TRUE(std::isfinite(result.state.best_metric));  // the running mean was put back
}

TEST(Trainer, AStepWhoseLossIsNotFiniteIsSkippedAsItsMessageSays) {
  const test::TemporaryFolder folder;
  Settings s(folder / "run");
  s.train.max_bad_steps = 2;
  s.train.batch_size = 1;
  Fake task({.train = 12, .bad_loss = {4}});
  const TrainResult result = train<double>(task, s.run, s.train, Comm::self(), kYaml);
  EXPECT_EQ(result.state.skipped, 4.0);
  EXPECT_EQ(result.state.updates, 4 * 11.0);
  std::ifstream file(folder / "run" / "metrics.jsonl");
  int bad = 0;
  for (std::string line; std::getline(file, line);) {
    const auto entry = nlohmann::json::parse(line);
    if (!entry.contains("bad")) continue;
    ++bad;
    EXPECT_TRUE(entry["loss"].is_null());
    EXPECT_TRUE(entry["gradient_norm"].is_number());
  }
  EXPECT_EQ(bad, 4);
}

TEST(Trainer, TrainingAndValidationLossAreTheSameQuantity) {
  const test::TemporaryFolder folder;
  Settings plain(folder / "plain"), with(folder / "with");
  Fake a, b({.auxiliary = 100.0});
  train<double>(a, plain.run, plain.train, Comm::self(), kYaml);
  train<double>(b, with.run, with.train, Comm::self(), kYaml);
  std::ifstream one(folder / "plain" / "metrics.jsonl"), two(folder / "with" / "metrics.jsonl");
  int lines = 0;
  for (std::string x, y; std::getline(one, x) && std::getline(two, y); ++lines) {
    const auto p = nlohmann::json::parse(x), q = nlohmann::json::parse(y);
    for (const char* name : {"loss", "train_loss", "val_loss"}) {
      ASSERT_EQ(p.contains(name), q.contains(name));
      if (p.contains(name)) {
        EXPECT_EQ(p[name], q[name]) << name;
      }
    }
    const char* auxiliary = p["type"] == "step" ? "auxiliary_loss" : "train_auxiliary_loss";
    EXPECT_FALSE(p.contains(auxiliary));
    EXPECT_NEAR(q[auxiliary].get<double>(), 100.0, 1e-10);
  }
  EXPECT_EQ(lines, 20);
  std::ifstream csv(folder / "with" / "metrics.csv");
  std::string header, row;
  std::getline(csv, header);
  EXPECT_EQ(header, "epoch,step,learning_rate,train_loss,val_loss,val_mae,train_mae,train_auxiliary_loss");
  while (std::getline(csv, row)) EXPECT_NEAR(std::stod(row.substr(row.rfind(',') + 1)), 100.0, 1e-10);
}

TEST(Trainer, AnInterruptedEpochKeepsItsAuxiliaryLoss) {
  const test::TemporaryFolder folder;
  Settings whole(folder / "whole"), parts(folder / "parts");
  Fake a({.auxiliary = 0.3}), b({.auxiliary = 0.3}), c({.auxiliary = 0.3});
  train<double>(a, whole.run, whole.train, Comm::self(), kYaml);
  train<double>(b, parts.run, parts.train, Comm::self(), kYaml, {[](const TrainState& state) { return state.step == 6; }});
  train<double>(c, parts.run, parts.train, Comm::self(), kYaml);
  EXPECT_EQ(fingerprint(folder / "whole"), fingerprint(folder / "parts"));
}

TEST(Trainer, BatchesOfOneGraphUnderBatchNormAreRefusedWhateverMakesThem) {
  const test::TemporaryFolder folder;
  struct Case {
    int samples, batch;
    bool keep;
    int smallest;
    const char* cause;  ///< empty: it trains
  };
  int number = 0;
  for (const Case& c : {Case{12, 1, false, 1, "train.batch_size is 1"},
                        {13, 4, true, 1, "leave a last batch of 1"},
                        {1, 4, false, 1, "one sample"},
                        {13, 4, true, 2, ""},
                        {13, 4, false, 1, ""},
                        {14, 4, true, 1, ""}}) {
    Settings s((folder / std::to_string(number++)).string());
    s.train.batch_size = c.batch;
    s.train.keep_last_batch = c.keep;
    s.train.smallest_last_batch = c.smallest;
    s.train.epochs = 1;
    Fake over_graphs({.train = c.samples, .normalised = NormalisedRows::graphs}),
        over_nodes({.train = c.samples, .normalised = NormalisedRows::nodes});
    std::string message;
    try {
      train<double>(over_graphs, s.run, s.train, Comm::self(), kYaml);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::usage);
      message = error.what();
    }
    EXPECT_EQ(message.empty(), std::string(c.cause).empty()) << message;
    EXPECT_NE(message.find(c.cause), std::string::npos) << message;
    s.run.dir = (folder / std::to_string(number++)).string();
    EXPECT_EQ(train<double>(over_nodes, s.run, s.train, Comm::self(), kYaml).exit, Exit::ok);  // a warning only
  }
}

TEST(RepeatedInputs, CountsWhatIsOnBothSidesOfTheSplit) {
  // 5 training samples of 3 different inputs; validation 7, 1, 9; test 2, 3, 1, 8.
  const Fake task({.train = 5, .validation = 3, .test = 4, .digests = {1, 2, 1, 3, 1, 7, 1, 9, 2, 3, 1, 8}});
  const auto found = repeated_inputs(task);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->train_distinct, 3);
  EXPECT_EQ(found->validation_seen, 1);
  EXPECT_EQ(found->test_seen, 3);
  EXPECT_TRUE(found->many());
  EXPECT_EQ(found->text(), "3 of 4 test and 1 of 3 validation inputs are also trained on (5 training samples are 3 different inputs)");
  EXPECT_FALSE(repeated_inputs(Fake()).has_value());
  EXPECT_FALSE(repeated_inputs(Fake({.train = 1, .validation = 1, .test = 1, .digests = {1, 2, 3}}))->any());
}

TEST(RepeatedInputs, AreInTheSummary) {
  const test::TemporaryFolder folder;
  Settings s(folder / "run");
  std::vector<std::uint64_t> digests(36);
  for (std::size_t i = 0; i < digests.size(); ++i) digests[i] = i % 30;  // the last six are the first six again, which train
  Fake task({.digests = digests});
  train<double>(task, s.run, s.train, Comm::self(), kYaml);
  const auto summary = nlohmann::json::parse(read_text(folder / "run" / "summary.json"));
  EXPECT_EQ(summary["repeated_inputs"]["training_distinct"], 23);
  EXPECT_EQ(summary["repeated_inputs"]["validation_also_trained"], 0);
  EXPECT_EQ(summary["repeated_inputs"]["test_also_trained"], 6);
}

TEST(Trainer, MissingTargetsAreNoProblem) {
  const test::TemporaryFolder folder;
  Settings s(folder / "run");
  s.train.batch_size = 2;
  Fake task({.no_target = {0, 1, 2, 3, 4, 5, 6, 7, 24}});
  const TrainResult result = train<double>(task, s.run, s.train, Comm::self(), kYaml);
  EXPECT_EQ(result.state.skipped, 0.0);
  EXPECT_EQ(result.parts[0].regression[0].count, 15);
}

TEST(Trainer, EmptySplitIsADataError) {
  const test::TemporaryFolder folder;
  const Settings s(folder / "run");
  Fake task({.validation = 0});
  try {
    train<double>(task, s.run, s.train, Comm::self(), kYaml);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::data);
  }
}

TEST(Trainer, MetricsHoldEachStepOnce) {
  const test::TemporaryFolder folder;
  Settings s(folder / "run");
  for (const int at : {3, 4, 9}) {
    Fake task;
    try {
      train<double>(task, s.run, s.train, Comm::self(), kYaml, {[&](const TrainState& state) -> bool {
                      if (state.step == at) throw Killed{};
                      return false;
                    }});
    } catch (const Killed&) {
    }
  }
  Fake task;
  train<double>(task, s.run, s.train, Comm::self(), kYaml);
  std::ifstream file(folder / "run" / "metrics.jsonl");
  std::string line;
  int step = 0, epoch = 0;
  while (std::getline(file, line)) {
    const auto entry = nlohmann::json::parse(line);
    if (entry["type"] == "step")
      EXPECT_EQ(entry["step"].get<int>(), ++step);
    else
      EXPECT_EQ(entry["epoch"].get<int>(), ++epoch);
  }
  EXPECT_EQ(step, 16);
  EXPECT_EQ(epoch, 4);
}

std::int64_t num_allocations = 0;
void count_allocation(Kokkos::Tools::SpaceHandle, const char*, const void*, std::uint64_t) { ++num_allocations; }

TEST(Trainer, NothingIsAllocatedAfterTheSecondStep) {
  const test::TemporaryFolder folder;
  Settings s(folder / "run");
  s.train.epochs = 1;
  s.train.batch_size = 2;
  Fake task;
  num_allocations = 0;
  const TrainHooks watch{[&](const TrainState& state) {
    if (state.step == 2) Kokkos::Tools::Experimental::set_allocate_data_callback(&count_allocation);
    if (state.step == 10) Kokkos::Tools::Experimental::set_allocate_data_callback(nullptr);
    return false;
  }};
  train<double>(task, s.run, s.train, Comm::self(), kYaml, watch);
  EXPECT_EQ(num_allocations, 0);
}

/// Its validation loss is no number from the third validation on.
class LateNan : public Fake {
 public:
  explicit LateNan(int good) : good_(good) {}
  Deciding deciding() const override { return {.loss = true}; }
  View1<double> loss(Step<double>& step, double divisor) override {
    const auto out = Fake::loss(step, divisor);
    if (!step.training() && ++calls_ > good_) Kokkos::deep_copy(out, std::nan(""));
    return out;
  }

 private:
  int good_, calls_ = 0;
};

TEST(Trainer, AValidationLossThatIsNoNumberEndsTheRun) {
  const test::TemporaryFolder folder;
  Settings s(folder / "late");
  s.train.evaluate_batch_size = 100;
  s.train.train_metrics_every = 0;
  LateNan late(2);
  const TrainResult result = train<double>(late, s.run, s.train, Comm::self(), kYaml);
  EXPECT_EQ(result.exit, Exit::ok);
  EXPECT_EQ(result.status, "early_stopped");
  EXPECT_EQ(result.state.epoch, 3);
  EXPECT_LE(result.state.best_epoch, 2);
  EXPECT_EQ(nlohmann::json::parse(read_text(folder / "late" / "summary.json"))["deciding_metric"], "loss");
  Settings now(folder / "now");
  LateNan never(0);
  try {
    train<double>(never, now.run, now.train, Comm::self(), kYaml);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::diverged);
  }
}

/// A task whose input holds two records that could not be used.
class PredictionTask : public Fake {
 public:
  using Fake::Fake;
  std::vector<InputRecord> records() const override {
    return {{"a", 30}, {"broken", -1}, {"b", 2}, {"c", 11}, {"broken too", -1}, {"d", 5}, {"e", 35}};
  }
};

TEST(Predict, KeepsOrderAndDoesNotDependOnTheBatch) {
  const test::TemporaryFolder folder;
  const Settings s(folder / "run");
  Fake trained({.mean = 4.5});
  train<double>(trained, s.run, s.train, Comm::self(), kYaml);
  const std::string checkpoint = checkpoint_for_prediction(folder / "run");
  EXPECT_NE(checkpoint.find("best.h5"), std::string::npos);
  std::vector<PredictedRow> first;
  for (const int batch : {1, 2, 3, 100}) {
    PredictionTask task({.seed = 1});
    const auto rows = predict<double>(task, checkpoint, batch, Comm::self());
    EXPECT_EQ(task.data_mean(), 4.5);
    ASSERT_EQ(rows.size(), 7u);
    EXPECT_EQ(rows[1].id, "broken");
    EXPECT_TRUE(std::isnan(rows[1].prediction[0]) && std::isnan(rows[4].prediction[0]));
    if (first.empty()) first = rows;
    for (const int i : {0, 2, 3, 5, 6}) EXPECT_EQ(rows[i].prediction[0], first[i].prediction[0]);
  }
  PredictionTask task;
  EXPECT_THROW(predict<double>(task, checkpoint, 0, Comm::self()), Error);
  EXPECT_THROW(checkpoint_for_prediction(folder / "nothing"), Error);
}

}  // namespace
}  // namespace gnn_hpc
