// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gemmi/cifdoc.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gnn_hpc {

/// Tags compare without case, and `_cell.length_a` (DDLm, mmCIF) equals `_cell_length_a`.
bool same_tag(std::string_view tag, std::string_view lower_case);
bool is_null(std::string_view value);  ///< `?` or `.`
std::string_view unquote(std::string_view value);
/// A CIF number; the uncertainty in parentheses is dropped. Throws Error(Exit::data) naming `what` it is.
double cif_number(std::string_view value, std::string_view what);
/// What the last digit of a CIF number may be off by: 0.01 for 0.33, 0.003 for 0.667(3); 0 for numbers with less than two decimals,
/// which are exact by custom (0, 0.5).
double cif_resolution(std::string_view value);

/// What a CIF block says about a crystal, as pointers into gemmi's document. A loop of one row says the same as single items.
struct CifView {
  using Value = const std::string*;
  using Column = std::pair<const gemmi::cif::Loop*, int>;

  Value cell[6] = {};
  const gemmi::cif::Loop* atoms = nullptr;
  std::vector<Value> operations, old_operations;               ///< _space_group_symop_operation_xyz, _symmetry_equiv_pos_as_xyz
  std::vector<Value> magnetic_operations, magnetic_centrings;  ///< magCIF
  std::vector<Value> names;                                    ///< Hermann-Mauguin, under all tags
  Value hall = nullptr, group_number = nullptr, code = nullptr;
  Value formula = nullptr, structural_formula = nullptr, units = nullptr;
  std::vector<Value> atom_types;
  std::string unread_symmetry;  ///< a tag that tells a symmetry and is none of these

  /// Throws Error(Exit::data) for what is said twice and differently, two loops of atoms, modulated structures.
  explicit CifView(const gemmi::cif::Block& block);

 private:
  void take(const std::string& tag, const std::string& value);
  void take_column(const gemmi::cif::Loop& loop, int column);
};

}  // namespace gnn_hpc
