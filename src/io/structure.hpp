// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace gnn_hpc {

/// One periodic structure as read from a file. Nothing is wrapped, snapped or sorted: coordinates and atom order are those
/// of the file (after symmetry expansion for a CIF).
struct Crystal {
  std::string id;                 ///< name given by the file, unique only if the file's names are
  std::array<double, 9> lattice;  ///< rows are the three lattice vectors, angstrom
  std::vector<double> frac;       ///< [3N] fractional coordinates, any cell
  std::vector<std::uint8_t> z;    ///< [N] atomic numbers 1..103
  std::vector<double> targets;    ///< in the order of the requested names; NaN = missing (only where several are requested)
  std::string file;               ///< where it came from
  std::int64_t line = 0;          ///< first line of the record in `file`, counted from 1
};

/// |det| of a row-major 3x3 matrix: the volume of a cell, cubic angstrom.
inline double cell_volume(const std::array<double, 9>& m) {
  const double det = m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6]);
  return det < 0 ? -det : det;
}

}  // namespace gnn_hpc
