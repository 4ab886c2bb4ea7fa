// SPDX-License-Identifier: Apache-2.0
// The polymers' task as trainer and prediction drive it.
#include "models/dmpnn_diffpool/task.hpp"
#include "base/error.hpp"
#include "io/smiles.hpp"
#include "models/dmpnn_diffpool/files.hpp"
#include "support/task_steps.hpp"
#include "support/views.hpp"
#include "train/predict.hpp"
#include "train/trainer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>

namespace gnn_hpc::dmpnn {
namespace {

class DmpnnTaskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (rdkit_version().empty()) GTEST_SKIP() << "built without RDKit";
  }
  DataOptions data(bool write = true) const { return data_options(folder_.path().string(), 40, write); }
  test::TemporaryFolder folder_;
};

/// Targets and predictions of target k, class c.
std::pair<std::vector<double>, std::vector<double>> columns(const Measures& m, std::size_t k, std::size_t classes) {
  std::pair<std::vector<double>, std::vector<double>> out;
  for (const Prediction& row : m.predictions) {
    out.first.push_back(row.target[k]);
    for (std::size_t c = 0; c < classes; ++c) out.second.push_back(row.prediction[k * classes + c]);
  }
  return out;
}

TEST_F(DmpnnTaskTest, SharesAddUpAndAnEmptyOneDoesNothing) {
  DmpnnTask<double> task(data(), model_options(), 3);
  task.open_data(Comm::self(), DataUse::training);
  const std::vector<std::int64_t>& all = task.splits().train;
  ASSERT_GT(all.size(), 20U);
  test::Steps<double> steps(task, Mode::evaluate);
  steps.run(all, 1.0);
  const double divisor = steps.loss_weight();
  EXPECT_GT(divisor, static_cast<double>(all.size()));  // two targets, some missing
  EXPECT_LT(divisor, 2.0 * static_cast<double>(all.size()));
  const double whole = steps.run(all, divisor);
  const std::vector<std::int64_t> first(all.begin(), all.begin() + 11), rest(all.begin() + 11, all.end());
  EXPECT_NEAR(steps.run(first, divisor) + steps.run({}, divisor) + steps.run(rest, divisor), whole, 1e-12 * whole);
  steps.run({}, divisor);
  EXPECT_TRUE(steps.measure().sums.empty());
  test::Steps<double> train(task, Mode::train);
  EXPECT_EQ(train.run({}, 5.0), 0.0);
  EXPECT_EQ(test::values_of(task.params().gradients()), std::vector<double>(task.params().gradients().size(), 0.0));
}

TEST_F(DmpnnTaskTest, AStepHasFewLaunches) {
  for (const int depth : {1, 2}) {
    ModelOptions o = model_options();
    o.diffpool_depth = depth;
    DmpnnTask<float> task(data(depth == 1), o, 3);
    test::expect_few_launches<float>(task, depth == 1 ? 100 : 150);
  }
}

TEST_F(DmpnnTaskTest, NothingIsAllocatedAfterTheSecondStep) {
  for (const int depth : {1, 2}) {
    ModelOptions o = model_options();
    o.diffpool_depth = depth;
    DmpnnTask<float> task(data(depth == 1), o, 3);
    SCOPED_TRACE(depth);
    test::expect_no_allocation<float>(task);
  }
}

TEST_F(DmpnnTaskTest, AuxiliaryTermsCountInTrainingOnly) {
  DmpnnTask<double> task(data(), model_options(), 3);
  task.open_data(Comm::self(), DataUse::training);
  test::Steps<double> train(task, Mode::train), evaluate(task, Mode::evaluate);
  EXPECT_GT(train.run(task.splits().train, 30.0), evaluate.run(task.splits().train, 30.0) + 0.1);
}

/// Twelve stochastic polymers of two units each, whose bonds have this weight or one minus it.
DataOptions stochastic_polymers(DataOptions d, double weight) {
  std::ofstream file(d.paths[0]);
  file << "smiles,a\n";
  for (int i = 1; i <= 12; ++i) {
    const double w = weight, v = 1.0 - weight;
    file << fmt::format("\"[*:1]{}[*:2].[*:3]CO[*:4]|0.5|0.5|<1-3:{}:{}<1-4:{}:{}<2-3:{}:{}<2-4:{}:{}\",{}\n",
                        std::string(static_cast<std::size_t>(i), 'C'), w, w, v, v, v, v, w, w, i);
  }
  d.targets = {"a"};
  d.ignore = {};
  return d;
}

TEST_F(DmpnnTaskTest, StochasticPolymersAreNotPooled) {
  DmpnnTask<double> task(stochastic_polymers(data(false), 0.5), model_options(), 3);
  try {
    task.open_data(Comm::self(), DataUse::training);
    FAIL() << "opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::usage);
    EXPECT_NE(std::string(error.what()).find("set model.encoder: wdmpnn"), std::string::npos) << error.what();
  }
}

/// The same molecules with rules of other weights: the prediction of one under each.
TEST_F(DmpnnTaskTest, WeightsOfBondsCountInWdmpnnOnly) {
  for (const Encoder encoder : {Encoder::dmpnn, Encoder::wdmpnn}) {
    std::vector<double> predictions;
    for (const double weight : {0.5, 0.25}) {
      ModelOptions o = model_options();
      o.encoder = encoder;
      DmpnnTask<double> task(stochastic_polymers(data(false), weight), o, 3);
      task.open_data(Comm::self(), DataUse::training);
      test::Steps<double> steps(task, Mode::evaluate);
      steps.run({5}, 1.0);
      predictions.push_back(steps.measure().predictions[0].prediction[0]);
    }
    if (encoder == Encoder::dmpnn) {
      EXPECT_EQ(predictions[0], predictions[1]);
    } else {
      EXPECT_GT(std::abs(predictions[0] - predictions[1]), 1e-6);
    }
  }
}

TEST_F(DmpnnTaskTest, MetricsFromSumsAreThoseOfThePredictions) {
  DmpnnTask<double> task(data(), model_options(), 3);
  task.open_data(Comm::self(), DataUse::training);
  test::Steps<double> steps(task, Mode::evaluate);
  steps.run(task.splits().train, 1.0);
  const Measures m = steps.measure();
  const auto metrics = task.metrics(m);
  ASSERT_EQ(metrics.size(), 6U);
  for (std::size_t k = 0; k < 2; ++k) {
    const auto [truth, prediction] = columns(m, k, 1);
    const RegressionScore score = regression_score(truth, prediction);
    EXPECT_EQ(metrics[3 * k].first, k == 0 ? "mae_a" : "mae_b");
    EXPECT_NEAR(metrics[3 * k].second, score.mae, 1e-12 * score.mae);
    EXPECT_NEAR(metrics[3 * k + 1].second, score.rmse, 1e-12 * score.rmse);
    EXPECT_NEAR(metrics[3 * k + 2].second, score.r2, 1e-10);
  }
}

TEST_F(DmpnnTaskTest, ClassesHaveProbabilitiesAndMeansOverClasses) {
  DataOptions options = data();
  options.targets = {"kind"};
  options.ignore = {"a", "b", "label"};
  options.task = "multiclass";
  DmpnnTask<double> task(options, model_options(), 3);
  task.open_data(Comm::self(), DataUse::training);
  EXPECT_EQ(task.num_classes(), 3);
  EXPECT_EQ(task.target_kind(), TargetKind::classes);
  test::Steps<double> steps(task, Mode::evaluate);
  steps.run(task.splits().train, 1.0);
  const Measures m = steps.measure();
  for (const Prediction& row : m.predictions) EXPECT_NEAR(row.prediction[0] + row.prediction[1] + row.prediction[2], 1.0, 1e-12);
  const auto [truth, probability] = columns(m, 0, 3);
  const ClassScore score = multiclass_score(truth, probability, 3);
  const auto metrics = task.metrics(m);
  ASSERT_EQ(metrics.size(), 2U);
  EXPECT_NEAR(metrics[0].second, score.accuracy, 1e-12);
  EXPECT_NEAR(metrics[1].second, score.f1, 1e-12);
  options.targets = {"label"};
  options.ignore = {"a", "b", "kind"};
  options.task = "binary";
  DmpnnTask<double> binary(options, model_options(), 3);
  binary.open_data(Comm::self(), DataUse::training);
  test::Steps<double> of_binary(binary, Mode::evaluate);
  of_binary.run(binary.splits().train, 1.0);
  const Measures b = of_binary.measure();
  const auto [labels, p] = columns(b, 0, 1);
  const ClassScore two = binary_score(labels, p);
  EXPECT_NEAR(binary.metrics(b)[0].second, two.accuracy, 1e-12);
  EXPECT_NEAR(binary.metrics(b)[1].second, two.f1, 1e-12);
}

TrainOptions train_options() {
  TrainOptions o;
  o.epochs = 4;
  o.batch_size = 9;
  o.keep_last_batch = true;
  o.smallest_last_batch = 2;
  o.optimizer = "adam";
  o.clip_norm = 10.0;
  o.learning_rate = 3e-3;
  return o;
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(DmpnnTaskTest, ACheckpointPredictsOtherFilesWithItsHeadWidth) {
  RunOptions run;
  run.dir = (folder_ / "run").string();
  DmpnnTask<float> trained(data(), model_options(), 3);
  const TrainResult result = train<float>(trained, run, train_options(), Comm::self(), "");
  ASSERT_EQ(result.exit, Exit::ok);
  EXPECT_EQ(read_text(run.dir + "/results.csv").substr(0, 38), "test/mae,test/rmse,test/r2,split,targe");
  const int width = trained.options().head_width;
  EXPECT_GT(width, 1);
  EXPECT_EQ(trained.num_clamped(), 0);

  DataOptions other = data(false);
  other.paths = {(folder_ / "other.csv").string()};
  other.train_size = "full";
  std::ofstream(other.paths[0]) << molecules_csv(12, 100) << "*" << std::string(60, 'C') << "*,,,,\n";
  const std::string checkpoint = checkpoint_for_prediction(run.dir);
  std::vector<PredictedRow> first;
  for (const int batch : {1, 5, 100}) {
    DmpnnTask<float> task(other, model_options(), 11);
    const auto rows = predict<float>(task, checkpoint, batch, Comm::self(), Embeddings::samples);
    EXPECT_EQ(task.options().head_width, width);
    EXPECT_EQ(task.num_clamped(), 1);
    ASSERT_EQ(rows.size(), 13U);
    if (first.empty()) first = rows;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      ASSERT_EQ(rows[i].embedding.size(), 16U);
      EXPECT_NEAR(rows[i].prediction[0], first[i].prediction[0], 1e-4 * std::abs(first[i].prediction[0]));
      EXPECT_NEAR(rows[i].embedding[3], first[i].embedding[3], 1e-4);
    }
  }
  write_embeddings((folder_ / "h.csv").string(), first, 16);
  EXPECT_EQ(read_text((folder_ / "h.csv").string()).substr(0, 9), "id,h0,h1,");
  ModelOptions without = model_options();
  without.encoder = Encoder::dmpnn;
  DmpnnTask<float> task(other, without, 11);
  EXPECT_THROW(predict<float>(task, checkpoint, 5, Comm::self()), Error);  // other tensors
}

TEST_F(DmpnnTaskTest, StoppedInAnEpochAndContinuedIsNeverStopped) {
  const auto run_once = [&](const std::string& name, const TrainHooks& hooks) {
    RunOptions run;
    run.dir = (folder_ / name).string();
    ModelOptions model = model_options();
    model.dropout = 0.1;  // its masks are a function of the step, not of what ran before
    DmpnnTask<float> task(data(false), model, 3);
    const TrainResult result = train<float>(task, run, train_options(), Comm::self(), "", hooks);
    return std::pair(result.exit, test::values_of(task.params().values()));
  };
  data();
  const auto whole = run_once("whole", {});
  for (const int stop : {1, 2, 5}) {
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
}  // namespace gnn_hpc::dmpnn
