// SPDX-License-Identifier: Apache-2.0
#include "io/structure_check.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "io/elements.hpp"
#include "io/lattice_frame.hpp"

namespace gnn_hpc {
namespace {

void check_cell(const Crystal& crystal) {
  double lengths = 1;
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < 3; ++c) {
      if (!std::isfinite(crystal.lattice[3 * r + c])) throw Error(Exit::data, "the cell has a number that is not finite");
    }
    lengths *= std::hypot(crystal.lattice[3 * r], crystal.lattice[3 * r + 1], crystal.lattice[3 * r + 2]);
  }
  const double volume = cell_volume(crystal.lattice);
  // No solid holds an atom in less than about 1 A^3; a cell this flat comes from vectors in one plane.
  if (!(volume > 1e-3) || !(volume > 1e-8 * lengths)) throw Error(Exit::data, fmt::format("zero volume ({:.3g} A^3)", volume));
  if (!std::isfinite(volume)) throw Error(Exit::data, "the cell's volume is not finite");
}

}  // namespace

std::optional<ClosePair> closest_pair(const Crystal& crystal, double below) {
  const LatticeFrame frame(crystal.lattice);
  if (!(frame.largest_index(below) < 32000)) {
    throw Error(Exit::data, fmt::format("too flat a cell: its planes are {:.3g} A apart", below / frame.largest_index(below)));
  }
  std::optional<ClosePair> best;
  double least = below * below;
  std::size_t first = 0, second = 0;
  const auto keep = [&](int, int, int, double squared) {
    if (squared >= least) return;
    least = squared;
    best = ClosePair{std::min(first, second), std::max(first, second), std::sqrt(squared)};
  };
  frame.visit<true>(0, 0, 0, below, keep);  // an atom and its own image

  // Only atoms whose planes across the first axis are near enough can be a pair: a window over the atoms sorted along it, round the
  // cell.
  const std::size_t n = crystal.z.size();
  std::vector<double> wrapped(3 * n);
  std::transform(crystal.frac.begin(), crystal.frac.end(), wrapped.begin(), [](double f) { return f - std::floor(f); });
  std::vector<std::pair<double, std::uint32_t>> order(n);
  for (std::size_t a = 0; a < n; ++a) order[a] = {wrapped[3 * a], static_cast<std::uint32_t>(a)};
  std::sort(order.begin(), order.end());
  const double window = below * frame.i11 * (1 + 1e-9) + 1e-9;
  for (std::size_t p = 0; p < n; ++p) {
    first = order[p].second;
    const double* f = &wrapped[3 * first];
    for (std::size_t step = 1; step < n; ++step) {
      const std::size_t q = p + step < n ? p + step : p + step - n;
      if (order[q].first - order[p].first + (q < p ? 1.0 : 0.0) > window) break;
      second = order[q].second;
      const double* g = &wrapped[3 * second];
      frame.visit(g[0] - f[0], g[1] - f[1], g[2] - f[2], below, keep);
    }
  }
  return best;
}

void check_structure(const Crystal& crystal, const std::function<std::string(std::size_t)>& name) {
  if (crystal.z.empty()) throw Error(Exit::data, "no atoms");
  check_cell(crystal);
  for (const double f : crystal.frac) {
    if (!std::isfinite(f)) throw Error(Exit::data, "a coordinate is not finite");
    if (std::abs(f) > 1e6) {
      throw Error(Exit::data, fmt::format("a fractional coordinate is {:.6g}; beyond 1e6 its digits are lost", f));
    }
  }
  for (const int z : crystal.z) {
    if (z < 1 || z > kLargestZ) throw Error(Exit::data, fmt::format("unknown element {}", z));
  }
  const auto pair = closest_pair(crystal, kClosestAtoms);
  if (!pair) return;
  const auto called = [&](std::size_t a) { return name ? name(a) : fmt::format("atom {} ({})", a + 1, element_symbol(crystal.z[a])); };
  const std::string other = pair->first == pair->second ? "its own periodic image" : called(pair->second);
  throw Error(Exit::data, fmt::format("{} and {} are {:.2f} A apart; no two atoms may be closer than {} A", called(pair->first), other,
                                      pair->distance, kClosestAtoms));
}

}  // namespace gnn_hpc
