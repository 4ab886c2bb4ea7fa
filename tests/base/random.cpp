// SPDX-License-Identifier: Apache-2.0
#include "base/random.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>
#include <vector>

namespace gnn_hpc {
namespace {

std::array<std::uint32_t, 4> words_of(std::uint64_t seed, std::uint64_t stream, std::uint64_t counter) {
  const auto w = RandomKey{seed, stream}.words(counter);
  return {w[0], w[1], w[2], w[3]};
}

// philox4x32, 10 rounds, from kat_vectors of Random123: counter (4 words), key (2 words).
TEST(Random, KnownAnswersOfPhilox) {
  EXPECT_EQ(words_of(0, 0, 0), (std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(words_of(~0ULL, ~0ULL, ~0ULL), (std::array<std::uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(words_of(0x299f31d0a4093822ULL, 0x0370734413198a2eULL, 0x85a308d3243f6a88ULL),
            (std::array<std::uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, KnownHashOfNames) {
  EXPECT_EQ(fnv1a64(""), 0xCBF29CE484222325ULL);
  EXPECT_EQ(fnv1a64("a"), 0xAF63DC4C8601EC8CULL);
  EXPECT_EQ(fnv1a64("foobar"), 0x85944171F73967E8ULL);
}

TEST(Random, UniformFillsItsRangeEvenly) {
  const RandomKey key{17, 4};
  constexpr int kDraws = 100000, kBins = 50;
  std::vector<int> bins(kBins, 0);
  double sum = 0.0, product = 0.0, last = 0.5;
  for (int i = 0; i < kDraws; ++i) {
    const double u = key.uniform(static_cast<std::uint64_t>(i));
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    ++bins[static_cast<std::size_t>(u * kBins)];
    sum += u;
    product += (u - 0.5) * (last - 0.5);
    last = u;
  }
  double chi_squared = 0.0;
  for (const int n : bins) chi_squared += std::pow(n - kDraws / kBins, 2) / (kDraws / kBins);
  EXPECT_LT(chi_squared, 49.0 + 4.0 * std::sqrt(98.0));
  EXPECT_NEAR(sum / kDraws, 0.5, 4.0 * 0.2887 / std::sqrt(kDraws));
  EXPECT_NEAR(product / kDraws, 0.0, 4.0 / 12.0 / std::sqrt(kDraws));
}

TEST(Random, NormalHasItsMoments) {
  const RandomKey key{18, 4};
  constexpr int kDraws = 100000;
  double s1 = 0.0, s2 = 0.0, s4 = 0.0;
  for (int i = 0; i < kDraws; ++i) {
    const double z = key.normal(static_cast<std::uint64_t>(i));
    ASSERT_TRUE(std::isfinite(z));
    s1 += z / kDraws;
    s2 += z * z / kDraws;
    s4 += z * z * z * z / kDraws;
  }
  const double root = std::sqrt(kDraws);
  EXPECT_NEAR(s1, 0.0, 4.0 / root);
  EXPECT_NEAR(s2, 1.0, 4.0 * std::sqrt(2.0) / root);
  EXPECT_NEAR(s4, 3.0, 4.0 * std::sqrt(96.0) / root);
}

TEST(Random, FoldedStreamsDiffer) {
  std::set<std::uint64_t> streams;
  const RandomKey key{19, fnv1a64("layer")};
  for (std::uint64_t step = 0; step < 10000; ++step) streams.insert(key.fold(step).stream);
  EXPECT_EQ(streams.size(), 10000U);
  EXPECT_EQ(key.fold(3).seed, key.seed);
  EXPECT_EQ(key.fold(3).stream, key.fold(3).stream);
  EXPECT_NE(key.fold(1).fold(2).stream, key.fold(2).fold(1).stream);
}

}  // namespace
}  // namespace gnn_hpc
