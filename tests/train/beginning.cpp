// SPDX-License-Identifier: Apache-2.0
// From where a run starts, and what it does with what an earlier one left.
#include "train/beginning.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "support/paths.hpp"
#include "train/fake_task.hpp"
#include "train/metrics_log.hpp"
#include "train/trainer.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

namespace gnn_hpc {
namespace {

namespace fs = std::filesystem;
using Fake = test::FakeTask<double>;

const std::string kYaml = "train:\n  epochs: 4\n", kOtherYaml = "train:\n  epochs: 4\n  learning_rate: 0.5\n";

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

nlohmann::json summary(const fs::path& dir) { return nlohmann::json::parse(read_text(dir / "summary.json")); }

class Beginnings : public testing::Test {
 protected:
  Beginnings() {
    for (const char* name : {"SLURM_JOB_ID", "SLURM_RESTART_COUNT", "PBS_JOBID", "PBS_ENVIRONMENT"}) ::unsetenv(name);
    run.dir = (folder / "run").string();
    options.epochs = 4;
    options.batch_size = 5;  // 23 samples: 4 steps an epoch
    options.learning_rate = 0.05;
    options.train_metrics_every = 2;
  }
  ~Beginnings() override {
    for (const char* name : {"SLURM_JOB_ID", "SLURM_RESTART_COUNT", "PBS_JOBID", "PBS_ENVIRONMENT"}) ::unsetenv(name);
  }

  TrainResult start(const TrainHooks& hooks = {}, const std::string& yaml = kYaml) {
    Fake task;
    return train<double>(task, run, options, Comm::self(), yaml, hooks);
  }
  /// Stops before this many steps more were made.
  TrainResult start_and_stop(std::int64_t steps, const std::string& yaml = kYaml) {
    std::int64_t asked = 0;
    return start({[&](const TrainState&) { return asked++ == steps; }}, yaml);
  }
  Error failure(const std::string& yaml = kYaml) {
    try {
      start({}, yaml);
    } catch (const Error& error) {
      return error;
    }
    return {Exit::ok, "no error"};
  }
  /// What a start that ends well says.
  std::string log_of_start() {
    std::FILE* out = std::fopen((folder / "log").c_str(), "w");
    setup_log({}, 0, out);
    EXPECT_EQ(start().exit, Exit::ok);
    setup_log({.level = "warning"}, 0, stderr);
    std::fclose(out);
    return read_text(folder / "log");
  }
  fs::path file(const std::string& name) const { return fs::path(run.dir) / name; }
  bool has(const std::string& name) const { return fs::exists(file(name)); }

  test::TemporaryFolder folder;
  RunOptions run;
  TrainOptions options;
};

TEST_F(Beginnings, NobodyTrainsFromEpochOneUnasked) {
  start();
  for (const char* name : {"checkpoints/last.h5", "checkpoints/last.prev.h5"}) fs::resize_file(file(name), 2000);
  for (int again = 0; again < 3; ++again) {  // the damaged files have other names after the first start
    const Error error = failure();
    EXPECT_EQ(error.code(), Exit::data) << error.what();
    for (const char* word : {"checkpoints/last.damaged.h5", "metrics.jsonl", "run.restart=never", "Put back a copy"}) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << again << ": " << error.what();
    }
  }
  // Each trace alone is one.
  for (const char* trace : {"checkpoints/last.damaged.h5", "checkpoints/best.h5", "metrics.jsonl"}) {
    const test::TemporaryFolder other;
    fs::create_directories(other / "checkpoints");
    fs::copy(file(trace), other / trace);
    run.dir = other.path().string();
    EXPECT_EQ(failure().code(), Exit::data) << trace;
    run.dir = (folder / "run").string();
  }
  run.restart = "require";
  EXPECT_EQ(failure().code(), Exit::data);
  run.restart = "never";
  EXPECT_EQ(start().exit, Exit::ok);
  for (const char* name : {"checkpoints/last.damaged.h5", "checkpoints/best.h5", "metrics.jsonl", "results.csv", "skipped.csv", "summary.json"}) {
    EXPECT_TRUE(has(std::string("previous.1/") + name)) << name;
  }
}

TEST_F(Beginnings, AKilledFirstEpochHasACheckpoint) {
  struct Killed {};
  EXPECT_THROW(start({[](const TrainState& state) -> bool { return state.step == 2 ? throw Killed{} : false; }}), Killed);
  EXPECT_TRUE(has("checkpoints/last.h5"));
  EXPECT_EQ(start().exit, Exit::ok);
}

TEST_F(Beginnings, ACheckpointWithoutAStepDoesNotHoldOtherOptionsBack) {
  EXPECT_EQ(start_and_stop(0).exit, Exit::stopped);
  EXPECT_EQ(start({}, kOtherYaml).exit, Exit::ok) << "nothing was learnt yet";
  EXPECT_TRUE(has("previous.1/checkpoints/last.h5"));
  EXPECT_EQ(failure().code(), Exit::usage) << "now there is something to lose";
}

TEST_F(Beginnings, NeverGoesOnWithWhatTheSameCommandBegan) {
  run.restart = "never";
  int starts = 1;
  while (start_and_stop(5).exit == Exit::stopped && starts < 50) ++starts;  // as a job script or a shell loop does
  EXPECT_LT(starts, 10);
  EXPECT_GT(starts, 2);
  EXPECT_FALSE(has("previous.1"));
  EXPECT_FALSE(has("requeue.json")) << "the run has ended";
  EXPECT_EQ(start().exit, Exit::ok);
  EXPECT_TRUE(has("previous.1/results.csv")) << "an ended run is not continued";

  EXPECT_EQ(start_and_stop(5).exit, Exit::stopped);
  EXPECT_TRUE(has("previous.2"));
  EXPECT_EQ(start_and_stop(5, kOtherYaml).exit, Exit::stopped);
  EXPECT_TRUE(has("previous.3/checkpoints/last.h5")) << "another command begins anew";
  run.restart = "auto";
  EXPECT_EQ(start_and_stop(1, kOtherYaml).exit, Exit::stopped);
  run.restart = "never";
  EXPECT_EQ(start_and_stop(5, kOtherYaml).exit, Exit::stopped);
  EXPECT_TRUE(has("previous.4/checkpoints/last.h5")) << "what another command (auto) stopped is not continued";
}

TEST_F(Beginnings, NeverGoesOnInALaterStartOfTheSameJob) {
  struct Killed {};
  const TrainHooks kill{[](const TrainState& state) -> bool { return state.epoch == 2 ? throw Killed{} : false; }};
  run.restart = "never";
  ::setenv("SLURM_JOB_ID", "17", 1);
  EXPECT_THROW(start(kill), Killed);
  EXPECT_THROW(start(kill), Killed);
  EXPECT_TRUE(has("previous.1")) << "a second command in one job";
  ::setenv("SLURM_RESTART_COUNT", "1", 1);
  EXPECT_EQ(start().exit, Exit::ok);
  EXPECT_FALSE(has("previous.2")) << "the node failed, the job was started again";
  EXPECT_THROW(start(kill), Killed);
  EXPECT_TRUE(has("previous.2"));
  ::setenv("SLURM_JOB_ID", "18", 1);
  ::setenv("SLURM_RESTART_COUNT", "2", 1);
  EXPECT_THROW(start(kill), Killed);
  EXPECT_TRUE(has("previous.3")) << "another job";

  ::unsetenv("SLURM_JOB_ID");
  EXPECT_THROW(start(kill), Killed);
  EXPECT_TRUE(has("previous.4")) << "a kill outside of a job asks for nothing";
  ::setenv("PBS_JOBID", "3.host", 1);
  EXPECT_THROW(start(kill), Killed);
  EXPECT_EQ(start().exit, Exit::ok);
  EXPECT_TRUE(has("previous.5"));
  EXPECT_FALSE(has("previous.6")) << "PBS started its job again";
}

TEST_F(Beginnings, MetricsShorterThanTheCheckpointSaysAreNoticed) {
  EXPECT_EQ(start_and_stop(9).exit, Exit::stopped);
  const auto bytes = fs::file_size(file("metrics.jsonl"));
  fs::resize_file(file("metrics.jsonl"), bytes - 30);
  const std::string log = log_of_start();
  EXPECT_NE(log.find("metrics.jsonl is 30 bytes shorter than the checkpoint says"), std::string::npos) << log;
  std::istringstream lines(read_text(file("metrics.jsonl")));
  std::string line;
  int broken = 0, steps = 0;
  while (std::getline(lines, line)) {
    const auto entry = nlohmann::json::parse(line, nullptr, false);
    if (entry.is_discarded())
      ++broken;
    else if (entry["type"] == "step")
      ++steps;
  }
  EXPECT_EQ(broken, 1) << "the line that was cut";
  EXPECT_EQ(steps, 15) << "and no line after it";
}

TEST_F(Beginnings, TheFinalTableSaysWhoseWeightsItShows) {
  start();
  const auto whole = summary(run.dir);
  EXPECT_EQ(whole["weights"], "best");
  EXPECT_EQ(whole["weights_epoch"], whole["best_epoch"]);
  // The best file is another one's: an older one under its name.
  const test::TemporaryFolder other;
  run.dir = other.path().string();
  start_and_stop(9);
  fs::copy_file(other / "checkpoints/best.h5", folder / "run/checkpoints/best.h5", fs::copy_options::overwrite_existing);
  fs::remove(folder / "run/checkpoints/best.prev.h5");
  run.dir = (folder / "run").string();
  const std::string log = log_of_start();
  EXPECT_NE(log.find("errors with the last weights (of epoch 4; the best ones, of epoch"), std::string::npos) << log;
  EXPECT_EQ(summary(run.dir)["weights"], "last");
  EXPECT_EQ(summary(run.dir)["weights_epoch"], 4);
}

TEST_F(Beginnings, SecondsAreThoseOfTheWholeRun) {
  const auto slow = [](const TrainState&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return false;
  };
  std::int64_t asked = 0;
  EXPECT_EQ(start({[&](const TrainState& state) { return slow(state) || asked++ == 12; }}).exit, Exit::stopped);
  const double before = read_checkpoint_header(file("checkpoints/last.h5").string()).info.seconds;
  EXPECT_GE(before, 0.12);
  const auto begin = std::chrono::steady_clock::now();
  start();
  const double process = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const double whole = summary(run.dir)["seconds"];
  EXPECT_GE(whole, before);
  EXPECT_LE(whole, before + process);
  start();  // repeats its end
  EXPECT_GE(summary(run.dir)["seconds"].get<double>(), before);
}

TEST(MetricsFiles, NamesMayHoldAnything) {
  const test::TemporaryFolder folder;
  const std::string name = "E \"x\"\\ \n`$(y)` {},\x01 \xC3\xA9 " + std::string(300, 'z');
  RunFolder run((folder / "run").string(), Comm::self());
  TrainState state;
  {
    MetricsLog log(run, true, state);
    Evaluation evaluation;
    evaluation.loss = 0.5;
    evaluation.metrics = {{name, 0.25}, {"\xFF", std::numeric_limits<double>::quiet_NaN()}};
    log.epoch(1, 2, "", 1e-3, {0.125}, evaluation, &evaluation, true);
    log.evaluation(1, 2, 1e-3, evaluation, false);
    log.report(2, {{name, {1.0, 2.0}}});
    log.flush(state);
  }
  std::istringstream lines(read_text(run.path("metrics.jsonl")));
  std::vector<nlohmann::json> entries;
  for (std::string line; std::getline(lines, line);) entries.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(entries.size(), 3u) << "one line each";
  EXPECT_EQ(entries[0]["val_" + name], 0.25);
  EXPECT_EQ(entries[0]["train_" + name], 0.25);
  EXPECT_TRUE(entries[0]["val_\xEF\xBF\xBD"].is_null()) << "no UTF-8, no number";
  EXPECT_EQ(entries[1]["val_" + name], 0.25);
  EXPECT_EQ(entries[2][name][1], 2.0);
}

}  // namespace
}  // namespace gnn_hpc
