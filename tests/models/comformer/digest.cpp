// SPDX-License-Identifier: Apache-2.0
// Which inputs count as the same when a split is searched for repetitions.
#include "models/comformer/crystal_digest.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>

namespace gnn_hpc {
namespace {

using comformer::crystal_digest;

TEST(CrystalDigest, OrderOfAtomsWholeCellsAndTurnsDoNotCount) {
  const std::array<double, 9> cell{4.1, 0.0, 0.0, 0.3, 5.2, 0.0, -0.1, 0.2, 6.3};
  const std::vector<std::uint8_t> z{11, 17, 17};
  const std::vector<double> frac{0.0, 0.5, 0.25, 1.0 / 3.0, 2.0 / 3.0, 0.1, 0.9, 0.0, 0.75};
  const auto expected = crystal_digest(cell, z, frac);
  EXPECT_EQ(
      crystal_digest(cell, std::vector<std::uint8_t>{17, 11, 17}, std::vector<double>{0.9, 0.0, 0.75, 0.0, 0.5, 0.25, 1.0 / 3.0, 2.0 / 3.0, 0.1}),
      expected);
  std::vector<double> moved = frac;
  moved[0] += 1.0;
  moved[4] -= 2.0;
  moved[7] = 1.0 - 1e-9;  // written as 0.999999999
  EXPECT_EQ(crystal_digest(cell, z, moved), expected);
  std::array<double, 9> turned{};
  const double c = std::cos(0.7), s = std::sin(0.7);
  for (std::size_t i = 0; i < 3; ++i) {
    turned[3 * i] = c * cell[3 * i] - s * cell[3 * i + 1];
    turned[3 * i + 1] = s * cell[3 * i] + c * cell[3 * i + 1];
    turned[3 * i + 2] = cell[3 * i + 2];
  }
  EXPECT_EQ(crystal_digest(turned, z, frac), expected);
}

TEST(CrystalDigest, OtherElementsPlacesAndCellsDo) {
  const std::array<double, 9> cell{4.1, 0.0, 0.0, 0.3, 5.2, 0.0, -0.1, 0.2, 6.3};
  const std::vector<std::uint8_t> z{11, 17};
  const std::vector<double> frac{0.0, 0.5, 0.25, 0.9, 0.0, 0.75};
  std::set<std::uint64_t> seen{crystal_digest(cell, z, frac)};
  seen.insert(crystal_digest(cell, std::vector<std::uint8_t>{17, 11}, frac));
  seen.insert(crystal_digest(cell, std::vector<std::uint8_t>{11, 35}, frac));
  seen.insert(crystal_digest(cell, std::vector<std::uint8_t>{11}, std::vector<double>{0.0, 0.5, 0.25}));
  std::vector<double> moved = frac;
  moved[3] += 0.01;
  seen.insert(crystal_digest(cell, z, moved));
  std::array<double, 9> strained = cell;
  strained[8] *= 1.01;
  seen.insert(crystal_digest(strained, z, frac));
  EXPECT_EQ(seen.size(), 6U);
}

}  // namespace
}  // namespace gnn_hpc
