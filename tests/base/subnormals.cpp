// SPDX-License-Identifier: Apache-2.0
#include "base/subnormals.hpp"

#include "base/options.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <thread>

namespace gnn_hpc {
namespace {

/// Sets the state for one test, and back to that of the test program.
class Subnormals : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (!can_flush_subnormals()) GTEST_SKIP() << "not known how on this processor";
    flush_subnormals_on_all_threads(GetParam());
  }
  void TearDown() override { flush_subnormals_on_all_threads(true); }
};

TEST(SubnormalsOfATest, TestProgramsComputeAsTheProgramDoes) { EXPECT_EQ(flushes_subnormals(), can_flush_subnormals()); }

TEST_P(Subnormals, EveryThreadOfThePoolDoesTheSame) {
  const FlushingThreads threads = count_flushing_threads();
  EXPECT_GE(threads.all, 1);
  EXPECT_EQ(threads.flushing, GetParam() ? threads.all : 0);
}

TEST_P(Subnormals, ANewThreadInheritsFromTheOneThatStartsIt) {
  bool child = !GetParam(), grandchild = !GetParam();
  std::thread([&] {
    child = flushes_subnormals();
    std::thread([&] { grandchild = flushes_subnormals(); }).join();
  }).join();
  EXPECT_EQ(child, GetParam());
  EXPECT_EQ(grandchild, GetParam());
}

TEST_P(Subnormals, AreKeptWhereAskedForAndInThreadsStartedThere) {
  {
    const KeepSubnormals keep;
    EXPECT_FALSE(flushes_subnormals());
    bool child = true;
    std::thread([&] { child = flushes_subnormals(); }).join();
    EXPECT_FALSE(child);
  }
  EXPECT_EQ(flushes_subnormals(), GetParam());
}

TEST_P(Subnormals, OrdinaryNumbersStayWhatTheyAre) {
  volatile float smallest = std::numeric_limits<float>::min(), one = 1.0f;
  EXPECT_EQ(smallest * one, std::numeric_limits<float>::min());
  EXPECT_GT(smallest, 0.0f);
  volatile double tiny = 1e-300, factor = 1e-7;
  EXPECT_EQ(tiny * factor, 1e-307);
  EXPECT_EQ(flushes_subnormals(), GetParam());
}

TEST_P(Subnormals, ReadingAndWritingKeepsTheirBits) {
  constexpr auto expected = std::bit_cast<std::uint64_t>(1e-310);  // comparisons of numbers would take it for zero
  Config config = Config::from_text("x: 1e-310\n", "in.yaml", {});
  double x = 0.0;
  config.number("x", x, any_number, "a number");
  EXPECT_EQ(std::bit_cast<std::uint64_t>(x), expected);
  EXPECT_EQ(fmt::format("{}", x), "1e-310");
  EXPECT_EQ(std::bit_cast<std::uint64_t>(std::strtod("1e-310", nullptr)), expected);
}

INSTANTIATE_TEST_SUITE_P(Both, Subnormals, testing::Bool(), [](const auto& both) { return both.param ? "flushed" : "kept"; });

}  // namespace
}  // namespace gnn_hpc
