// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "io/structure.hpp"

namespace gnn_hpc {

/// Reads a POSCAR (VASP 5) into lattice, frac and z of `out`: scale factor (negative = volume of the cell; three positive
/// numbers = one a Cartesian axis), optional selective dynamics, Direct or Cartesian coordinates, symbols with a suffix (`Fe_pv`).
/// Throws Error(Exit::data) with the reason; a file without element symbols (VASP 4) is refused.
void parse_poscar(std::string_view text, Crystal& out);

/// Fractional coordinates f of Cartesian r: f L = r. `lattice` must have a volume.
std::array<double, 9> inverse_lattice(const std::array<double, 9>& lattice);
void multiply(const double* row, const std::array<double, 9>& matrix, double* out);

}  // namespace gnn_hpc
