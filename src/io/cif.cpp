// SPDX-License-Identifier: Apache-2.0
#include "io/cif.hpp"

#include <algorithm>
#include <cmath>
#include <gemmi/cif.hpp>
#include <gemmi/symmetry.hpp>
#include <gemmi/version.hpp>
#include <limits>

#include "base/error.hpp"
#include "io/elements.hpp"
#include "io/text_source.hpp"

namespace gnn_hpc {
namespace {

constexpr double kMergeDistance = 0.1;  // angstrom, below the clash distance of the graph
constexpr std::size_t kMostExpanded = 20000;

/// Tags compare without case, and `_cell.length_a` (DDLm, mmCIF) equals `_cell_length_a`.
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

/// A CIF number; the uncertainty in parentheses is dropped.
double number(std::string_view value, std::string_view what) {
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

/// What a block says, as pointers into gemmi's document.
struct BlockView {
  const std::string* cell[6] = {};
  const gemmi::cif::Loop* atoms = nullptr;
  const gemmi::cif::Loop* operations = nullptr;
  int operation_column = 0;
  const std::string *single_operation = nullptr, *hall = nullptr, *hermann_mauguin = nullptr, *group_number = nullptr;

  explicit BlockView(const gemmi::cif::Block& block) {
    static constexpr std::string_view kCell[6] = {"_cell_length_a",    "_cell_length_b",   "_cell_length_c",
                                                  "_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma"};
    const auto is_operation = [](std::string_view tag) {
      return same_tag(tag, "_symmetry_equiv_pos_as_xyz") || same_tag(tag, "_space_group_symop_operation_xyz");
    };
    for (const auto& item : block.items) {
      if (item.type == gemmi::cif::ItemType::Pair) {
        const std::string &tag = item.pair[0], &value = item.pair[1];
        for (int p = 0; p < 6; ++p) {
          if (same_tag(tag, kCell[p])) cell[p] = &value;
        }
        if (is_null(value)) continue;
        if (is_operation(tag)) single_operation = &value;
        if (same_tag(tag, "_symmetry_space_group_name_hall") || same_tag(tag, "_space_group_name_hall")) hall = &value;
        if (same_tag(tag, "_symmetry_space_group_name_h-m") || same_tag(tag, "_space_group_name_h-m_alt")) hermann_mauguin = &value;
        if (same_tag(tag, "_symmetry_int_tables_number") || same_tag(tag, "_space_group_it_number")) group_number = &value;
      } else if (item.type == gemmi::cif::ItemType::Loop) {
        for (std::size_t c = 0; c < item.loop.tags.size(); ++c) {
          if (same_tag(item.loop.tags[c], "_atom_site_fract_x")) atoms = &item.loop;
          if (is_operation(item.loop.tags[c])) operations = &item.loop, operation_column = static_cast<int>(c);
        }
      }
    }
  }
};

bool is_identity(std::string_view text) {
  std::size_t p = 0;
  constexpr std::string_view want = "x,y,z";
  for (const char c : text) {
    if (c == ' ') continue;
    if (p == want.size() || (c | 0x20) != (want[p] | 0x20)) return false;
    ++p;
  }
  return p == want.size();
}

/// The operations beyond the identity; empty = P1.
std::vector<gemmi::Op> operations_of(const BlockView& view, const double* angles) {
  std::vector<gemmi::Op> ops;
  const auto add = [&](std::string_view text) {
    text = unquote(text);
    if (is_identity(text)) return;
    try {
      const gemmi::Op op = gemmi::parse_triplet(std::string(text));
      if (op.det_rot() == 0) throw Error(Exit::data, "the rotation is singular");
      ops.push_back(op);
    } catch (const std::exception& error) {
      throw Error(Exit::data, fmt::format("unreadable symmetry operation {} ({})", quote_for_message(text), error.what()));
    }
  };
  if (view.operations) {
    for (std::size_t row = 0; row < view.operations->length(); ++row) add(view.operations->val(row, view.operation_column));
    return ops;
  }
  if (view.single_operation) {
    add(*view.single_operation);
    return ops;
  }
  const auto take = [&ops](const gemmi::GroupOps& group) {
    for (const gemmi::Op& op : group) {
      if (op != gemmi::Op::identity()) ops.push_back(op);
    }
    return ops;
  };
  if (view.hall) {
    try {
      return take(gemmi::symops_from_hall(std::string(unquote(*view.hall)).c_str()));
    } catch (const std::exception&) {
      ops.clear();  // fall through to the other names of the group
    }
  }
  if (view.hermann_mauguin) {
    const std::string name(unquote(*view.hermann_mauguin));
    if (name == "P 1" || name == "P1") return ops;  // spares the look-up for the many files written as P1
    if (const auto* group = gemmi::find_spacegroup_by_name(name, angles[0], angles[2])) return take(group->operations());
  }
  if (view.group_number) {
    const auto n = parse_integer(unquote(*view.group_number));
    if (const auto* group = n ? gemmi::find_spacegroup_by_number(static_cast<int>(*n)) : nullptr) return take(group->operations());
  }
  if (const std::string* name = view.hermann_mauguin ? view.hermann_mauguin : view.group_number ? view.group_number : view.hall) {
    throw Error(Exit::data, fmt::format("unknown space group {}, and no operations are listed", quote_for_message(unquote(*name))));
  }
  return ops;
}

/// Appends the images of every listed atom under `ops`, merging what falls together.
void expand(const std::vector<gemmi::Op>& ops, Crystal& out) {
  const std::size_t listed = out.z.size();
  if (listed * (ops.size() + 1) > kMostExpanded) {
    throw Error(Exit::data,
                fmt::format("{} atoms under {} operations are more than {} atoms", listed, ops.size() + 1, kMostExpanded));
  }
  std::vector<double> frac;
  std::vector<std::uint8_t> z;
  const auto add = [&](const double* f, std::uint8_t element) {
    for (std::size_t a = 0; a < z.size(); ++a) {
      if (z[a] != element) continue;
      double d[3], r2 = 0;
      for (int c = 0; c < 3; ++c) d[c] = f[c] - frac[3 * a + c], d[c] -= std::round(d[c]);
      for (int c = 0; c < 3; ++c) {
        const double x = d[0] * out.lattice[c] + d[1] * out.lattice[3 + c] + d[2] * out.lattice[6 + c];
        r2 += x * x;
      }
      if (r2 < kMergeDistance * kMergeDistance) return;
    }
    frac.insert(frac.end(), f, f + 3);
    z.push_back(element);
  };
  for (std::size_t a = 0; a < listed; ++a) {
    const std::array<double, 3> xyz{out.frac[3 * a], out.frac[3 * a + 1], out.frac[3 * a + 2]};
    add(xyz.data(), out.z[a]);
    for (const gemmi::Op& op : ops) {
      auto image = op.apply_to_xyz(xyz);
      for (double& f : image) f -= std::floor(f);
      add(image.data(), out.z[a]);
    }
  }
  out.frac = std::move(frac);
  out.z = std::move(z);
}

void read_atoms(const gemmi::cif::Loop& loop, Crystal& out) {
  int fract[3] = {-1, -1, -1}, symbol = -1, label = -1, occupancy = -1;
  for (std::size_t c = 0; c < loop.tags.size(); ++c) {
    const std::string& tag = loop.tags[c];
    const int column = static_cast<int>(c);
    if (same_tag(tag, "_atom_site_fract_x")) fract[0] = column;
    if (same_tag(tag, "_atom_site_fract_y")) fract[1] = column;
    if (same_tag(tag, "_atom_site_fract_z")) fract[2] = column;
    if (same_tag(tag, "_atom_site_type_symbol")) symbol = column;
    if (same_tag(tag, "_atom_site_label")) label = column;
    if (same_tag(tag, "_atom_site_occupancy")) occupancy = column;
  }
  if (fract[1] < 0 || fract[2] < 0) throw Error(Exit::data, "the atom loop lacks _atom_site_fract_y or _z");
  if (symbol < 0 && label < 0) throw Error(Exit::data, "the atom loop has neither _atom_site_type_symbol nor _atom_site_label");
  const std::size_t n = loop.length();
  if (n == 0) throw Error(Exit::data, "no atoms");
  out.frac.reserve(3 * n);
  out.z.reserve(n);
  for (std::size_t row = 0; row < n; ++row) {
    std::string_view name = symbol >= 0 ? unquote(loop.val(row, symbol)) : std::string_view{};
    const bool by_label = name.empty() || is_null(name);
    if (by_label && label >= 0) name = unquote(loop.val(row, label));
    const int z = by_label ? atomic_number_of_label(name) : atomic_number(name);
    if (z == 0) throw Error(Exit::data, fmt::format("unknown element {} (atom {})", quote_for_message(name), row + 1));
    if (occupancy >= 0 && !is_null(loop.val(row, occupancy))) {
      const double share = number(loop.val(row, occupancy), "an occupancy");
      if (std::abs(share - 1) > 1e-6) {
        throw Error(Exit::data, fmt::format("partial occupancy {} of atom {} ({})", share, row + 1, element_symbol(z)));
      }
    }
    for (int c = 0; c < 3; ++c) out.frac.push_back(number(loop.val(row, fract[c]), "a coordinate"));
    out.z.push_back(static_cast<std::uint8_t>(z));
  }
}

}  // namespace

std::array<double, 9> lattice_from_parameters(double a, double b, double c, double alpha, double beta, double gamma) {
  constexpr double kDegree = 3.141592653589793 / 180;
  const double al = alpha * kDegree, be = beta * kDegree, ga = gamma * kDegree;
  const double value = (std::cos(al) * std::cos(be) - std::cos(ga)) / (std::sin(al) * std::sin(be));
  const double g = std::acos(std::clamp(value, -1.0, 1.0));
  return {a * std::sin(be),
          0,
          a * std::cos(be),
          -b * std::sin(al) * std::cos(g),
          b * std::sin(al) * std::sin(g),
          b * std::cos(al),
          0,
          0,
          c};
}

void parse_cif(std::string_view text, Crystal& out) {
  gemmi::cif::Document document;
  try {
    document = gemmi::cif::read_memory(text.data(), text.size(), "CIF");
  } catch (const std::exception& error) {
    throw Error(Exit::data, fmt::format("unreadable CIF: {}", quote_for_message(error.what(), 160)));
  }
  for (const auto& block : document.blocks) {
    const BlockView view(block);
    if (!view.atoms) continue;
    static constexpr const char* kNames[6] = {"cell length a",    "cell length b",   "cell length c",
                                              "cell angle alpha", "cell angle beta", "cell angle gamma"};
    double p[6];
    for (int i = 0; i < 6; ++i) {
      if (!view.cell[i]) throw Error(Exit::data, fmt::format("no {} in the CIF", kNames[i]));
      p[i] = number(*view.cell[i], kNames[i]);
      const bool fits = i < 3 ? p[i] > 0 : p[i] > 0 && p[i] < 180;
      if (!fits) throw Error(Exit::data, fmt::format("{} is {}, outside {}", kNames[i], p[i], i < 3 ? "(0, inf)" : "(0, 180)"));
    }
    out.lattice = lattice_from_parameters(p[0], p[1], p[2], p[3], p[4], p[5]);
    out.frac.clear();
    out.z.clear();
    read_atoms(*view.atoms, out);
    const auto ops = operations_of(view, p + 3);
    if (!ops.empty()) expand(ops, out);
    return;
  }
  throw Error(Exit::data, document.blocks.empty() ? "the CIF is empty" : "no atoms with fractional coordinates in the CIF");
}

std::string cif_library() { return "gemmi " GEMMI_VERSION; }

}  // namespace gnn_hpc
