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

/// Reads the one data block of a CIF that has fractional atom sites into lattice, frac and z of `out`. Text with several such blocks is refused:
/// split_cif (io/cif_blocks.hpp) makes records of them.
///
/// Dialects: CIF 1.1, DDLm and mmCIF tags, magnetic CIF (its operations without the time, moments are passed over), old and new names of the
/// symmetry; numbers may carry uncertainties (`1.234(5)`), columns come in any order, quotes and text fields are understood (gemmi).
///
/// Symmetry: the listed operations, which count before any name (old and new list must agree); else the Hall symbol, name, number and code of
/// the space group as operations_of_group (io/space_group.hpp) settles them; with none of them P1. Every operation must keep the metric of the
/// cell. A list that is no group must give the atoms that the group it generates gives. expand_sites (io/expand_sites.hpp) makes the images.
/// Without operations coordinates stay as they are: not wrapped, not snapped.
///
/// Elements: the type symbol (charges are dropped, `Fe3+`; D and T are hydrogen), else the label if it has one reading (read_label,
/// io/elements.hpp) or the formula, else the list of atom types, leaves one.
///
/// Throws Error(Exit::data) with the reason: syntax, no cell, no atoms, unknown element, occupancy other than 1, alternatives of disorder
/// groups, hydrogen atoms without coordinates (attached_hydrogens), a missing or unreadable number, something said twice and differently, an
/// unknown operation or space group or one that does not fit the cell, contents other than `_chemical_formula_sum` and Z say
/// (io/chemical_formula.hpp), and what check_structure refuses.
void parse_cif(std::string_view text, Crystal& out);

/// "gemmi 0.6.5": the library that reads CIF and knows the operations of space groups, so that the graphs of crystals depend on it.
std::string cif_library();

}  // namespace gnn_hpc
