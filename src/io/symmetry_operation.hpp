// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gnn_hpc {

/// A symmetry operation of a crystal in fractional coordinates: x' = R x + t. R is integer (the lattice is mapped onto itself), t
/// in [0,1).
struct SymmetryOperation {
  std::array<int, 9> rotation{1, 0, 0, 0, 1, 0, 0, 0, 1};
  std::array<double, 3> translation{0, 0, 0};

  bool is_identity() const;
  std::array<double, 3> apply(const std::array<double, 3>& x) const;
  std::string text() const;  ///< "-y,x-y,z+1/3"
};

/// Translations are equal if they differ by less than this: they are multiples of 1/24 or of a small fraction of a supercell.
inline constexpr double kSameTranslation = 1e-3;

bool same_operation(const SymmetryOperation& a, const SymmetryOperation& b);
SymmetryOperation operator*(const SymmetryOperation& a, const SymmetryOperation& b);  ///< first b, then a

/// Reads `x,y,z` as files write it: any case, blanks, terms in any order, fractions (`1/2+x`) or decimals (`x+.5`, `0.333-y`;
/// within half a hundredth they are the nearest multiple of 1/24), `2x`, `2*x`; a fourth part `+1`, `-1` or `m` (magnetic CIF: the
/// time) is dropped. Throws Error(Exit::data): anything else, a rotation that is not integer or not of determinant 1 or -1.
SymmetryOperation parse_operation(std::string_view text);

/// Whether distances survive: R'GR = G for the metric G of the cell, each element within 0.005 of the product of its two lengths
/// (a quarter of a per cent in a length, a third of a degree in an angle: what rounded cells differ by).
bool keeps_metric(const SymmetryOperation& operation, const std::array<double, 9>& lattice);

/// The group that `generators` generate, identity first; empty if it has more than `most` elements.
std::vector<SymmetryOperation> generate_group(const std::vector<SymmetryOperation>& generators, std::size_t most = 1000);

}  // namespace gnn_hpc
