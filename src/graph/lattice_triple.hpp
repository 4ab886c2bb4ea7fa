// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <span>

#include "graph/periodic_knn.hpp"

namespace gnn_hpc {

/// The three lattice vectors that describe a crystal, as integer images (rows l1, l2, l3).
///   candidates  n with clash < |nL| <= max(|a|,|b|,|c|) + 0.01 + tie, by shell, then by (n1,n2,n3); a shell opens where a
///               length exceeds the first of the current shell by more than tie
///   choice      l1 = first; l2 = first not parallel to l1; l3 = first with det(l1,l2,l3) != 0
///   signs       l2 (l3) is negated if its cosine with l1 is below -cos_tie; all three if their determinant is negative
/// Needs no atoms. Throws Error(Exit::data) if the cell is too flat to be searched.
std::array<int, 9> lattice_triple(std::span<const double, 9> lattice, CrystalGraphWorkspace& workspace);

}  // namespace gnn_hpc
