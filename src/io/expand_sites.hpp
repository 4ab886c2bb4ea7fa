// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "io/symmetry_operation.hpp"

namespace gnn_hpc {

/// A listed site: where it is, how far its digits can be trusted, what it is called in messages.
struct Site {
  std::array<double, 3> frac;
  std::array<double, 3> resolution;  ///< what a coordinate may be off by, one unit of its last digit; 0: it is exact
  std::uint8_t z;
  std::string label;
};

struct ExpandedSites {
  std::vector<double> frac;        ///< [3N]
  std::vector<std::uint8_t> z;     ///< [N]
  std::vector<std::int32_t> site;  ///< [N] the listed site that an atom is an image of
};

/// All images of `sites` under `group` (closed, identity included).
///
/// Special positions: an operation fixes a site if it moves it by less than 0.1 angstrom, or by less than kClosestAtoms and no more
/// than the digits allow: |(R x + t - x - n)_k| <= sum_j |R - 1|_kj resolution_j, so that (0.33, 0.67) is on a threefold axis of a
/// large cell, too. The site moves to where all operations that fix it leave it (the mean of these images) and then has exactly
/// |group| / |operations that fix it| images; a site for which this does not come out is refused.
/// A site that is an image of an earlier one of its element (a full list given beside its symmetry) adds nothing; two that are
/// listed at one place stay two, and check_structure refuses them. Throws Error(Exit::data), also for more than 20000 images.
ExpandedSites expand_sites(const std::vector<Site>& sites, const std::vector<SymmetryOperation>& group, const std::array<double, 9>& lattice);

}  // namespace gnn_hpc
