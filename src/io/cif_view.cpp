// SPDX-License-Identifier: Apache-2.0
#include "io/cif_view.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.hpp"
#include "io/text_source.hpp"

namespace gnn_hpc {
namespace {

constexpr std::string_view kCell[6] = {"_cell_length_a",    "_cell_length_b",   "_cell_length_c",
                                       "_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma"};

std::string plain(std::string_view tag) {
  std::string out(tag);
  for (char& c : out) c = static_cast<char>(c == '.' ? '_' : c >= 'A' && c <= 'Z' ? c | 0x20 : c);
  return out;
}

bool begins(std::string_view text, std::string_view head) { return text.substr(0, head.size()) == head; }

/// Tags beside the space group that tell no operation.
bool tells_no_operation(std::string_view tag) {
  static constexpr std::string_view kHarmless[] = {"_symmetry_cell_setting",
                                                   "_symmetry_entry_id",
                                                   "_symmetry_equiv_pos_site_id",
                                                   "_symmetry_equiv_id",
                                                   "_space_group_id",
                                                   "_space_group_symop_id",
                                                   "_space_group_symop_sg_id",
                                                   "_space_group_crystal_system",
                                                   "_space_group_laue_class",
                                                   "_space_group_point_group_h-m",
                                                   "_space_group_bravais_type",
                                                   "_space_group_centring_type",
                                                   "_space_group_symop_magn_operation_id",
                                                   "_space_group_symop_magn_operation_mxmymz",
                                                   "_space_group_symop_magn_centering_id",
                                                   "_space_group_symop_magn_centering_mxmymz"};
  return std::find(std::begin(kHarmless), std::end(kHarmless), tag) != std::end(kHarmless);
}

/// What is said twice must be the same.
void set(const std::string*& place, const std::string& tag, const std::string& value) {
  if (place && unquote(*place) != unquote(value)) {
    throw Error(Exit::data,
                fmt::format("{} is given twice, as {} and as {}", tag, quote_for_message(unquote(*place)), quote_for_message(unquote(value))));
  }
  place = &value;
}

}  // namespace

bool same_tag(std::string_view tag, std::string_view lower_case) {
  if (tag.size() != lower_case.size()) return false;
  for (std::size_t i = 0; i < tag.size(); ++i) {
    char c = tag[i];
    if (c == '.') c = '_';
    if (c >= 'A' && c <= 'Z') c |= 0x20;
    if (c != lower_case[i]) return false;
  }
  return true;
}

bool is_null(std::string_view value) { return value.size() == 1 && (value[0] == '?' || value[0] == '.'); }

std::string_view unquote(std::string_view value) {
  if (value.size() >= 2 && (value.front() == '\'' || value.front() == '"') && value.back() == value.front()) {
    value = value.substr(1, value.size() - 2);
  } else if (!value.empty() && value.front() == ';') {
    value.remove_prefix(1);
    if (!value.empty() && value.back() == ';') value.remove_suffix(1);
  }
  return trim(value);
}

double cif_number(std::string_view value, std::string_view what) {
  value = unquote(value);
  if (value.empty() || is_null(value)) throw Error(Exit::data, fmt::format("{} is missing ('{}')", what, value));
  const std::size_t open = value.find('(');
  std::string_view digits = value;
  if (open != std::string_view::npos && value.back() == ')') digits = value.substr(0, open);
  const auto parsed = parse_number(digits);
  if (!parsed) throw Error(Exit::data, fmt::format("{} is not a number: {}", what, quote_for_message(value)));
  if (!std::isfinite(*parsed)) throw Error(Exit::data, fmt::format("{} is not finite: {}", what, quote_for_message(value)));
  return *parsed;
}

double cif_resolution(std::string_view value) {
  value = unquote(value);
  const std::size_t open = value.find('('), point = value.find('.');
  if (point == std::string_view::npos) return 0;
  std::size_t digits = 0;
  while (point + 1 + digits < value.size() && value[point + 1 + digits] >= '0' && value[point + 1 + digits] <= '9') ++digits;
  if (digits < 2) return 0;
  const std::size_t exponent = value.find_first_of("eE");
  const auto shift =
      exponent == std::string_view::npos ? std::optional<std::int64_t>(0) : parse_integer(value.substr(exponent + 1, open - exponent - 1));
  const auto uncertainty = open == std::string_view::npos ? std::nullopt : parse_integer(value.substr(open + 1, value.size() - open - 2));
  const double unit = std::pow(10.0, static_cast<double>(shift.value_or(0)) - static_cast<double>(digits));
  return unit * static_cast<double>(std::clamp<std::int64_t>(uncertainty.value_or(1), 1, 100));
}

CifView::CifView(const gemmi::cif::Block& block) {
  for (const auto& item : block.items) {
    if (item.type == gemmi::cif::ItemType::Pair) {
      take(item.pair[0], item.pair[1]);
    } else if (item.type == gemmi::cif::ItemType::Loop) {
      for (std::size_t c = 0; c < item.loop.tags.size(); ++c) take_column(item.loop, static_cast<int>(c));
    }
  }
}

void CifView::take(const std::string& tag, const std::string& value) {
  if (tag.size() < 2) return;
  if ((tag[1] | 0x20) == 'c') {
    for (int p = 0; p < 6; ++p) {
      if (same_tag(tag, kCell[p])) return set(cell[p], tag, value);
    }
    if (is_null(value)) return;
    if (same_tag(tag, "_chemical_formula_sum")) return set(formula, tag, value);
    if (same_tag(tag, "_chemical_formula_structural")) return set(structural_formula, tag, value);
    if (same_tag(tag, "_cell_formula_units_z") || same_tag(tag, "_cell_z")) return set(units, tag, value);
    if (same_tag(tag, "_cell_modulation_dimension") && unquote(value) != "0") {
      throw Error(Exit::data, "a modulated structure (_cell_modulation_dimension): its atoms have no fixed places");
    }
    return;
  }
  if ((tag[1] | 0x20) == 'a') {
    if (same_tag(tag, "_atom_type_symbol") && !is_null(value)) atom_types.push_back(&value);
    return;
  }
  if ((tag[1] | 0x20) != 's' || is_null(value)) return;
  const std::string name = plain(tag);
  if (!begins(name, "_symmetry") && !begins(name, "_space_group")) return;
  if (name == "_symmetry_equiv_pos_as_xyz") return old_operations.push_back(&value);
  if (name == "_space_group_symop_operation_xyz") return operations.push_back(&value);
  if (name == "_space_group_symop_magn_operation_xyz") return magnetic_operations.push_back(&value);
  if (name == "_space_group_symop_magn_centering_xyz") return magnetic_centrings.push_back(&value);
  if (name == "_symmetry_space_group_name_hall" || name == "_space_group_name_hall") return set(hall, tag, value);
  if (name == "_symmetry_int_tables_number" || name == "_space_group_it_number") return set(group_number, tag, value);
  if (name == "_space_group_it_coordinate_system_code") return set(code, tag, value);
  if (name == "_symmetry_space_group_name_h-m" || name == "_space_group_name_h-m_alt" || name == "_space_group_name_h-m_ref" ||
      name == "_space_group_name_h-m_full" || name == "_symmetry_space_group_name_h-m_alt") {
    return names.push_back(&value);
  }
  if (name.find("ssg") != std::string::npos) throw Error(Exit::data, fmt::format("a modulated structure ({}): its atoms have no fixed places", tag));
  if (unread_symmetry.empty() && !tells_no_operation(name)) unread_symmetry = tag;
}

void CifView::take_column(const gemmi::cif::Loop& loop, int column) {
  const std::string& tag = loop.tags[static_cast<std::size_t>(column)];
  if (same_tag(tag, "_atom_site_fract_x")) {
    if (atoms) throw Error(Exit::data, "two loops of atoms in one block");
    atoms = &loop;
    return;
  }
  const bool list = same_tag(tag, "_symmetry_equiv_pos_as_xyz") || same_tag(tag, "_space_group_symop_operation_xyz") ||
                    same_tag(tag, "_space_group_symop_magn_operation_xyz") || same_tag(tag, "_space_group_symop_magn_centering_xyz") ||
                    same_tag(tag, "_atom_type_symbol");
  if (!list && loop.length() != 1) {
    if (tag.size() < 2 || (tag[1] | 0x20) != 's') return;
    const std::string name = plain(tag);
    if (name.find("_ssg_") != std::string::npos && begins(name, "_space_group")) {
      throw Error(Exit::data, fmt::format("a modulated structure ({}): its atoms have no fixed places", tag));
    }
    return;
  }
  for (std::size_t row = 0; row < loop.length(); ++row) take(tag, loop.val(row, static_cast<std::size_t>(column)));
}

}  // namespace gnn_hpc
