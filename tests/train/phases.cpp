// SPDX-License-Identifier: Apache-2.0
// Stages of training: what an input says of them, what each begins and keeps, and that a run may end anywhere and go on.
#include "base/error.hpp"
#include "io/hdf5.hpp"
#include "support/paths.hpp"
#include "train/fake_task.hpp"
#include "train/phase.hpp"
#include "train/trainer.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

namespace gnn_hpc {
namespace {

namespace fs = std::filesystem;

constexpr PhaseFlag kFlags[] = {{"shift", 0.0, true, "moves the running mean at the beginning"}, {"rounds", 2.0, false, "a number"}};
constexpr std::string_view kParts[] = {"squares", "ones"};
constexpr PhaseVocabulary kVocabulary{kFlags, kParts};

std::vector<Phase> parse(const std::string& yaml, TrainOptions& train, bool known = true) {
  Config root = Config::from_text(yaml, "in.yaml");
  train = TrainOptions::parse(root.block("train", "training"));
  auto phases = parse_phases(root, train, known ? kVocabulary : PhaseVocabulary{});
  root.done();
  root.finish();
  return phases;
}
std::string refusal(const std::string& yaml, bool known = true) {
  TrainOptions train;
  try {
    parse(yaml, train, known);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::usage);
    return error.what();
  }
  return "accepted";
}

TEST(Phases, AreReadWithTheirDefaultsFromTrain) {
  TrainOptions train;
  const auto phases = parse(
      "train: {learning_rate: 0.5, batch_size: 7}\nphases:\n  - name: one\n    epochs: 3\n    freeze: [a, b]\n  - {name: two, epochs: 4, "
      "learning_rate: 0.1, "
      "shift: true, start_from: best, loss_weights: {ones: 2, squares: {from: 1, to: 3, epochs: 4}}}\n",
      train);
  ASSERT_EQ(phases.size(), 2U);
  EXPECT_EQ(train.epochs, 7);
  EXPECT_EQ(phases[0].options.learning_rate, 0.5);
  EXPECT_EQ(phases[0].options.batch_size, 7);
  EXPECT_EQ(phases[0].options.epochs, 3);
  EXPECT_EQ(phases[0].freeze, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(phases[0].flag("shift"), 0.0);
  EXPECT_EQ(phases[0].flag("rounds"), 2.0);
  EXPECT_EQ(phases[0].loss_weight("ones", 0, 0.25), 0.25);
  EXPECT_EQ(phases[1].options.learning_rate, 0.1);
  EXPECT_EQ(phases[1].flag("shift"), 1.0);
  EXPECT_EQ(phases[1].start_from, "best");
  EXPECT_EQ(phases[1].loss_weight("ones", 9, 0.25), 2.0);
  EXPECT_EQ(phases[1].loss_weight("squares", 0, 0.25), 1.0);
  EXPECT_EQ(phases[1].loss_weight("squares", 2, 0.25), 2.0);
  EXPECT_EQ(phases[1].loss_weight("squares", 9, 0.25), 3.0);
}

TEST(Phases, OneWithoutANameIsWhatAnInputWithoutThemHas) {
  TrainOptions train;
  const auto phases = parse("train: {epochs: 5}\n", train);
  ASSERT_EQ(phases.size(), 1U);
  EXPECT_EQ(phases[0].name, "");
  EXPECT_EQ(phases[0].options.epochs, 5);
  EXPECT_EQ(phases[0].flag("rounds"), 2.0);
}

TEST(Phases, MistakesNameTheirLine) {
  const std::string head = "phases:\n  - name: one\n    epochs: 3\n  - name: two\n";
  EXPECT_NE(
      refusal(head + "    epochs: 2\n    learning_rte: 1\n").find("in.yaml:6: phases[2].learning_rte: unknown key (did you mean learning_rate?)"),
      std::string::npos);
  EXPECT_NE(refusal(head).find("in.yaml:4: phases[2].epochs: every phase needs a number of epochs"), std::string::npos) << refusal(head);
  EXPECT_NE(refusal(head + "    epochs: x\n").find("in.yaml:5: phases[2].epochs: found 'x'"), std::string::npos);
  EXPECT_NE(refusal("phases:\n  - {name: a, epochs: 1}\n  - {name: a, epochs: 1}\n").find("in.yaml:3: phases[2].name: two phases are called a"),
            std::string::npos);
  EXPECT_NE(refusal("phases:\n  - {name: prev, epochs: 1}\n").find("neither prev nor damaged"), std::string::npos);
  EXPECT_NE(refusal("phases:\n  - {name: a/b, epochs: 1}\n").find("letters, digits"), std::string::npos);
  EXPECT_NE(refusal("phases: 3\n").find("in.yaml:1: phases: found '3', allowed: a list of blocks"), std::string::npos) << refusal("phases: 3\n");
  EXPECT_NE(refusal("train: {epochs: 2}\nphases:\n  - {name: a, epochs: 1}\n").find("train.epochs is given, too"), std::string::npos);
  EXPECT_NE(refusal("phases:\n  - {name: a, epochs: 0}\n").find("no phase has an epoch"), std::string::npos);
  EXPECT_NE(refusal("phases:\n  - {name: a, epochs: 1, loss_weights: {twos: 1}}\n").find("phases[1].loss_weights.twos: unknown key"),
            std::string::npos);
  EXPECT_NE(refusal("phases:\n  - {name: a, epochs: 1, shift: true}\n", false).find("phases[1].shift: unknown key"), std::string::npos);
}

TEST(Phases, ResolvedOptionsReadBackAsTheSame) {
  const std::string yaml = "phases:\n  - name: one\n    epochs: 3\n  - {name: two, epochs: 4, freeze: all, shift: true}\n";
  Config root = Config::from_text(yaml, "in.yaml");
  TrainOptions train = TrainOptions::parse(root.block("train", "training"));
  parse_phases(root, train, kVocabulary);
  const std::string resolved = root.resolved();
  TrainOptions again;
  const auto phases = parse(resolved, again);
  ASSERT_EQ(phases.size(), 2U);
  EXPECT_EQ(again.epochs, 7);
  EXPECT_TRUE(phases[1].freezes_all());
  EXPECT_EQ(phases[1].flag("shift"), 1.0);
}

/// FakeTask with a beginning of its phases that looks at the first batches, and named parts of its loss.
class Staged : public test::FakeTask<double>, public LossParts {
 public:
  using test::FakeTask<double>::FakeTask;
  bool begin_phase(const PhaseStart<double>& start) override {
    begun.emplace_back(start.index, start.resumed);
    if (start.resumed || start.phase.flag("shift") == 0.0) return true;
    double sum = 0.0;
    if (!start.each_batch(2, [&](const HostBatch& share, Step<double>&) {
          for (const std::int64_t s : share.samples) sum += static_cast<double>(s);
        })) {
      return false;
    }
    const TensorInfo& mean = *params().find_buffer("bn.running_mean");
    params().set_buffer(mean, {1e-3 * sum + start.key.uniform(0)});
    return true;
  }
  void forward(Step<double>& step) override {
    if (step.training()) seen.insert({step.phase, step.epoch, step.phase_epoch});
    test::FakeTask<double>::forward(step);
  }
  View1<double> loss(Step<double>& step, double divisor) override {
    const View1<double> total = test::FakeTask<double>::loss(step, divisor);
    parts_ = View1<double>("parts", 2);
    Kokkos::deep_copy(Kokkos::subview(parts_, 0), Kokkos::subview(target_loss(), 0));
    Kokkos::deep_copy(Kokkos::subview(parts_, 1), 1.0);
    return total;
  }
  std::vector<std::string> loss_parts() const override { return {kParts[0].data(), kParts[1].data()}; }
  View1<double> part_losses() override { return parts_; }

  std::vector<std::pair<std::int64_t, bool>> begun;
  std::set<std::array<std::int64_t, 3>> seen;

 private:
  View1<double> parts_;
};

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
std::string tensors(const fs::path& path) {
  const Hdf5Reader file(path.string(), SealCheck::required);
  std::string out;
  for (const char* group : {"/params", "/buffers", "/optimizer", "/state"}) {
    if (!file.exists(group)) continue;
    for (const std::string& dataset : file.datasets(group)) {
      const auto values = file.read<double>(dataset);
      out += dataset + std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
    }
  }
  return out;
}
/// What must be equal of two runs.
std::string fingerprint(const fs::path& dir) {
  std::string out = read_text(dir / "metrics.jsonl") + read_text(dir / "metrics.csv") + read_text(dir / "predictions.csv");
  for (const char* name : {"last.h5", "best.h5", "last.one.h5", "best.one.h5"}) out += tensors(dir / "checkpoints" / name);
  return out;
}

std::vector<Phase> three_phases() {
  TrainOptions train;
  return parse(
      "train: {batch_size: 5, learning_rate: 0.05, weight_decay: 0.01, train_metrics_every: 2}\nphases:\n"
      "  - {name: one, epochs: 2, freeze: [layer.], shift: true}\n  - {name: none, epochs: 0}\n"
      "  - {name: two, epochs: 2, learning_rate: 0.02, start_from: best, shift: true}\n",
      train);
}

TrainResult run_phases(Staged& task, const fs::path& dir, const std::vector<Phase>& phases, const TrainHooks& hooks = {}) {
  RunOptions run;
  run.dir = dir.string();
  return train<double>(task, run, phases, Comm::self(), "system: fake\n", hooks);
}

TEST(Phases, FollowEachOtherWithFilesOfTheirOwn) {
  const test::TemporaryFolder folder;
  Staged task;
  const auto phases = three_phases();
  const TrainResult result = run_phases(task, folder / "run", phases);
  EXPECT_EQ(result.status, "finished");
  EXPECT_EQ(result.state.epoch, 4);
  EXPECT_EQ(result.state.phase, 2);
  EXPECT_EQ(result.state.phase_first_epoch, 2);
  EXPECT_GT(result.state.best_epoch, 2) << "the best of the last phase";
  EXPECT_EQ(task.begun, (std::vector<std::pair<std::int64_t, bool>>{{0, false}, {2, false}}));
  EXPECT_EQ(task.seen, (std::set<std::array<std::int64_t, 3>>{{0, 0, 0}, {0, 1, 1}, {2, 2, 0}, {2, 3, 1}}));
  std::istringstream lines(read_text(folder / "run" / "metrics.csv"));
  std::string header, row;
  std::getline(lines, header);
  std::getline(lines, row);
  EXPECT_TRUE(header.ends_with(",train_loss_squares,train_loss_ones,phase")) << header;
  EXPECT_TRUE(row.ends_with(",1,one")) << row;
}

TEST(Phases, FrozenParametersKeepEveryBit) {
  const test::TemporaryFolder folder;
  Staged fresh, task;
  auto phases = three_phases();
  phases.resize(1);
  run_phases(task, folder / "run", phases);
  const auto same = [&](const char* name) { return task.params().get(*task.params().find(name)) == fresh.params().get(*fresh.params().find(name)); };
  EXPECT_TRUE(same("layer.weight"));
  EXPECT_TRUE(same("layer.bias"));
  EXPECT_FALSE(same("bn.weight"));
  phases[0].freeze = {"all"};
  Staged still;
  run_phases(still, folder / "still", phases);
  for (const TensorInfo& t : fresh.params().tensors()) EXPECT_EQ(still.params().get(t), fresh.params().get(t)) << t.name;
}

TEST(Phases, APartOfANameThatNoParameterHasIsRefused) {
  const test::TemporaryFolder folder;
  Staged task;
  auto phases = three_phases();
  phases[2].freeze = {"bn.", "leyer."};
  try {
    run_phases(task, folder / "run", phases);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::usage);
    EXPECT_NE(std::string(error.what()).find("phase two: freeze: no parameter's name contains 'leyer.'"), std::string::npos) << error.what();
  }
}

struct Killed {};

TEST(Phases, KilledAnywhereAndResumedIsNeverStopped) {
  const test::TemporaryFolder folder;
  const auto phases = three_phases();
  const auto run = [&](const std::string& name, const TrainHooks& hooks) {
    Staged task;
    return run_phases(task, folder / name, phases, hooks);
  };
  run("whole", {});
  const std::string expected = fingerprint(folder / "whole");
  int calls = 0;
  run("count", {[&](const TrainState&) { return ++calls, false; }});
  ASSERT_GT(calls, 16 + 4 + 4);  // steps, evaluations, beginnings
  for (int n = 1; n <= calls; ++n) {
    const std::string killed = "killed" + std::to_string(n), stopped = "stopped" + std::to_string(n);
    int count = 0;
    EXPECT_THROW(run(killed, {[&](const TrainState&) {
                       if (++count == n) throw Killed{};
                       return false;
                     }}),
                 Killed);
    EXPECT_EQ(run(killed, {}).exit, Exit::ok);
    EXPECT_EQ(fingerprint(folder / killed), expected) << killed;
    count = 0;
    EXPECT_EQ(run(stopped, {[&](const TrainState&) { return ++count == n; }}).exit, Exit::stopped);
    EXPECT_EQ(run(stopped, {}).exit, Exit::ok);
    EXPECT_EQ(fingerprint(folder / stopped), expected) << stopped;
  }
}

TEST(Phases, EarlyStoppingEndsAPhaseOnly) {
  const test::TemporaryFolder folder;
  test::FakeTask<double>::Settings never_better;
  never_better.frozen_validation = true;
  Staged task(never_better);
  auto phases = three_phases();
  phases[0].options.epochs = 30;
  phases[0].options.early_stopping = 2;
  const TrainResult result = run_phases(task, folder / "run", phases);
  EXPECT_EQ(result.state.phase, 2);
  EXPECT_LT(result.state.epoch, 32);
  EXPECT_EQ(result.state.epoch - result.state.phase_first_epoch, 2);
}

}  // namespace
}  // namespace gnn_hpc
