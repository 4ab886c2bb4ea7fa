// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gnn_hpc::dmpnn {

/// Distinct feature rows of a data set: few occur (49 atoms and 12 bonds in 2,704 polymers), so that every atom and bond stores the
/// number of its row instead of the row (specification, section 10 item 1).
struct FeatureTable {
  int width = 0;
  std::vector<double> values;  ///< [rows, width]
  int rows() const { return width == 0 ? 0 : static_cast<int>(values.size()) / width; }
};

/// One molecular graph: n atoms, m directed edges. Indices count from 0 within the molecule.
/// Spans of optional members are empty where the input has none.
struct MoleculeView {
  std::span<const std::int32_t> atom_type;  ///< [n] rows of the data set's table of atoms
  std::span<const std::int32_t> bond_type;  ///< [m] rows of the data set's table of bonds; an edge and its reverse share it
  std::span<const std::int32_t> src, dst;   ///< [m]; edges 2k and 2k+1 are each other's reverse, rev[e] = e xor 1
  std::span<const double> edge_weight;      ///< [m] omega; empty: 1
  std::span<const double> atom_weight;      ///< [n] weight of the atom's fragment; empty: 1
  double degree_of_polymerisation = 1.0;    ///< dop = 1 + log10(Xn)
  std::span<const double> target;           ///< [K] scaled for a regression; NaN where missing
  std::span<const double> descriptors;      ///< [d_xd] preprocessed
};

}  // namespace gnn_hpc::dmpnn
