// SPDX-License-Identifier: Apache-2.0
// The proteins' task as trainer and prediction drive it.
#include "models/gvp/task.hpp"
#include "base/error.hpp"
#include "io/hdf5.hpp"
#include "models/gvp/files.hpp"
#include "support/task_steps.hpp"
#include "support/views.hpp"
#include "train/predict.hpp"
#include "train/trainer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <iterator>

namespace gnn_hpc::gvp {
namespace {

class GvpTaskTest : public ::testing::Test {
 protected:
  ProteinDataOptions data(bool write = true) const { return data_options(folder_.path().string(), 40, write); }
  test::TemporaryFolder folder_;
};

TEST_F(GvpTaskTest, DefaultWidthsHaveThePublishedNumberOfParameters) {
  GvpTask<float> task(data(), ModelOptions(), 3);
  task.open_data(Comm::self(), DataUse::training);
  EXPECT_EQ(task.params().num_parameters(), 514267U);
  EXPECT_NE(task.describe()[0].find("messages 157923"), std::string::npos) << task.describe()[0];
}

TEST_F(GvpTaskTest, SharesAddUpAndAnEmptyOneDoesNothing) {
  GvpTask<double> task(data(), model_options(), 3);
  task.open_data(Comm::self(), DataUse::training);
  const std::vector<std::int64_t>& all = task.splits().train;
  ASSERT_EQ(all.size(), 24U);
  test::Steps<double> steps(task, Mode::evaluate);
  const double whole = steps.run(all, 24.0);
  EXPECT_EQ(steps.loss_weight(), 24.0);
  const std::vector<std::int64_t> first(all.begin(), all.begin() + 11), rest(all.begin() + 11, all.end());
  EXPECT_NEAR(steps.run(first, 24.0) + steps.run({}, 24.0) + steps.run(rest, 24.0), whole, 1e-12 * whole);
  steps.run({}, 24.0);
  EXPECT_TRUE(steps.measure().sums.empty());
  test::Steps<double> train(task, Mode::train);
  EXPECT_EQ(train.run({}, 5.0), 0.0);
  EXPECT_EQ(test::values_of(task.params().gradients()), std::vector<double>(task.params().gradients().size(), 0.0));
}

TEST_F(GvpTaskTest, AStepHasFewLaunches) {
  GvpTask<float> task(data(), model_options(), 3);
  test::expect_few_launches<float>(task, 470);
}

TEST_F(GvpTaskTest, NothingIsAllocatedAfterTheSecondStep) {
  GvpTask<float> task(data(), model_options(), 3);
  test::expect_no_allocation<float>(task);
}

TEST_F(GvpTaskTest, AccuracyIsTheShareOfHits) {
  GvpTask<double> task(data(), model_options(), 3);
  task.open_data(Comm::self(), DataUse::training);
  test::Steps<double> steps(task, Mode::evaluate);
  steps.run(task.splits().train, 1.0);
  const Measures m = steps.measure();
  double hits = 0.0;
  for (const Prediction& row : m.predictions) {
    EXPECT_NEAR(row.prediction[0] + row.prediction[1], 1.0, 1e-12);
    hits += (row.prediction[1] > row.prediction[0]) == (row.target[0] > 0.5);
  }
  const auto metrics = task.metrics(m);
  ASSERT_EQ(metrics.size(), 3U);
  EXPECT_EQ(metrics[0].first, "accuracy");
  EXPECT_NEAR(metrics[0].second, hits / static_cast<double>(m.predictions.size()), 1e-12);
  EXPECT_EQ(metrics[1].first, "balanced_accuracy");
}

/// Every class has the same share of a balanced loss: doubling the strands changes nothing.
TEST_F(GvpTaskTest, BalancedClassesWeighAlike) {
  ModelOptions o = model_options();
  o.class_weights = "balanced";
  GvpTask<double> task(data(), o, 3), plain(data(false), model_options(), 3);
  task.open_data(Comm::self(), DataUse::training);
  plain.open_data(Comm::self(), DataUse::training);
  std::vector<std::int64_t> of_class[2];
  for (const std::int64_t s : task.splits().train) of_class[static_cast<std::size_t>(task.dataset().labels(s)[0])].push_back(s);
  ASSERT_NE(of_class[0].size(), of_class[1].size());
  test::Steps<double> weighted(task, Mode::evaluate), same(plain, Mode::evaluate);
  double mean = 0.0;
  for (const auto& samples : of_class) mean += 0.5 * same.run(samples, static_cast<double>(samples.size()));
  weighted.run(task.splits().train, 1.0);
  EXPECT_NEAR(weighted.run(task.splits().train, weighted.loss_weight()), mean, 1e-12 * mean);
  ProteinDataOptions numbers = data(false);
  numbers.targets = {"rise"};
  numbers.task = "regression";
  GvpTask<double> wrong(numbers, o, 3);
  EXPECT_THROW(wrong.open_data(Comm::self(), DataUse::training), Error);
}

TEST_F(GvpTaskTest, NumbersAndTwoLabelsAreLearntToo) {
  ProteinDataOptions numbers = data();
  numbers.targets = {"rise"};
  numbers.task = "regression";
  numbers.max_bad_fraction = 0.5;  // some have none
  GvpTask<double> task(numbers, model_options(), 3);
  task.open_data(Comm::self(), DataUse::training);
  EXPECT_TRUE(task.deciding().loss);
  test::Steps<double> steps(task, Mode::evaluate);
  steps.run(task.splits().train, 1.0);
  EXPECT_EQ(task.metrics(steps.measure())[0].first, "mae");
  ProteinDataOptions two = data(false);
  two.targets = {"twist"};
  two.task = "binary";
  GvpTask<double> binary(two, model_options(), 3);
  binary.open_data(Comm::self(), DataUse::training);
  test::Steps<double> of_binary(binary, Mode::evaluate);
  of_binary.run(binary.splits().train, 1.0);
  EXPECT_EQ(binary.metrics(of_binary.measure())[0].first, "accuracy");
}

TrainOptions train_options() {
  TrainOptions o;
  o.epochs = 12;
  o.batch_size = 8;
  o.keep_last_batch = true;
  o.optimizer = "adam";
  o.schedule = "none";
  o.weight_decay = 0.0;
  o.learning_rate = 5e-3;
  return o;
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(GvpTaskTest, HelicesAndStrandsAreLearntAndPredictedInOtherFiles) {
  RunOptions run;
  run.dir = (folder_ / "run").string();
  GvpTask<float> trained(data(), model_options(), 3);
  const TrainResult result = train<float>(trained, run, train_options(), Comm::self(), "");
  ASSERT_EQ(result.exit, Exit::ok);
  std::ofstream(folder_ / "helix.pdb") << chain_text('Z', 3, 11, true);
  std::ofstream(folder_ / "strand.pdb") << chain_text('Z', 5, 10, false);
  ProteinDataOptions other = data(false);
  other.paths = {(folder_ / "helix.pdb").string(), (folder_ / "strand.pdb").string()};
  std::vector<PredictedRow> first;
  for (const int batch : {1, 2}) {
    GvpTask<float> task(other, model_options(), 11);
    const auto rows = predict<float>(task, checkpoint_for_prediction(run.dir), batch, Comm::self(), Embeddings::samples);
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_GT(rows[0].prediction[0], 0.5) << "classes are helix, strand";
    EXPECT_LT(rows[1].prediction[0], 0.5);
    ASSERT_EQ(rows[0].embedding.size(), 10U);
    if (first.empty()) first = rows;
    for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_NEAR(rows[i].prediction[0], first[i].prediction[0], 1e-5);
  }
  {
    GvpTask<float> task(other, model_options(), 11);
    const auto rows = predict<float>(task, checkpoint_for_prediction(run.dir), 2, Comm::self(), Embeddings::items);
    ASSERT_EQ(rows[0].items.size(), 11U * 10U);
    ASSERT_EQ(rows[1].items.size(), 10U * 10U);
    double mean = 0.0;
    for (std::size_t r = 0; r < 10; ++r) mean += 0.1 * rows[1].items[10 * r + 4];
    EXPECT_NEAR(rows[1].embedding[4], mean, 1e-6);
    write_embeddings((folder_ / "h.h5").string(), rows, 10, 10);
    const Hdf5Reader file((folder_ / "h.h5").string());
    EXPECT_EQ(file.read<std::int64_t>("/item_ptr"), (std::vector<std::int64_t>{0, 11, 21}));
    EXPECT_EQ(file.read<double>("/item_embedding").size(), 210U);
    EXPECT_THROW(write_embeddings((folder_ / "h.csv").string(), rows, 10, 10), Error);
  }
  ProteinDataOptions another = other;
  another.targets = {"twist"};
  GvpTask<float> task(another, model_options(), 11);
  EXPECT_THROW(predict<float>(task, checkpoint_for_prediction(run.dir), 2, Comm::self()), Error);
}

TEST_F(GvpTaskTest, StoppedInAnEpochAndContinuedIsNeverStopped) {
  const auto run_once = [&](const std::string& name, const TrainHooks& hooks) {
    RunOptions run;
    run.dir = (folder_ / name).string();
    GvpTask<float> task(data(false), model_options(), 3);
    TrainOptions options = train_options();
    options.epochs = 3;
    const TrainResult result = train<float>(task, run, options, Comm::self(), "", hooks);
    return std::pair(result.exit, test::values_of(task.params().values()));
  };
  data();
  const auto whole = run_once("whole", {});
  for (const int stop : {1, 3, 5}) {
    const std::string name = fmt::format("stopped{}", stop);
    TrainHooks hooks;
    hooks.stop = [&](const TrainState& state) { return state.step == stop; };
    EXPECT_EQ(run_once(name, hooks).first, Exit::stopped);
    EXPECT_EQ(run_once(name, {}).second, whole.second);
    EXPECT_EQ(read_text((folder_ / name / "metrics.jsonl").string()), read_text((folder_ / "whole" / "metrics.jsonl").string()));
    EXPECT_EQ(read_text((folder_ / name / "predictions.csv").string()), read_text((folder_ / "whole" / "predictions.csv").string()));
  }
}

}  // namespace
}  // namespace gnn_hpc::gvp
