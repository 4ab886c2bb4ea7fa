// SPDX-License-Identifier: Apache-2.0
// ParToken as trainer and prediction drive it: stages, interruptions, tables.
#include "models/partoken/task.hpp"
#include "base/device_work.hpp"
#include "base/error.hpp"
#include "io/hdf5.hpp"
#include "models/partoken/cluster_tables.hpp"
#include "models/partoken/files.hpp"
#include "support/task_steps.hpp"
#include "support/views.hpp"
#include "train/predict.hpp"
#include "train/trainer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace gnn_hpc::partoken {
namespace {

namespace fs = std::filesystem;

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class PartokenTaskTest : public ::testing::Test {
 protected:
  ProteinDataOptions data(bool write = true) const { return protein::data_options(folder_.path().string(), 20, write); }
  template <class T>
  TrainResult train_stages(PartokenTask<T>& task, const std::string& name, const TrainHooks& hooks = {}) const {
    RunOptions run;
    run.dir = (folder_.path() / name).string();
    return train<T>(task, run, stages(train_options(4), 2), Comm::self(), "system: partoken\n", hooks);
  }
  test::TemporaryFolder folder_;
};

TEST_F(PartokenTaskTest, DefaultWidthsHaveThePublishedNumberOfParameters) {
  ModelOptions options;
  options.complete();
  PartokenTask<float> task(data(), options, 3);
  task.open_data(Comm::self(), DataUse::training);
  EXPECT_EQ(task.params().num_parameters(), 710510U);
  const std::string line = task.describe()[0];
  for (const char* part : {"partitioner 45292", "cluster attention 40000", "gate 25350", "unused 5101", "head 121002", "layers 457839"}) {
    EXPECT_NE(line.find(part), std::string::npos) << line;
  }
}

TEST_F(PartokenTaskTest, SharesAddUpAndAnEmptyOneDoesNothing) {
  PartokenTask<double> task(data(), model_options(), 3);
  task.open_data(Comm::self(), DataUse::training);
  const std::vector<std::int64_t>& all = task.splits().train;
  test::Steps<double> steps(task, Mode::evaluate);
  const double count = static_cast<double>(all.size());
  const double whole = steps.run(all, count);
  const std::vector<std::int64_t> first(all.begin(), all.begin() + 5), rest(all.begin() + 5, all.end());
  EXPECT_NEAR(steps.run(first, count) + steps.run({}, count) + steps.run(rest, count), whole, 1e-12 * whole);
}

TEST_F(PartokenTaskTest, StagesMoveWhatTheySay) {
  PartokenTask<double> task(data(), model_options(), 3);
  std::vector<std::vector<double>> weights, codes;
  std::int64_t seen = -1;
  const auto values = [&](const char* name, bool buffer) {
    return buffer ? task.params().get_buffer(*task.params().find_buffer(name)) : task.params().get(*task.params().find(name));
  };
  std::vector<double> codes_late;
  const TrainHooks watch{[&](const TrainState& state) {
    if (state.step > 0 && state.step != seen) {
      seen = state.step;
      weights.push_back(values("classifier.0.weight", false));
      codes.push_back(values("codebook.embeddings", true));
    }
    return false;
  }};
  const TrainResult result = train_stages(task, "run", watch);
  EXPECT_EQ(result.status, "finished");
  ASSERT_EQ(weights.size(), 18U);  // 12 chains in batches of 4, two epochs a stage; the state after each step, asked before the next or at the end
  EXPECT_NE(weights[0], weights[1]);
  EXPECT_EQ(codes[0], codes[4]) << "bypassed";
  EXPECT_NE(codes[6], codes[7]) << "warm-up";
  EXPECT_EQ(weights[6], weights[10]) << "frozen";
  EXPECT_NE(weights[12], weights[13]);
  EXPECT_NE(codes[12], codes[13]);
  EXPECT_EQ(codes[15], codes[17]) << "frozen in the last epoch";
  const double epoch = values("partitioner.epoch", true)[0];
  EXPECT_GE(epoch, 4.0) << "of the best weights of the last stage";
  const std::string metrics = read_text(folder_.path() / "run" / "metrics.jsonl");
  for (const char* name : {"train_loss_vq", "train_loss_psc", "train_loss_card", "val_coverage", "val_perplexity", "\"phase\":\"joint\""}) {
    EXPECT_NE(metrics.find(name), std::string::npos) << name;
  }
}

struct Killed {};

TEST_F(PartokenTaskTest, KilledAnywhereAndResumedIsNeverStopped) {
  const auto bits = [&](const std::string& name) {
    std::string out = read_text(folder_.path() / name / "metrics.jsonl") + read_text(folder_.path() / name / "tables/residues.csv");
    for (const char* file : {"last.h5", "best.h5", "last.codes.h5"}) {
      const Hdf5Reader checkpoint((folder_.path() / name / "checkpoints" / file).string(), SealCheck::required);
      for (const char* group : {"/params", "/buffers", "/state"}) {
        for (const std::string& dataset : checkpoint.datasets(group)) {
          const auto values = checkpoint.read<double>(dataset);
          out += dataset + std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
        }
      }
    }
    return out;
  };
  const auto run = [&](const std::string& name, const TrainHooks& hooks) {
    PartokenTask<double> task(data(name == "whole"), model_options(), 3);
    return train_stages(task, name, hooks);
  };
  int calls = 0;
  run("whole", {[&](const TrainState&) { return ++calls, false; }});
  const std::string expected = bits("whole");
  ASSERT_GT(calls, 24);
  for (int n = 1; n <= calls; n += 2) {
    int count = 0;
    const std::string name = "killed" + std::to_string(n);
    EXPECT_THROW(run(name, {[&](const TrainState&) {
                       if (++count == n) throw Killed{};
                       return false;
                     }}),
                 Killed);
    EXPECT_EQ(run(name, {}).exit, Exit::ok);
    EXPECT_EQ(bits(name), expected) << name;
  }
}

TEST_F(PartokenTaskTest, PredictionsBringTablesOfResiduesClustersAndCodes) {
  PartokenTask<float> trained(data(), model_options(), 3);
  train_stages(trained, "run");
  PartokenTask<float> task(data(false), model_options(), 3);
  const auto rows = predict<float>(task, (folder_.path() / "run/checkpoints/best.h5").string(), 3, Comm::self());
  ASSERT_EQ(rows.size(), 20U);
  const fs::path out = folder_.path() / "tables";
  write_item_tables<float>(out.string(), task, rows);
  const Hdf5Reader file((out / "tables.h5").string(), SealCheck::none);
  EXPECT_EQ(file.read_texts("/columns"), (std::vector<std::string>{"cluster", "token", "importance"}));
  const auto ptr = file.read<std::int64_t>("/ptr");
  ASSERT_EQ(ptr.size(), 21U);
  std::size_t residues = 0;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    residues += rows[r].table.size() / kColumns;
    std::set<double> clusters;
    double importance = 0.0;
    for (std::size_t i = 0; i < rows[r].table.size(); i += kColumns) {
      const double cluster = rows[r].table[i + kCluster];
      EXPECT_EQ(std::isnan(cluster), std::isnan(rows[r].table[i + kToken]));
      if (!std::isnan(cluster) && clusters.insert(cluster).second) importance += rows[r].table[i + kImportance];
    }
    EXPECT_NEAR(importance, 1.0, 1e-5) << "heads share out all they have over the clusters";
  }
  EXPECT_EQ(ptr.back(), static_cast<std::int64_t>(residues));
  const std::string table = read_text(out / "residues.csv");
  EXPECT_TRUE(table.starts_with("id,residue,cluster,token,importance\n")) << table.substr(0, 80);
  EXPECT_EQ(static_cast<std::size_t>(std::count(table.begin(), table.end(), '\n')), residues + 1);
  EXPECT_TRUE(read_text(out / "clusters.csv").starts_with("id,cluster,residues,token,importance,coverage,members\n"));
  EXPECT_TRUE(read_text(out / "codebook.csv").starts_with("token,clusters,chains,importance,clusters_helix,clusters_strand\n"))
      << read_text(out / "codebook.csv").substr(0, 100);
}

TEST(ClusterTables, CountClustersOfCodesByClass) {
  const double none = std::nan("");
  std::vector<Prediction> rows(2);
  rows[0].target = {1.0};
  rows[0].table = {0, 7, 0.25, 1, 3, 0.75, 0, 7, 0.25, none, none, none};
  rows[1].target = {0.0};
  rows[1].table = {0, 3, 1.0};
  EXPECT_EQ(clusters_csv({"a", "b,c"}, rows, {{"1", "2", "2A", "4"}, {"9"}}),
            "id,cluster,residues,token,importance,coverage,members\na,0,2,7,0.25,0.5,1 2A\na,1,1,3,0.75,0.25,2\n\"b,c\",0,1,3,1,1,9\n");
  EXPECT_EQ(codebook_csv(rows, {"x", "y"}), "token,clusters,chains,importance,clusters_x,clusters_y\n3,2,2,0.875,1,1\n7,1,1,0.25,0,1\n");
}

}  // namespace
}  // namespace gnn_hpc::partoken
