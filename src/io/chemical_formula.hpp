// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/elements.hpp"

namespace gnn_hpc {

/// How often each element occurs, by atomic number; index 0 is unused.
using ElementCounts = std::array<double, kLargestZ + 1>;

/// A formula in CIF's form (`C12 H22 O11`, blanks may be missing, counts may have decimals, D and T count as H), or nothing:
/// brackets, charges, words.
std::optional<ElementCounts> parse_formula(std::string_view text);

/// "Na4 Cl8", by atomic number.
std::string formula_text(const ElementCounts& counts);

/// What a file says about the contents of its cell.
struct DeclaredContents {
  std::optional<ElementCounts> formula;  ///< `_chemical_formula_sum`
  std::string formula_as_written;
  std::optional<double> units;  ///< Z > 0, `_cell_formula_units_Z`
  /// `_chemical_formula_structural` is there, too: pymatgen's sum is that of the cell, its Z counts structural formulas in it.
  bool sum_may_be_of_cell = false;
};

/// Throws Error(Exit::data) if the atoms of a cell are not Z formulas (without Z: a multiple of the formula, whole or not). A sum
/// with decimals has half a unit of the second one to spare. Nothing is compared without a formula.
void check_contents(const std::vector<std::uint8_t>& z, const DeclaredContents& declared);

}  // namespace gnn_hpc
