// SPDX-License-Identifier: Apache-2.0
// The task as the trainer drives it: memory, threads, empty shares.
#include "models/comformer/task.hpp"
#include "models/comformer/files.hpp"
#include "support/task_steps.hpp"
#include "support/views.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iomanip>

namespace gnn_hpc::comformer {
namespace {

namespace fs = std::filesystem;

NetworkOptions network_options(Reduction reduction = Reduction::csr, Network network = Network::icomformer) {
  NetworkOptions o;
  o.model.network = network;
  o.model.node_features = 32;
  o.model.edge_features = 24;
  o.model.triplet_input_features = 24;
  o.model.fc_features = 16;
  o.model.reduction = reduction;
  o.distance_points = o.cosine_points = 128;
  return o;
}

template <class T>
ComformerTask<T> task_in(const test::TemporaryFolder& folder, Reduction reduction = Reduction::csr, Network network = Network::icomformer) {
  CrystalGraphOptions graph;
  graph.max_neighbors = 8;
  return {data_options(folder.path().string(), 40, true), graph, network_options(reduction, network), 3};
}

TEST(ComformerDevice, AStepHasFewLaunches) {
  const test::TemporaryFolder folder;
  auto invariant = task_in<float>(folder), equivariant = task_in<float>(folder, Reduction::csr, Network::ecomformer);
  test::expect_few_launches<float>(invariant, 640);
  test::expect_few_launches<float>(equivariant, 480);
}

TEST(ComformerMemory, NothingIsAllocatedAfterTheSecondStep) {
  const test::TemporaryFolder folder;
  auto in_float = task_in<float>(folder);
  test::expect_no_allocation<float>(in_float);
  auto in_double = task_in<double>(folder);
  test::expect_no_allocation<double>(in_double);
  auto equivariant = task_in<float>(folder, Reduction::csr, Network::ecomformer);
  test::expect_no_allocation<float>(equivariant);
}

// Another model on the same crystals finds the cache.
TEST(ComformerTask, BothModelsShareTheGraphs) {
  const test::TemporaryFolder folder;
  auto invariant = task_in<double>(folder);
  invariant.open_data(Comm::self(), DataUse::training);
  auto equivariant = task_in<double>(folder, Reduction::csr, Network::ecomformer);
  EXPECT_TRUE(equivariant.open_data(Comm::self(), DataUse::training_if_built));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / "graphs"), fs::directory_iterator()), 1);
}

TEST(ComformerTask, SharesAddUpToTheBatchInEvaluationMode) {
  const test::TemporaryFolder folder;
  auto task = task_in<double>(folder);
  task.open_data(Comm::self(), DataUse::training);
  const std::vector<std::int64_t>& all = task.splits().train;
  test::Steps<double> steps(task, Mode::evaluate);
  steps.run(all, 1.0);
  const double divisor = steps.loss_weight();
  EXPECT_GT(divisor, static_cast<double>(all.size()));  // two targets, some missing
  EXPECT_LT(divisor, 2.0 * static_cast<double>(all.size()));
  const double whole = steps.run(all, divisor);
  const std::vector<std::int64_t> first(all.begin(), all.begin() + 11), rest(all.begin() + 11, all.end());
  EXPECT_NEAR(steps.run(first, divisor) + steps.run({}, divisor) + steps.run(rest, divisor), whole, 1e-12 * whole);
}

TEST(ComformerTask, AnEmptyShareDoesNothing) {
  const test::TemporaryFolder folder;
  for (const Reduction reduction : {Reduction::csr, Reduction::scatter}) {
    auto task = task_in<float>(folder, reduction);
    task.open_data(Comm::self(), DataUse::training);
    const auto buffers = test::values_of(task.params().buffers());
    test::Steps<float> train(task, Mode::train), evaluate(task, Mode::evaluate);
    EXPECT_EQ(train.run({}, 5.0), 0.0);
    EXPECT_EQ(train.loss_weight(), 0.0);
    EXPECT_EQ(evaluate.run({}, 5.0), 0.0);
    EXPECT_TRUE(evaluate.measure().sums.empty());
    EXPECT_TRUE(evaluate.measure().predictions.empty());
    EXPECT_EQ(test::values_of(task.params().gradients()), std::vector<double>(task.params().gradients().size(), 0.0));
    EXPECT_EQ(test::values_of(task.params().buffers()), buffers);
  }
}

TEST(ComformerTask, MeasuresAreInLabelUnits) {
  const test::TemporaryFolder folder;
  auto task = task_in<double>(folder);
  task.open_data(Comm::self(), DataUse::training);
  test::Steps<double> steps(task, Mode::evaluate);
  steps.run(task.splits().validation, 1.0);
  const Measures m = steps.measure();
  ASSERT_EQ(m.predictions.size(), task.splits().validation.size());
  double sum[2] = {0.0, 0.0}, count[2] = {0.0, 0.0};
  for (std::size_t i = 0; i < m.predictions.size(); ++i) {
    EXPECT_EQ(m.predictions[i].sample, task.splits().validation[i]);
    for (std::size_t k = 0; k < 2; ++k) {
      ASSERT_TRUE(std::isfinite(m.predictions[i].prediction[k]));
      if (!std::isfinite(m.predictions[i].target[k])) continue;
      sum[k] += std::abs(m.predictions[i].prediction[k] - m.predictions[i].target[k]);
      count[k] += 1.0;
    }
  }
  const auto metrics = task.metrics(m);
  ASSERT_EQ(metrics.size(), 3U);
  EXPECT_EQ(metrics[0].first, "scaled_mae");
  EXPECT_EQ(metrics[1].first, "mae_a");
  EXPECT_NEAR(metrics[1].second, sum[0] / count[0], 1e-12);
  EXPECT_NEAR(metrics[2].second, sum[1] / count[1], 1e-12);
}

/// Loss and gradients of three steps, as numbers that another process can compare.
template <class T>
std::vector<double> numbers_of_steps() {
  const test::TemporaryFolder folder;
  auto task = task_in<T>(folder);
  task.open_data(Comm::self(), DataUse::training);
  test::Steps<T> steps(task, Mode::train);
  std::vector<double> out;
  for (int k = 0; k < 3; ++k) {
    task.params().zero_gradients(Exec());
    out.push_back(steps.run(task.splits().train, 40.0));
  }
  const auto g = test::values_of(task.params().gradients());
  out.insert(out.end(), g.begin(), g.end());
  return out;
}

/// Run by the next test in processes of their own, where GNN_HPC_TEST_NUMBERS names a file.
TEST(ComformerThreads, WriteNumbers) {
  const char* path = std::getenv("GNN_HPC_TEST_NUMBERS");
  if (path == nullptr) GTEST_SKIP() << "a part of ComformerThreads.OneAndTwoAgree";
  std::ofstream file(path);
  file << std::setprecision(17);
  for (const double v : numbers_of_steps<double>()) file << v << '\n';
  file << "float\n";
  for (const double v : numbers_of_steps<float>()) file << v << '\n';
}

struct Numbers {
  std::vector<double> of_double, of_float;
};

Numbers numbers_with_threads(int threads, const fs::path& file) {
  const std::string command =
      fmt::format("OMP_NUM_THREADS={} OMP_PROC_BIND=false GNN_HPC_TEST_NUMBERS='{}' '{}' --gtest_filter=ComformerThreads.WriteNumbers > /dev/null",
                  threads, file.string(), fs::read_symlink("/proc/self/exe").string());
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  Numbers n;
  std::ifstream in(file);
  auto* out = &n.of_double;
  for (std::string line; std::getline(in, line);) {
    if (line == "float")
      out = &n.of_float;
    else
      out->push_back(std::stod(line));
  }
  return n;
}

TEST(ComformerThreads, OneAndTwoAgree) {
  if (!fs::exists("/proc/self/exe")) GTEST_SKIP() << "no /proc/self/exe to start again";
  const test::TemporaryFolder folder;
  const Numbers one = numbers_with_threads(1, folder / "one"), two = numbers_with_threads(2, folder / "two");
  ASSERT_GT(one.of_double.size(), 10000U);
  ASSERT_GT(one.of_float.size(), 10000U);
  const double of_double = test::relative_difference(two.of_double, one.of_double), of_float = test::relative_difference(two.of_float, one.of_float);
  std::printf("1 and 2 threads, losses and gradients, of the largest entry: double %.1e, float %.1e\n", of_double, of_float);
  EXPECT_LT(of_double, 1e-12);
  EXPECT_LT(of_float, 1e-5);
  const Numbers again = numbers_with_threads(1, folder / "again");
  EXPECT_EQ(again.of_double, one.of_double);  // the same number of threads: the same bits
  EXPECT_EQ(again.of_float, one.of_float);
}

}  // namespace
}  // namespace gnn_hpc::comformer
