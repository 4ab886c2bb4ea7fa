// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "io/structure.hpp"

namespace gnn_hpc {

/// Reads a POSCAR or CONTCAR (VASP 5 and 6) into lattice, frac and z of `out`: scale factor (negative = volume of the cell; three positive
/// numbers = one a Cartesian axis), optional selective dynamics, Direct or Cartesian coordinates, symbols with a suffix (`Fe_pv`, `Fe/1a2b`).
/// Behind the atoms velocities of lattice and atoms and the integrator's state are known and passed over.
/// Throws Error(Exit::data) with the reason: no element symbols (VASP 4), two scale factors, no line Direct or Cartesian, a fourth number in a line
/// of three, an atom's label of another element than the counts give it, anything else behind the atoms, and what check_structure refuses.
void parse_poscar(std::string_view text, Crystal& out);

/// Fractional coordinates f of Cartesian r: f L = r. `lattice` must have a volume.
std::array<double, 9> inverse_lattice(const std::array<double, 9>& lattice);
void multiply(const double* row, const std::array<double, 9>& matrix, double* out);

}  // namespace gnn_hpc
