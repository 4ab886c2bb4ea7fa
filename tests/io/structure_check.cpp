// SPDX-License-Identifier: Apache-2.0
#include "io/structure_check.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "base/error.hpp"

namespace gnn_hpc {
namespace {

/// The closest pair by trying every image within `reach` cells.
double brute_force(const Crystal& c, int reach) {
  double best = 1e300;
  const auto n = c.z.size();
  for (std::size_t a = 0; a < n; ++a) {
    for (std::size_t b = a; b < n; ++b) {
      for (int i = -reach; i <= reach; ++i) {
        for (int j = -reach; j <= reach; ++j) {
          for (int k = -reach; k <= reach; ++k) {
            if (a == b && i == 0 && j == 0 && k == 0) continue;
            const double wrap[3] = {static_cast<double>(i), static_cast<double>(j), static_cast<double>(k)};
            double f[3], squared = 0;
            for (int d = 0; d < 3; ++d) {
              const double x = c.frac[3 * b + d], y = c.frac[3 * a + d];
              f[d] = x - std::floor(x) - (y - std::floor(y)) + wrap[d];
            }
            for (int d = 0; d < 3; ++d) squared += std::pow(f[0] * c.lattice[d] + f[1] * c.lattice[3 + d] + f[2] * c.lattice[6 + d], 2);
            best = std::min(best, squared);
          }
        }
      }
    }
  }
  return std::sqrt(best);
}

/// Cells of every shape, flat and skewed ones too: the search misses no image and invents none.
TEST(StructureCheck, TheClosestPairEqualsBruteForce) {
  std::mt19937 engine(3);
  const auto draw = [&engine](double low, double high) { return low + (high - low) * (static_cast<double>(engine()) / 4294967296.0); };
  int close = 0;
  for (int t = 0; t < 400; ++t) {
    Crystal c;
    do {
      for (double& x : c.lattice) x = draw(-3, 3);
      if (t % 3 == 0) c.lattice = {draw(1, 4), 0, 0, draw(-8, 8), draw(1, 4), 0, draw(-8, 8), draw(-8, 8), draw(0.8, 4)};
    } while (cell_volume(c.lattice) < 2);
    const int n = 1 + t % 9;
    c.z.assign(n, 6);
    for (int i = 0; i < 3 * n; ++i) c.frac.push_back(draw(-2, 2));
    const double expected = brute_force(c, 10), below = draw(0.3, 1.5);
    const auto got = closest_pair(c, below);
    ASSERT_EQ(got.has_value(), expected < below) << t << ' ' << expected << ' ' << below;
    if (got) {
      EXPECT_NEAR(got->distance, expected, 1e-9);
    }
    close += got.has_value();
  }
  EXPECT_GT(close, 50);
  EXPECT_LT(close, 350);
}

TEST(StructureCheck, EveryDefectHasItsReason) {
  Crystal good;
  good.lattice = {4, 0, 0, 0, 4, 0, 0, 0, 4};
  good.frac = {0, 0, 0, 0.5, 0.5, 0.5};
  good.z = {11, 17};
  const auto reason = [](const Crystal& c) -> std::string {
    try {
      check_structure(c);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::data);
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(reason(good), "accepted");
  Crystal bad = good;
  bad.z.clear();
  EXPECT_EQ(reason(bad), "no atoms");
  bad = good;
  bad.lattice[8] = 0;
  EXPECT_NE(reason(bad).find("zero volume"), std::string::npos);
  bad = good;
  bad.lattice[0] = std::nan("");
  EXPECT_NE(reason(bad).find("not finite"), std::string::npos);
  bad = good;
  bad.frac[1] = 1e7;
  EXPECT_NE(reason(bad).find("beyond 1e6"), std::string::npos);
  bad = good;
  bad.z[1] = 104;
  EXPECT_NE(reason(bad).find("unknown element 104"), std::string::npos);
  bad = good;
  bad.frac = {0.99, 0, 0, 1.05, 0, 3};  // across the face, in another cell
  EXPECT_EQ(reason(bad), "atom 1 (Na) and atom 2 (Cl) are 0.24 A apart; no two atoms may be closer than 0.5 A");
  bad = good;
  bad.lattice = {0.4, 0, 0, 0, 40, 0, 0, 0, 4};
  EXPECT_NE(reason(bad).find("and its own periodic image are 0.40 A apart"), std::string::npos);
}

}  // namespace
}  // namespace gnn_hpc
