// SPDX-License-Identifier: Apache-2.0
#include "cli/replicates.hpp"

#include "cli/sweep.hpp"
#include "support/paths.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace gnn_hpc {
namespace {

using Points = std::vector<std::vector<std::string>>;

TEST(Replicates, EveryPointWithEverySplit) {
  EXPECT_EQ(with_replicates({}, 2), (Points{{"data.replicate=0"}, {"data.replicate=1"}}));
  EXPECT_EQ(with_replicates({{"a.b=1"}, {"a.b=2"}}, 2),
            (Points{{"a.b=1", "data.replicate=0"}, {"a.b=1", "data.replicate=1"}, {"a.b=2", "data.replicate=0"}, {"a.b=2", "data.replicate=1"}}));
}

void write(const std::filesystem::path& folder, const std::string& text) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "results.csv") << text;
}

TEST(Replicates, RowsOfAllRunsBelowOneHeader) {
  const test::TemporaryFolder folder;
  const std::string header = "test/mae,test/rmse,test/r2,split,target\n";
  const auto points = name_points(with_replicates({{"data.targets=[x]"}, {"data.targets=[\"y, z\"]"}}, 2));
  EXPECT_EQ(collect_results(folder.path().string(), points).csv(), "");
  EXPECT_EQ(results_table({}), "no run is finished");
  write(folder / points[0].name, header + "1,2,0.5,0,x\n");
  write(folder / points[1].name, header + "3,2,0.7,1,x\n");
  write(folder / points[3].name, header + "7,8,-0.25,1,\"y, z\"\n");  // the third has not run
  const Results all = collect_results(folder.path().string(), points);
  EXPECT_EQ(all.csv(), header + "1,2,0.5,0,x\n3,2,0.7,1,x\n7,8,-0.25,1,\"y, z\"\n");
  const std::string table = results_table(all);
  EXPECT_NE(table.find("x           2               2 +- 1.4                 2 +- 0            0.6 +- 0.14"), std::string::npos) << table;
  EXPECT_NE(table.find("\"y, z\"      1                      7"), std::string::npos) << table;
}

TEST(Replicates, SplitsWithoutAScoreAreLeftOutOfItsMeanAndCounted) {
  Results results;
  results.header = {"test/mae", "test/rmse", "test/r2", "split", "target"};
  results.rows = {
      {"1", "2", "", "0", "x"}, {"3", "2", "0.5", "1", "x"}, {"5", "2", "0.7", "2", "x"}, {"4", "4", "", "0", "y"}, {"4", "4", "nan", "1", "y"}};
  const std::string table = results_table(results);
  EXPECT_NE(table.find("0.6 +- 0.14 (2 of 3)"), std::string::npos) << table;
  EXPECT_NE(table.find("3 +- 2 "), std::string::npos) << table;
  EXPECT_EQ(table.substr(table.size() - 2), " -") << table;
}

TEST(Replicates, OtherKeysOfASweepAreColumns) {
  const test::TemporaryFolder folder;
  const auto points = name_points(with_replicates({{"data.train_size=100"}, {"data.train_size=full"}}, 1));
  write(folder / points[0].name, "test/mae,test/rmse,test/r2,split,target\n1,2,0.5,0,x\n");
  write(folder / points[1].name, "test/mae,test/rmse,test/r2,split,target\n1,1,0.6,0,x\n");
  EXPECT_EQ(collect_results(folder.path().string(), points).csv(),
            "test/mae,test/rmse,test/r2,split,target,data.train_size\n1,2,0.5,0,x,100\n1,1,0.6,0,x,full\n");
}

}  // namespace
}  // namespace gnn_hpc
