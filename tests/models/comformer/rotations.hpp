// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "support/views.hpp"

#include <array>
#include <cstdint>

namespace gnn_hpc::comformer {

using Rotation = std::array<double, 9>;  ///< row-major; r' = R r

/// A random proper rotation, from a normalised quaternion.
inline Rotation random_rotation(std::uint64_t seed) {
  auto q = test::random_values(4, seed);
  const double length = test::norm(q);
  for (double& x : q) x /= length;
  const double w = q[0], x = q[1], y = q[2], z = q[3];
  return {1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), 2 * (x * y + w * z),    1 - 2 * (x * x + z * z),
          2 * (y * z - w * x),     2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)};
}

/// Lattice vectors as rows, each rotated.
inline std::array<double, 9> rotated_cell(const std::array<double, 9>& cell, const Rotation& r) {
  std::array<double, 9> out{};
  for (std::size_t i = 0; i < 9; ++i) {
    for (std::size_t k = 0; k < 3; ++k) out[i] += cell[i / 3 * 3 + k] * r[i % 3 * 3 + k];
  }
  return out;
}

}  // namespace gnn_hpc::comformer
