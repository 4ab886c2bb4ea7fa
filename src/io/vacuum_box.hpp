// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <vector>

namespace gnn_hpc {

inline constexpr double kVacuum = 20.0;  ///< angstrom, at least, between an atom and any image in a direction that does not repeat

/// Replaces the lattice vectors of directions that do not repeat, so that a molecule, a chain or a slab can be read as a crystal.
/// They become perpendicular to those that repeat (and to each other), 2 D + kVacuum long, where D = 2 max_i |x_i - centre| bounds
/// the distance of any two atoms across those directions. An image there is then D + kVacuum away at least: farther than every
/// other atom of the molecule. A search for the k nearest neighbours meets images only for what it cannot fill otherwise.
/// @param positions [3N] Cartesian, as they are: not wrapped along a direction that does not repeat
/// @param periodic for each row of `lattice`; the rows that do not repeat are not read
/// Throws Error(Exit::data) if the rows that repeat do not span as many directions.
void put_into_box(const std::vector<double>& positions, const std::array<bool, 3>& periodic, std::array<double, 9>& lattice);

}  // namespace gnn_hpc
