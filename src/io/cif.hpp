// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "io/structure.hpp"

namespace gnn_hpc {

/// Lattice matrix (rows a, b, c; c along z, a in the xz plane) of a cell given in angstrom and degrees:
///   g = acos((cos al cos be - cos ga)/(sin al sin be)), clipped to [-1,1]
///   a = (a sin be, 0, a cos be), b = (-b sin al cos g, b sin al sin g, b cos al), c = (0, 0, c)
std::array<double, 9> lattice_from_parameters(double a, double b, double c, double alpha, double beta, double gamma);

/// Reads the first data block of a CIF that has a cell and fractional atom sites into lattice, frac and z of `out`.
///
/// Numbers may carry uncertainties (`1.234(5)`), columns come in any order, quotes and text fields are understood (gemmi).
/// Symmetry is expanded from the listed operations, else from the Hall symbol, the Hermann-Mauguin symbol or the number of the
/// space group (none: P1); images of one element closer than 0.1 A to an atom already there are that atom.
/// The listed coordinates are kept as they are: not wrapped, not snapped to special positions.
/// Charges are dropped (`Fe3+`), D and T are hydrogen; without a type symbol the label decides (`Fe1`).
/// Throws Error(Exit::data) with the reason: syntax, no cell, no atoms, unknown element, occupancy other than 1, a missing or
/// unreadable number, an unknown operation or space group.
void parse_cif(std::string_view text, Crystal& out);

/// "gemmi 0.6.5": the library that reads CIF and knows the operations of space groups, so that the graphs of crystals depend on it.
std::string cif_library();

}  // namespace gnn_hpc
