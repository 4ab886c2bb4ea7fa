// SPDX-License-Identifier: Apache-2.0
#include "cli/sweep.hpp"

#include "base/error.hpp"
#include "support/paths.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include <unistd.h>

namespace gnn_hpc {
namespace {

using Points = std::vector<std::vector<std::string>>;

Points parse(const std::string& yaml) {
  Config config = Config::from_text(yaml, "in.yaml");
  const SweepOptions o = SweepOptions::parse(config.block("sweep", ""));
  config.done();
  config.finish();
  return o.points;
}

TEST(Sweep, GridIsAllCombinationsTheLastKeyFastest) {
  EXPECT_EQ(parse("sweep: {grid: {train.learning_rate: [1e-3, 3e-4], run.seed: [1, 2]}}"), (Points{{"train.learning_rate=1e-3", "run.seed=1"},
                                                                                                   {"train.learning_rate=1e-3", "run.seed=2"},
                                                                                                   {"train.learning_rate=3e-4", "run.seed=1"},
                                                                                                   {"train.learning_rate=3e-4", "run.seed=2"}}));
}

TEST(Sweep, PointsAreTakenAsTheyStand) {
  EXPECT_EQ(parse("sweep:\n  points:\n    - {a.b: 1, c: x y}\n    - {data.targets: [p, q]}\n"),
            (Points{{"a.b=1", "c=x y"}, {"data.targets=[p, q]"}}));
}

TEST(Sweep, EveryPointWithEveryCombination) {
  EXPECT_EQ(parse("sweep: {points: [{m: 1}, {m: 2}], grid: {s: [3, 4]}}"), (Points{{"m=1", "s=3"}, {"m=1", "s=4"}, {"m=2", "s=3"}, {"m=2", "s=4"}}));
}

TEST(Sweep, NothingIsNoPoint) {
  for (const char* text : {"", "sweep: {}", "sweep: {grid: {}, points: []}"}) EXPECT_TRUE(parse(text).empty()) << text;
}

TEST(Sweep, MistakesNameTheLine) {
  const auto message = [](const std::string& yaml) -> std::string {
    try {
      parse(yaml);
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_EQ(message("sweep:\n  grid: 3\n"), "in.yaml:2: sweep.grid: found '3', expected a block `key: [values]`");
  EXPECT_EQ(message("sweep:\n  grid: {a: 3}\n"), "in.yaml:2: sweep.grid: a: found '3', expected a list of values");
  EXPECT_EQ(message("sweep:\n  points: {a: 3}\n"), "in.yaml:2: sweep.points: found a block of keys, expected a list of blocks `key: value`");
  EXPECT_EQ(message("sweep:\n  gird: {a: [3]}\n"), "in.yaml:2: sweep.gird: unknown key (did you mean grid?)");
}

TEST(Sweep, NamesAreMadeOfValues) {
  const auto names = [](const Points& points) {
    std::vector<std::string> out;
    for (const SweepPoint& p : name_points(points)) out.push_back(p.name);
    return out;
  };
  EXPECT_EQ(names({{"train.learning_rate=1e-3", "run.seed=1"}}), std::vector<std::string>{"learning_rate=1e-3,seed=1"});
  EXPECT_EQ(names({{"run.seed=1", "data.seed=2"}}), std::vector<std::string>{"run.seed=1,data.seed=2"});
  EXPECT_EQ(names({{"data.path=../a b/c"}}), std::vector<std::string>{"path=.._a_b_c"});
  EXPECT_EQ(names({{"x=/a"}, {"x=_a"}}), (std::vector<std::string>{"x=_a", "x=_a_2"}));
  EXPECT_EQ(names({{}}), std::vector<std::string>{"base"});
  EXPECT_LE(names({{"x=" + std::string(500, 'y')}})[0].size(), 130U);
}

TEST(Sweep, TableTellsWhatIsDone) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / ("gnn_hpc_sweep_" + std::to_string(getpid()));
  fs::create_directories(folder / "seed=1");
  fs::create_directories(folder / "seed=2");
  std::ofstream(folder / "seed=1/status") << "finished\n";
  std::ofstream(folder / "seed=1/summary.json")
      << R"({"best_epoch": 7, "best_validation": 0.25, "seconds": 3.5, "parts": {"test": {"targets": {"a,b/c": {"count": 9, "mae": 0.5}}}}})";
  std::ofstream(folder / "seed=2/status") << "diverged\n";
  std::ofstream(folder / "seed=2/summary.json") << "{ broken";
  EXPECT_EQ(sweep_csv(folder.string(), name_points({{"run.seed=1"}, {"run.seed=2"}, {"run.seed=3"}})),
            "point,folder,status,best,run.seed,best_epoch,best_validation,seconds,\"test_mae_a,b/c\"\n"
            "0,seed=1,finished,best,1,7,0.25,3.5,0.5\n"
            "1,seed=2,diverged,,2,,,,\n"
            "2,seed=3,waiting,,3,,,,\n");
  fs::remove_all(folder);
}

/// By the metric that decides, in its direction; points that decide by another cannot be compared.
TEST(Sweep, TheBestPointIsMarked) {
  const test::TemporaryFolder folder;
  const auto points = name_points({{"run.seed=1"}, {"run.seed=2"}, {"run.seed=3"}});
  const auto finish = [&](int seed, double value, const char* metric, bool larger) {
    const auto run = folder / ("seed=" + std::to_string(seed));
    std::filesystem::create_directories(run);
    std::ofstream(run / "status") << "finished\n";
    std::ofstream(run / "summary.json") << fmt::format(
        R"({{"best_epoch": 7, "best_validation": {}, "deciding_metric": "{}", "larger_is_better": {}, "parts": {{"test": {{"targets": {{"a": {{"mae": 0.5}}}}}}}}}})",
        value, metric, larger);
  };
  const auto marked = [&] {
    std::string out;
    std::istringstream table(sweep_table(folder.path().string(), points));
    for (std::string line; std::getline(table, line);) {
      if (line[0] == '*') out += line.substr(2, 6);
    }
    return out;
  };
  EXPECT_EQ(sweep_table(folder.path().string(), points), "");
  for (const bool larger : {false, true}) {
    finish(1, 0.5, "mae", larger);
    finish(2, 0.25, "mae", larger);
    EXPECT_EQ(marked(), larger ? "seed=1" : "seed=2");
  }
  finish(3, 0.9, "loss", true);
  EXPECT_EQ(marked(), "");
  const std::string table = sweep_table(folder.path().string(), points);
  EXPECT_NE(table.find("test mae a"), std::string::npos) << table;
}

}  // namespace
}  // namespace gnn_hpc
