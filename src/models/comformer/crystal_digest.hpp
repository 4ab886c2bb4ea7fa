// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace gnn_hpc::comformer {

/// Digest of a crystal: elements and fractional coordinates (to 1e-3, whole cells apart) in any order, and the cell by the products
/// of its vectors (to 1e-3 square angstrom), so that a turned description is the same crystal. A shifted origin, another choice of
/// cell or a supercell is another one. Targets do not count.
/// @param lattice rows a, b, c  @param frac [3N]
std::uint64_t crystal_digest(std::span<const double, 9> lattice, std::span<const std::uint8_t> z, std::span<const double> frac);

}  // namespace gnn_hpc::comformer
