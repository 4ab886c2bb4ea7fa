// SPDX-License-Identifier: Apache-2.0
// The language model as trainer and generate drive it: shares, memory, metrics, restart, decoding.
#include "models/hgnn_moe/task.hpp"
#include "base/error.hpp"
#include "models/hgnn_moe/decoder.hpp"
#include "models/hgnn_moe/files.hpp"
#include "support/task_steps.hpp"
#include "support/views.hpp"
#include "train/generate.hpp"
#include "train/optimizer.hpp"
#include "train/step_runner.hpp"
#include "train/trainer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <numbers>

namespace gnn_hpc::hgnn_moe {
namespace {

ModelOptions orthogonal() {
  ModelOptions o = model_options();
  o.orthogonality.outputs = o.orthogonality.weights = true;
  o.orthogonality.warmup_steps = 5;
  return o;
}
/// Ghosts that wake at once, so that some but not all take part.
ModelOptions with_ghosts() {
  ModelOptions o = model_options();
  o.num_ghost_experts = 2;
  o.ghost_activation_threshold = -1e9;
  return o;
}

TEST(HgnnMoeMemory, NothingIsAllocatedAfterTheSecondStep) {
  for (const ModelOptions& model : {model_options(CouplerType::hgnn), model_options(CouplerType::gnn), orthogonal(), with_ghosts()}) {
    const test::TemporaryFolder folder;
    LanguageTask<float> task(data_options(folder.path().string(), 60, true), model, 3);
    SCOPED_TRACE(fmt::format("coupler {}, {} ghosts", static_cast<int>(model.coupler_type), model.num_ghost_experts));
    test::expect_no_allocation<float>(task);
  }
}

TEST(HgnnMoeTask, SleepingGhostsAreLeftAlone) {
  const test::TemporaryFolder folder;
  LanguageTask<double> task(data_options(folder.path().string(), 50, true), with_ghosts(), 3);
  task.open_data(Comm::self(), DataUse::training);
  const Comm alone;
  const TrainOptions options = train_options();
  ASSERT_GT(options.weight_decay, 0.0);
  Optimizer<double> optimizer(task.params(), options);
  StepRunner<double> runner(task, alone, 7);
  const auto batch = task.new_batch();
  task.collate(std::span<const std::int64_t>(task.splits().train).first(8), *batch);
  const auto values = [&](const std::string& part) {
    std::vector<double> out;
    for (const TensorInfo& t : task.params().tensors()) {
      if (t.name.find(part) == std::string::npos) continue;
      const auto v = task.params().get(t);
      out.insert(out.end(), v.begin(), v.end());
    }
    return out;
  };
  const std::vector<std::string> parts{"ghost_experts.0.", "ghost_experts.1.", "ghost_coupler.", "mixed_coupler."};
  std::vector<std::vector<double>> before;
  for (const std::string& part : parts) before.push_back(values(part));
  const auto primaries = values("primary_experts");
  int step = 0;
  const auto steps = [&](int count) {
    for (int i = 0; i < count; ++i) runner.train(*batch, batch->loss_weight, optimizer, StepRate{.learning_rate = 1e-3}, step++);
  };
  steps(10);  // both have woken, but no level exceeds 0.1
  EXPECT_NE(values("primary_experts"), primaries);
  for (std::size_t i = 0; i < parts.size(); ++i) EXPECT_EQ(values(parts[i]), before[i]) << parts[i];
  steps(5);
  for (std::size_t i = 0; i < parts.size(); ++i) EXPECT_NE(values(parts[i]), before[i]) << parts[i];
}

TEST(HgnnMoeTask, SharesAddUpAndAnEmptyOneDoesNothing) {
  const test::TemporaryFolder folder;
  for (const CouplerType coupler : {CouplerType::hgnn, CouplerType::gnn}) {
    LanguageTask<double> task(data_options(folder.path().string(), 50, true), model_options(coupler), 3);
    task.open_data(Comm::self(), DataUse::training);
    const std::vector<std::int64_t>& all = task.splits().train;
    ASSERT_EQ(all.size(), 40U);
    test::Steps<double> steps(task, Mode::evaluate);
    steps.run(all, 1.0);
    const double divisor = steps.loss_weight();
    EXPECT_GT(divisor, 13.0 * 40.0);
    const double whole = steps.run(all, divisor);
    EXPECT_NEAR(whole, std::log(256.0), 0.2);  // untrained: every byte about as likely
    const std::vector<std::int64_t> first(all.begin(), all.begin() + 11), rest(all.begin() + 11, all.end());
    EXPECT_NEAR(steps.run(first, divisor) + steps.run({}, divisor) + steps.run(rest, divisor), whole, 1e-12 * whole);
    steps.run({}, divisor);
    EXPECT_TRUE(steps.measure().sums.empty() || steps.measure().sums.at("loss").second == 0.0);
    test::Steps<double> train(task, Mode::train);
    EXPECT_EQ(train.run({}, 5.0), 0.0);
    EXPECT_EQ(test::values_of(task.params().gradients()), std::vector<double>(task.params().gradients().size(), 0.0));
  }
}

TEST(HgnnMoeTask, EvaluationIsTheMeanOverTargetsWithoutDropoutAndExtraLosses) {
  const test::TemporaryFolder folder;
  const DataOptions data = data_options(folder.path().string(), 50, true);
  ModelOptions extra = model_options();
  extra.orthogonality.outputs = extra.orthogonality.weights = true;
  extra.orthogonality.warmup_steps = 0;
  LanguageTask<double> plain(data, model_options(), 3), orthogonal(data, extra, 3);
  plain.open_data(Comm::self(), DataUse::training);
  orthogonal.open_data(Comm::self(), DataUse::training);
  const std::vector<std::int64_t>& part = plain.splits().validation;
  test::Steps<double> steps(plain, Mode::evaluate), others(orthogonal, Mode::evaluate), train(orthogonal, Mode::train);
  Measures m;
  for (const std::size_t begin : {0UL, 3UL, 7UL}) {  // uneven batches: weighted by targets
    const std::size_t end = begin == 0 ? 3 : begin == 3 ? 7 : part.size();
    const std::vector<std::int64_t> some(part.begin() + static_cast<std::ptrdiff_t>(begin), part.begin() + static_cast<std::ptrdiff_t>(end));
    const double sum = steps.run(some, 1.0);
    m.add("loss", sum, steps.loss_weight());
  }
  const double whole = steps.run(part, 1.0) / steps.loss_weight();
  const auto metrics = plain.metrics(m);
  ASSERT_EQ(metrics.size(), 2U);
  EXPECT_EQ(metrics[0].first, "bits_per_byte");
  EXPECT_NEAR(metrics[0].second, whole / std::numbers::ln2, 1e-12);
  EXPECT_EQ(metrics[1].first, "perplexity");
  EXPECT_NEAR(metrics[1].second, std::exp(whole), 1e-9);
  EXPECT_NEAR(others.run(part, others.loss_weight() > 0.0 ? others.loss_weight() : steps.loss_weight()), whole, 1e-12);
  EXPECT_GT(train.run(part, steps.loss_weight()), whole + 0.01);  // training minimises the specialisation losses as well
}

TEST(HgnnMoeTask, ListsNoPredictions) {
  const test::TemporaryFolder folder;
  LanguageTask<float> task(data_options(folder.path().string(), 30, true), model_options(), 3);
  try {
    task.open_data(Comm::self(), DataUse::prediction);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::usage);
    EXPECT_NE(std::string(error.what()).find("gnn_hpc generate"), std::string::npos) << error.what();
  }
}

/// The logits that follow each token of `ids`, from the whole sequence at once.
template <class T>
std::vector<std::vector<double>> logits_of(LanguageTask<T>& task, const std::vector<int>& ids) {
  HostTokenBatch host;
  host.num_sequences = 1;
  host.length = static_cast<int>(ids.size());
  host.ids = ids;
  finish_batch(host, task.model().options().vocab_size);
  TokenBatch batch;
  const Exec exec;
  Arena arena;
  const Comm comm;
  Step<T> step{exec, arena, Mode::evaluate, RandomKey{}, comm};
  batch.upload(host, exec);
  task.model().forward(step, batch);
  const std::vector<double> flat = test::values_of(task.model().logits(step));
  std::vector<std::vector<double>> out;
  const auto columns = static_cast<std::ptrdiff_t>(task.model().options().vocab_size);
  for (std::size_t t = 0; t < ids.size(); ++t) {
    const auto row = flat.begin() + static_cast<std::ptrdiff_t>(t) * columns;
    out.emplace_back(row, row + columns);
  }
  return out;
}

template <class T>
void expect_decoding_of_whole_sequences(const ModelOptions& model, double allowed) {
  const test::TemporaryFolder folder;
  LanguageTask<T> task(data_options(folder.path().string(), 30, true), model, 5);
  std::vector<int> ids{'t', 'h', 'e', ' ', 'g'};
  const std::unique_ptr<Decoder> decoder = task.new_decoder();
  EXPECT_EQ(decoder->longest(), 24);
  EXPECT_EQ(decoder->vocabulary(), 256);
  std::vector<int> fresh = ids;
  double largest = 0.0;
  for (int i = 0; i < 12; ++i) {
    const std::vector<double> one = decoder->append(fresh), whole = logits_of(task, ids).back();
    largest = std::max(largest, test::relative_difference(one, whole));
    fresh.assign(i == 6 ? 3 : 1, most_likely(one));  // three at once in between
    ids.insert(ids.end(), fresh.begin(), fresh.end());
  }
  EXPECT_LT(largest, allowed);
  EXPECT_THROW(decoder->append(std::vector<int>{256}), Error);
  EXPECT_THROW(decoder->append(std::vector<int>(24, 'x')), Error);
}

TEST(HgnnMoeDecoder, TokenByTokenIsTheWholeSequence) {
  for (const CouplerType coupler : {CouplerType::hgnn, CouplerType::gnn}) {
    expect_decoding_of_whole_sequences<double>(model_options(coupler), 1e-11);
    expect_decoding_of_whole_sequences<float>(model_options(coupler), 1e-4);
  }
  ModelOptions one = model_options();
  one.num_experts = 1;
  expect_decoding_of_whole_sequences<double>(one, 1e-11);
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class HgnnMoeRestart : public ::testing::Test {
 protected:
  std::pair<Exit, std::vector<double>> run_once(const std::string& name, const ModelOptions& model, const TrainHooks& hooks) {
    RunOptions run;
    run.dir = (folder / name).string();
    LanguageTask<float> task(data_options(folder.path().string(), 40, false), model, 3);
    const TrainResult result = train<float>(task, run, train_options(), Comm::self(), "", hooks);
    return {result.exit, test::values_of(task.params().values())};
  }
  test::TemporaryFolder folder;
};

TEST_F(HgnnMoeRestart, StoppedInAnEpochAndContinuedIsNeverStopped) {
  data_options(folder.path().string(), 40, true);
  int number = 0;
  for (const ModelOptions& model : {model_options(CouplerType::hgnn), model_options(CouplerType::gnn), orthogonal(), with_ghosts()}) {
    const std::string whole_name = fmt::format("whole{}", number);
    const auto whole = run_once(whole_name, model, {});
    ASSERT_EQ(whole.first, Exit::ok);
    for (const int stop : {1, 3, 7}) {  // in an epoch, at a validation in between, in the second epoch
      const std::string name = fmt::format("stopped{}_{}", number, stop);
      TrainHooks hooks;
      hooks.stop = [&](const TrainState& state) { return state.step == stop; };
      EXPECT_EQ(run_once(name, model, hooks).first, Exit::stopped);
      EXPECT_EQ(run_once(name, model, {}).second, whole.second) << name;
      EXPECT_EQ(read_text((folder / name / "metrics.jsonl").string()), read_text((folder / whole_name / "metrics.jsonl").string())) << name;
    }
    ++number;
  }
}

TEST_F(HgnnMoeRestart, AnotherTextIsRefused) {
  data_options(folder.path().string(), 40, true);
  TrainHooks hooks;
  hooks.stop = [](const TrainState& state) { return state.step == 2; };
  EXPECT_EQ(run_once("run", model_options(), hooks).first, Exit::stopped);
  std::string text = read_text((folder / "text.txt").string());
  text[3] = 'X';
  std::ofstream((folder / "text.txt").string(), std::ios::binary) << text;
  try {
    run_once("run", model_options(), {});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("data_digest"), std::string::npos) << error.what();
  }
}

TEST_F(HgnnMoeRestart, ATextIsLearned) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "the graph of the experts\n";
  std::ofstream((folder / "text.txt").string(), std::ios::binary) << text;
  ModelOptions model = model_options();
  model.dropout_rate = 0.0;
  LanguageTask<float> task(data_options(folder.path().string(), 0, false), model, 3);
  RunOptions run;
  run.dir = (folder / "run").string();
  TrainOptions options = train_options();
  options.epochs = 20;
  options.learning_rate = 1e-2;
  ASSERT_EQ(train<float>(task, run, options, Comm::self(), "").exit, Exit::ok);
  GenerateOptions greedy;
  greedy.sampling = {0.0, 0, 0.0};
  const std::string line = "the graph of the experts";
  const Generated out = generate(*task.new_decoder(), std::vector<int>(line.begin(), line.begin() + 6), greedy);
  EXPECT_EQ(out.end, GenerateEnd::length);
  EXPECT_EQ(std::string(out.ids.begin(), out.ids.end()), line);
}

}  // namespace
}  // namespace gnn_hpc::hgnn_moe
