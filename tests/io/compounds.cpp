// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>

#include "io/crystal_source.hpp"
#include "io/elements.hpp"
#include "support/paths.hpp"

namespace gnn_hpc {
namespace {

double shortest_distance(const Crystal& c) {
  double best = std::numeric_limits<double>::infinity();
  const std::size_t n = c.z.size();
  for (std::size_t a = 0; a < n; ++a) {
    for (std::size_t b = a; b < n; ++b) {
      for (int i = 0; i < 27; ++i) {
        double r2 = 0, f[3];
        const int image[3] = {i % 3 - 1, i / 3 % 3 - 1, i / 9 - 1};
        for (int k = 0; k < 3; ++k) f[k] = c.frac[3 * b + k] - c.frac[3 * a + k] + image[k];
        for (int k = 0; k < 3; ++k) {
          const double x = f[0] * c.lattice[k] + f[1] * c.lattice[3 + k] + f[2] * c.lattice[6 + k];
          r2 += x * x;
        }
        if (r2 > 1e-10) best = std::min(best, r2);
      }
    }
  }
  return std::sqrt(best);
}

std::map<std::string, int> counts_of(const std::string& formula) {
  std::map<std::string, int> out;
  std::string flat = formula;
  if (const auto open = flat.find('('); open != std::string::npos) {  // X(OH)2
    const std::string group = flat.substr(open + 1, flat.find(')') - open - 1);
    flat = flat.substr(0, open) + group + group;
  }
  for (std::size_t p = 0; p < flat.size();) {
    std::string symbol(1, flat[p++]);
    if (p < flat.size() && std::islower(flat[p])) symbol += flat[p++];
    int n = 0;
    while (p < flat.size() && std::isdigit(flat[p])) n = 10 * n + (flat[p++] - '0');
    out[symbol] += n > 0 ? n : 1;
  }
  return out;
}

/// The demonstration data: readable, composed as their formula says, with distances and densities that solids have.
TEST(Compounds, AreSane) {
  const auto source = CrystalSource::open({.paths = {test::source_path("inputs/data/compounds.csv").string()},
                                           .targets = {"formation_enthalpy_ev_per_atom", "formation_enthalpy_kj_per_mol"}});
  RawRecord record;
  std::set<std::string> ids, kinds;
  std::size_t binary = 0;
  while (source->next(record)) {
    const auto parsed = source->parse(record);
    const auto* crystal = std::get_if<Crystal>(&parsed);
    ASSERT_TRUE(crystal) << record.id << ": " << std::get<BadRecord>(parsed).reason;
    SCOPED_TRACE(crystal->id);
    EXPECT_TRUE(ids.insert(crystal->id).second);
    const auto dash = crystal->id.find('-');
    kinds.insert(crystal->id.substr(dash));
    const auto formula = counts_of(crystal->id.substr(0, dash));
    binary += formula.size() == 2;
    std::map<std::string, int> cell;
    for (const int z : crystal->z) ++cell[std::string(element_symbol(z))];
    ASSERT_EQ(cell.size(), formula.size());
    const int units = cell.begin()->second / formula.begin()->second;
    int atoms = 0;
    for (const auto& [symbol, n] : formula) {
      EXPECT_EQ(cell[symbol], units * n) << symbol;
      atoms += n;
    }
    const double nearest = shortest_distance(*crystal), volume = cell_volume(crystal->lattice) / static_cast<double>(crystal->z.size());
    EXPECT_GT(nearest, 0.9);
    EXPECT_LT(nearest, 4.0);
    EXPECT_GT(volume, 5.0);
    EXPECT_LT(volume, 60.0);
    EXPECT_NEAR(crystal->targets[0], crystal->targets[1] / 96.48533 / atoms, 1e-5);
    EXPECT_GT(crystal->targets[0], -5.0);  // CaF2, the most stable here, has -4.24 eV an atom; azides are above zero
    EXPECT_LT(crystal->targets[0], 0.1);
  }
  EXPECT_GE(ids.size(), 200u);
  EXPECT_GE(kinds.size(), 30u);
  EXPECT_GE(binary, 120u);
}

}  // namespace
}  // namespace gnn_hpc
