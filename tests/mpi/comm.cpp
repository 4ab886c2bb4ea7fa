// SPDX-License-Identifier: Apache-2.0
// Run with 1, 2, 3 and 4 ranks: messages longer than one call of MPI may be.
#include "base/comm.hpp"
#include "base/message_pieces.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace gnn_hpc {
namespace {

/// MPI's counts are int. 2^31 elements fit no test, pieces of 7 do: the rule is that the size of a piece changes nothing.
class Pieces : public ::testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override { set_largest_message(GetParam()); }
  void TearDown() override { set_largest_message(kLargestMessage); }
  const Comm comm = Comm::world();
};

TEST_P(Pieces, GathersConcatenateInRankOrder) {
  // 0, 5, 10 ... numbers of the ranks: one rank has none, some more than one piece.
  std::vector<std::int64_t> mine(static_cast<std::size_t>(5 * comm.rank()));
  std::iota(mine.begin(), mine.end(), 100 * comm.rank());
  const auto all = comm.gather(std::span<const std::int64_t>(mine));
  const std::vector<double> real(mine.begin(), mine.end());
  const auto all_real = comm.gather(std::span<const double>(real));
  const auto texts = comm.gather(std::string(static_cast<std::size_t>(9 * comm.rank()), static_cast<char>('a' + comm.rank())));
  if (!comm.is_root()) {
    EXPECT_TRUE(all.empty());
    return;
  }
  std::vector<std::int64_t> expected;
  for (int r = 0; r < comm.size(); ++r) {
    for (int i = 0; i < 5 * r; ++i) expected.push_back(100 * r + i);
    EXPECT_EQ(texts[static_cast<std::size_t>(r)], std::string(static_cast<std::size_t>(9 * r), static_cast<char>('a' + r)));
  }
  EXPECT_EQ(all, expected);
  EXPECT_EQ(all_real, std::vector<double>(expected.begin(), expected.end()));
}

TEST_P(Pieces, BroadcastsAndSumsAreWhole) {
  std::string text = comm.is_root() ? std::string(100, 'x') + "end" : "";
  comm.broadcast(text);
  EXPECT_EQ(text, std::string(100, 'x') + "end");
  std::vector<std::int64_t> numbers(23);
  if (comm.is_root()) std::iota(numbers.begin(), numbers.end(), 5);
  comm.broadcast(std::span<std::int64_t>(numbers));
  for (std::size_t i = 0; i < numbers.size(); ++i) EXPECT_EQ(numbers[i], static_cast<std::int64_t>(i) + 5);
  comm.sum(std::span<std::int64_t>(numbers));
  for (std::size_t i = 0; i < numbers.size(); ++i) EXPECT_EQ(numbers[i], comm.size() * (static_cast<std::int64_t>(i) + 5));
}

INSTANTIATE_TEST_SUITE_P(Of, Pieces, ::testing::Values(1, 7, kLargestMessage));

}  // namespace
}  // namespace gnn_hpc
