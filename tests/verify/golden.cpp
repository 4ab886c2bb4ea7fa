// SPDX-License-Identifier: Apache-2.0
// Every golden file through `verify`: the made-up ones of tests/data, and those beside the repository where they are.
#include "support/paths.hpp"
#include "verify/verify.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

namespace gnn_hpc {
namespace {

using Case = std::tuple<std::string, std::string>;  // path, precision

void expect_verified(const std::filesystem::path& path, const std::string& precision) {
  std::ostringstream text;
  EXPECT_EQ(verify_command({path.string(), precision, /*failures_only=*/true}, text), 0) << text.str();
}

std::vector<std::string> files_of(const std::filesystem::path& folder) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".h5") out.push_back(entry.path().filename().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  std::string name = std::get<0>(info.param) + "_" + std::get<1>(info.param);
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

class Committed : public testing::TestWithParam<Case> {};
TEST_P(Committed, Holds) {
  expect_verified(test::source_path("tests/data/" + std::get<0>(GetParam())), std::get<1>(GetParam()));
}
INSTANTIATE_TEST_SUITE_P(Golden, Committed,
                         testing::Combine(testing::ValuesIn(files_of(test::source_path("tests/data"))),
                                          testing::Values("double", "float")),
                         case_name);

class Shared : public testing::TestWithParam<Case> {};
TEST_P(Shared, Holds) {
  const std::filesystem::path path = test::shared_path("reference/fixtures/" + std::get<0>(GetParam()));
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not here (set GNN_HPC_SHARED)";
  expect_verified(path, std::get<1>(GetParam()));
}
INSTANTIATE_TEST_SUITE_P(Golden, Shared,
                         testing::Combine(testing::Values("comformer_graphs.h5", "comformer_misc.h5", "comformer_iCom_tiny.h5",
                                                          "comformer_iCom_small.h5", "comformer_iCom_heads.h5",
                                                          "comformer_iCom_edge.h5", "comformer_iCom_eval.h5",
                                                          "comformer_iCom_batch.h5"),
                                          testing::Values("double", "float")),
                         case_name);

}  // namespace
}  // namespace gnn_hpc
