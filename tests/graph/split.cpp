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

}  // namespace
}  // namespace gnn_hpc
