// SPDX-License-Identifier: Apache-2.0
#include "graph/split.hpp"

#include "io/hdf5.hpp"
#include "support/paths.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

namespace gnn_hpc {
namespace {

TEST(Split, TenInPythonsOrder) {
  // import random; random.seed(123); x = list(range(10)); random.shuffle(x)
  EXPECT_EQ(python_shuffled(10, 123), (std::vector<std::int64_t>{8, 7, 5, 9, 2, 3, 6, 1, 4, 0}));
  EXPECT_TRUE(python_shuffled(0, 123).empty());
  EXPECT_EQ(python_shuffled(1, 123), std::vector<std::int64_t>{0});
}

TEST(Split, SeedsBeyondOneWord) {
  // CPython 3.11: random.seed(s); random.shuffle(x) for x = list(range(6)); the sign of a seed does not count.
  EXPECT_EQ(python_shuffled(6, -123), (std::vector<std::int64_t>{3, 4, 1, 5, 2, 0}));
  EXPECT_EQ(python_shuffled(6, (std::int64_t{1} << 40) + 123), (std::vector<std::int64_t>{5, 2, 4, 1, 0, 3}));
}

TEST(Split, ReproducesTheReferenceSplits) {
  const auto path = test::shared_path("reference/fixtures/comformer_misc.h5");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path;
  const Hdf5Reader file(path.string());
  int cases = 0;
  for (const auto& name : file.list("/splits")) {
    long n = 0, seed = 0;
    ASSERT_EQ(std::sscanf(name.c_str(), "n%ld_seed%ld", &n, &seed), 2) << name;
    std::vector<std::int64_t> expected;
    for (const char* part : {"train", "val", "test"}) {
      const auto values = file.read<std::int64_t>("/splits/" + name + "/" + part);
      expected.insert(expected.end(), values.begin(), values.end());
    }
    EXPECT_EQ(python_shuffled(n, seed), expected) << name;
    ++cases;
  }
  EXPECT_GE(cases, 5);
}

/// Numbers of members of each class in a part.
std::vector<std::int64_t> counts(const std::vector<std::int64_t>& part, const std::vector<std::int64_t>& classes) {
  std::vector<std::int64_t> out(4, 0);
  for (const auto s : part) ++out[static_cast<std::size_t>(classes[static_cast<std::size_t>(s)])];
  return out;
}

void expect_complete(const SampleParts& parts, std::int64_t n) {
  std::vector<std::int64_t> all(parts.train);
  all.insert(all.end(), parts.validation.begin(), parts.validation.end());
  all.insert(all.end(), parts.test.begin(), parts.test.end());
  std::sort(all.begin(), all.end());
  ASSERT_EQ(static_cast<std::int64_t>(all.size()), n);
  for (std::int64_t i = 0; i < n; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)], i);
}

TEST(Split, NumpysPermutation) {
  // numpy.random.RandomState(42).permutation(10)
  EXPECT_EQ(numpy_permutation(10, 42), (std::vector<std::int64_t>{8, 1, 5, 0, 7, 2, 9, 4, 3, 6}));
  EXPECT_TRUE(numpy_permutation(0, 1).empty());
  EXPECT_EQ(numpy_permutation(1, 1), std::vector<std::int64_t>{0});
}

TEST(Split, HoldoutSizes) {
  for (const std::int64_t n : {0, 1, 2, 3, 9, 10, 11, 19, 4209}) {
    const SampleParts parts = holdout_parts(n, 5);
    expect_complete(parts, n);
    EXPECT_EQ(static_cast<std::int64_t>(parts.test.size()), (n + 9) / 10) << n;
  }
  EXPECT_EQ(holdout_parts(4209, 5).validation.size(), 421U);
  EXPECT_EQ(holdout_parts(70, 5).test.size(), 7U);
  EXPECT_TRUE(holdout_parts(50, 1, {}, 0.0).validation.empty());
  EXPECT_TRUE(holdout_parts(50, 1, {}, 0.1, 0.0).test.empty());
  EXPECT_EQ(holdout_parts(50, 1, {}, 0.0, 0.0).train.size(), 50U);
}

TEST(Split, StratifiedPartsHaveTheirShare) {
  std::vector<std::int64_t> classes;
  for (int i = 0; i < 300; ++i) classes.push_back(i % 10 == 0 ? 2 : i % 3 == 0 ? 1 : 0);  // 180, 90, 30
  const std::vector<std::int64_t> all = counts(numpy_permutation(300, 0), classes);
  const auto near = [&](const std::vector<std::int64_t>& part) {
    const auto have = counts(part, classes);
    for (std::size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(static_cast<double>(have[c]), static_cast<double>(all[c] * static_cast<std::int64_t>(part.size())) / 300.0, 2.0) << "class " << c;
    }
  };
  const SampleParts plain = holdout_parts(300, 9), parts = holdout_parts(300, 9, classes);
  expect_complete(parts, 300);
  EXPECT_EQ(parts.test.size(), plain.test.size());
  EXPECT_EQ(parts.validation.size(), plain.validation.size());
  for (const auto* part : {&parts.train, &parts.validation, &parts.test}) near(*part);
  EXPECT_FALSE(std::is_sorted(parts.train.begin(), parts.train.end())) << "the first K of the training order must be a mixture";
  std::vector<char> tested(300, 0);
  for (int fold = 0; fold < 7; ++fold) {
    const SampleParts k = kfold_parts(300, 9, 7, fold, classes);
    expect_complete(k, 300);
    for (const auto* part : {&k.train, &k.validation, &k.test}) near(*part);
    for (const auto s : k.test) tested[static_cast<std::size_t>(s)] = static_cast<char>(tested[static_cast<std::size_t>(s)] + 1);
  }
  EXPECT_EQ(std::count(tested.begin(), tested.end(), 1), 300);
}

}  // namespace
}  // namespace gnn_hpc
