// SPDX-License-Identifier: Apache-2.0
#include "io/cif.hpp"

#include <algorithm>
#include <cmath>
#include <gemmi/cif.hpp>
#include <gemmi/version.hpp>

#include "base/error.hpp"
#include "io/chemical_formula.hpp"
#include "io/cif_view.hpp"
#include "io/elements.hpp"
#include "io/expand_sites.hpp"
#include "io/space_group.hpp"
#include "io/structure_check.hpp"
#include "io/text_source.hpp"

namespace gnn_hpc {
namespace {

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

/// The operations of a list beyond the identity.
std::vector<SymmetryOperation> parse_operations(const std::vector<CifView::Value>& texts) {
  std::vector<SymmetryOperation> out;
  for (const std::string* text : texts) {
    const std::string_view plain = unquote(*text);
    if (is_identity(plain)) continue;  // spares the reader of the many files written as P1
    const SymmetryOperation operation = parse_operation(plain);
    if (!operation.is_identity()) out.push_back(operation);
  }
  return out;
}

bool contains(const std::vector<SymmetryOperation>& list, const SymmetryOperation& operation) {
  return std::any_of(list.begin(), list.end(), [&](const SymmetryOperation& o) { return same_operation(o, operation); });
}

bool same_operations(const std::vector<SymmetryOperation>& a, const std::vector<SymmetryOperation>& b) {
  const auto within = [](const auto& part, const auto& whole) {
    return std::all_of(part.begin(), part.end(), [&](const SymmetryOperation& o) { return contains(whole, o); });
  };
  return within(a, b) && within(b, a);
}

/// The operations that the file lists, without the identity.
std::vector<SymmetryOperation> listed_operations(const CifView& view) {
  if (!view.magnetic_operations.empty()) {
    std::vector<SymmetryOperation> out = parse_operations(view.magnetic_operations);
    const std::size_t count = out.size();
    for (const SymmetryOperation& centring : parse_operations(view.magnetic_centrings)) {
      out.push_back(centring);
      for (std::size_t i = 0; i < count; ++i) out.push_back(centring * out[i]);
    }
    return out;
  }
  std::vector<SymmetryOperation> out = parse_operations(view.operations), old = parse_operations(view.old_operations);
  if (view.operations.empty()) return old;
  if (!view.old_operations.empty() && !same_operations(out, old)) {
    throw Error(Exit::data, "_space_group_symop_operation_xyz and _symmetry_equiv_pos_as_xyz list different operations");
  }
  return out;
}

bool is_p1(std::string_view name) { return name == "P 1" || name == "P1"; }

/// The space group by its names. Files carry the name under several tags; where one of them tells the setting, that one counts.
std::vector<SymmetryOperation> named_operations(const CifView& view, const std::array<double, 9>& lattice) {
  SpaceGroupClues clues;
  const auto text = [](const std::string* value) { return value ? unquote(*value) : std::string_view{}; };
  clues.hall = text(view.hall);
  clues.number = text(view.group_number);
  clues.code = text(view.code);
  if (view.names.empty()) return operations_of_group(clues, lattice);
  std::vector<SymmetryOperation> found;
  std::string failure, known;
  for (const std::string* name : view.names) {
    clues.hermann_mauguin = unquote(*name);
    std::vector<SymmetryOperation> operations;
    try {
      operations = operations_of_group(clues, lattice);
    } catch (const Error& error) {  // another name may tell more
      if (failure.empty()) failure = error.what();
      continue;
    }
    if (!found.empty() && !same_operations(found, operations)) {
      throw Error(Exit::data, fmt::format("the space group is called {} and {}, which differ", quote_for_message(known),
                                          quote_for_message(clues.hermann_mauguin)));
    }
    known = std::string(clues.hermann_mauguin);
    found = std::move(operations);
  }
  if (found.empty()) throw Error(Exit::data, failure);
  return found;
}

/// The operations beyond the identity; empty = P1.
std::vector<SymmetryOperation> operations_of(const CifView& view, const std::array<double, 9>& lattice, bool& listed) {
  listed = !(view.operations.empty() && view.old_operations.empty() && view.magnetic_operations.empty());
  std::vector<SymmetryOperation> out;
  if (listed) {
    out = listed_operations(view);
  } else if (view.hall || view.group_number || !view.names.empty()) {
    const bool p1 = !view.hall && !view.names.empty() &&
                    std::all_of(view.names.begin(), view.names.end(), [](const std::string* name) { return is_p1(unquote(*name)); }) &&
                    (!view.group_number || unquote(*view.group_number) == "1");
    if (!p1) out = named_operations(view, lattice);
    if (!out.empty()) out.erase(out.begin());
  } else if (!view.unread_symmetry.empty()) {
    throw Error(Exit::data, fmt::format("the symmetry is told by {} alone, which is not understood; list the operations", view.unread_symmetry));
  }
  for (const SymmetryOperation& operation : out) {
    if (!keeps_metric(operation, lattice)) {
      throw Error(Exit::data, fmt::format("symmetry operation {} does not map the cell onto itself (R'GR = G)", operation.text()));
    }
  }
  return out;
}

/// Columns of the loop of atoms and what its rows say.
class Atoms {
 public:
  Atoms(const CifView& view, const DeclaredContents& declared) : loop_(*view.atoms), known_(declared.formula) {
    for (std::size_t c = 0; c < loop_.tags.size(); ++c) find_column(loop_.tags[c], static_cast<int>(c));
    if (fract_[1] < 0 || fract_[2] < 0) throw Error(Exit::data, "the atom loop lacks _atom_site_fract_y or _z");
    if (symbol_ < 0 && label_ < 0) throw Error(Exit::data, "the atom loop has neither _atom_site_type_symbol nor _atom_site_label");
    if (known_ || symbol_ >= 0) return;
    for (const std::string* type : view.atom_types) {
      const int z = atomic_number(unquote(*type));
      if (z == 0) continue;
      if (!known_) known_.emplace().fill(0);
      (*known_)[static_cast<std::size_t>(z)] = 1;
    }
  }

  /// Fills frac and z of `out` with the sites that are listed.
  void read(Crystal& out) {
    const std::size_t n = loop_.length();
    out.frac.reserve(3 * n);
    out.z.reserve(n);
    rows_.reserve(n);
    for (std::size_t row = 0; row < n; ++row) {
      if (flag_ >= 0 && unquote(value(row, flag_)) == "dum") continue;  // a dummy site is no atom
      check_whole(row);
      const int z = element(row);
      for (const int column : fract_) out.frac.push_back(cif_number(value(row, column), "a coordinate"));
      out.z.push_back(static_cast<std::uint8_t>(z));
      rows_.push_back(row);
    }
    if (rows_.empty()) throw Error(Exit::data, "no atoms");
  }

  /// "Fe1 (Fe)", or "atom 3 (Fe)" without a label.
  std::string name(std::size_t site, int z) const {
    const std::string_view label = label_ >= 0 ? unquote(value(rows_[site], label_)) : std::string_view{};
    if (label.empty() || is_null(label)) return fmt::format("atom {} ({})", rows_[site] + 1, element_symbol(z));
    return fmt::format("{} ({})", label.substr(0, 40), element_symbol(z));
  }

  std::vector<Site> sites(const Crystal& listed) const {
    std::vector<Site> out;
    for (std::size_t s = 0; s < rows_.size(); ++s) {
      Site site{{listed.frac[3 * s], listed.frac[3 * s + 1], listed.frac[3 * s + 2]}, {}, listed.z[s], name(s, listed.z[s])};
      for (std::size_t c = 0; c < 3; ++c) site.resolution[c] = cif_resolution(value(rows_[s], fract_[c]));
      out.push_back(std::move(site));
    }
    return out;
  }

 private:
  void find_column(const std::string& tag, int column) {
    if (same_tag(tag, "_atom_site_fract_x")) fract_[0] = column;
    if (same_tag(tag, "_atom_site_fract_y")) fract_[1] = column;
    if (same_tag(tag, "_atom_site_fract_z")) fract_[2] = column;
    if (same_tag(tag, "_atom_site_type_symbol")) symbol_ = column;
    if (same_tag(tag, "_atom_site_label")) label_ = column;
    if (same_tag(tag, "_atom_site_occupancy")) occupancy_ = column;
    if (same_tag(tag, "_atom_site_disorder_group")) group_ = column;
    if (same_tag(tag, "_atom_site_attached_hydrogens")) hydrogens_ = column;
    if (same_tag(tag, "_atom_site_calc_flag")) flag_ = column;
  }

  const std::string& value(std::size_t row, int column) const { return loop_.val(row, static_cast<std::size_t>(column)); }

  /// A site that is there all the time, once, with its hydrogen atoms.
  void check_whole(std::size_t row) {
    if (occupancy_ >= 0 && !is_null(value(row, occupancy_))) {
      const double share = cif_number(value(row, occupancy_), "an occupancy");
      if (std::abs(share - 1) > 1e-6) throw Error(Exit::data, fmt::format("partial occupancy {} of {}", share, row_name(row)));
    }
    if (hydrogens_ >= 0 && !is_null(value(row, hydrogens_)) && cif_number(value(row, hydrogens_), "a number of attached hydrogen atoms") > 0) {
      throw Error(Exit::data, fmt::format("hydrogen atoms attached to {} have no coordinates (_atom_site_attached_hydrogens)", row_name(row)));
    }
    if (group_ < 0) return;
    const std::string_view group = unquote(value(row, group_));
    if (group.empty() || is_null(group) || group == "0") return;
    if (first_group_.empty()) first_group_ = group;
    if (group[0] == '-') throw Error(Exit::data, fmt::format("{} is disordered about a special position (disorder group {})", row_name(row), group));
    if (group != first_group_) {
      throw Error(Exit::data, fmt::format("disorder groups {} and {} are alternatives, not one structure", first_group_, group));
    }
  }

  std::string row_name(std::size_t row) const {
    return label_ >= 0 ? fmt::format("{} (atom {})", quote_for_message(unquote(value(row, label_))), row + 1) : fmt::format("atom {}", row + 1);
  }

  int element(std::size_t row) const {
    const std::string_view symbol = symbol_ >= 0 ? unquote(value(row, symbol_)) : std::string_view{};
    if (!symbol.empty() && !is_null(symbol)) {
      const int z = atomic_number(symbol);
      if (z == 0) throw Error(Exit::data, fmt::format("unknown element {} (atom {})", quote_for_message(symbol), row + 1));
      return z;
    }
    if (label_ < 0) throw Error(Exit::data, fmt::format("unknown element {} (atom {})", quote_for_message(symbol), row + 1));
    const std::string_view label = unquote(value(row, label_));
    const LabelReading reading = read_label(label);
    const int one = reading.one_letter, two = reading.two_letters;
    if (one == 0 && two == 0) throw Error(Exit::data, fmt::format("unknown element in label {} (atom {})", quote_for_message(label), row + 1));
    if (one == 0 || two == 0) return one + two;
    const auto present = [&](int z) { return known_ && (*known_)[static_cast<std::size_t>(z)] > 0; };
    if (present(one) != present(two)) return present(one) ? one : two;
    throw Error(Exit::data, fmt::format("label {} (atom {}) can be {} or {}; give _atom_site_type_symbol, or _chemical_formula_sum with one of them",
                                        quote_for_message(label), row + 1, element_symbol(two), element_symbol(one)));
  }

  const gemmi::cif::Loop& loop_;
  std::optional<ElementCounts> known_;  ///< elements that the formula, else the list of atom types, names
  int fract_[3] = {-1, -1, -1}, symbol_ = -1, label_ = -1, occupancy_ = -1, group_ = -1, hydrogens_ = -1, flag_ = -1;
  std::vector<std::size_t> rows_;  ///< of the sites
  std::string first_group_;
};

/// Replaces the listed sites by all their images; returns which site each atom is of.
std::vector<std::int32_t> expand(const std::vector<SymmetryOperation>& operations, bool listed, const Atoms& atoms, Crystal& out) {
  const std::vector<Site> sites = atoms.sites(out);
  const std::vector<SymmetryOperation> group = generate_group(operations);
  if (group.empty()) throw Error(Exit::data, "the symmetry operations generate more than 1000 others: they are no space group's");
  ExpandedSites all = expand_sites(sites, group, out.lattice);
  if (listed && group.size() > operations.size() + 1) {
    // Incomplete lists are fine as long as nothing is missing for these sites: every atom must be an image under a listed operation.
    for (std::size_t a = 0; a < all.z.size(); ++a) {
      const auto& site = sites[static_cast<std::size_t>(all.site[a])];
      const auto reached = [&](const SymmetryOperation& operation) {
        const auto image = operation.apply(site.frac);
        double squared = 0;
        for (std::size_t c = 0; c < 3; ++c) {
          double x = 0;
          for (std::size_t k = 0; k < 3; ++k) {
            const double d = image[k] - all.frac[3 * a + k];
            x += (d - std::round(d)) * out.lattice[3 * k + c];
          }
          squared += x * x;
        }
        return squared < kClosestAtoms * kClosestAtoms;
      };
      if (reached(SymmetryOperation{}) || std::any_of(operations.begin(), operations.end(), reached)) continue;
      throw Error(Exit::data,
                  fmt::format("the {} listed symmetry operations are no group: their products give atoms that they do not give themselves "
                              "(images of {}); list all {}",
                              operations.size() + 1, site.label, group.size()));
    }
  }
  out.frac = std::move(all.frac);
  out.z = std::move(all.z);
  return std::move(all.site);
}

DeclaredContents contents_of(const CifView& view) {
  DeclaredContents out;
  if (view.formula) {
    out.formula_as_written = std::string(unquote(*view.formula));
    out.formula = parse_formula(out.formula_as_written);
  }
  if (view.units) out.units = cif_number(*view.units, "the number of formula units Z");
  if (out.units && !(*out.units > 0)) out.units.reset();  // pymatgen's 0, where its sum is less than its structural formula, says nothing
  out.sum_may_be_of_cell = view.structural_formula != nullptr;
  return out;
}

std::array<double, 9> lattice_of(const CifView& view) {
  static constexpr const char* kNames[6] = {"cell length a",    "cell length b",   "cell length c",
                                            "cell angle alpha", "cell angle beta", "cell angle gamma"};
  double p[6];
  for (int i = 0; i < 6; ++i) {
    if (!view.cell[i]) throw Error(Exit::data, fmt::format("no {} in the CIF", kNames[i]));
    p[i] = cif_number(*view.cell[i], kNames[i]);
    const bool fits = i < 3 ? p[i] > 0 : p[i] > 0 && p[i] < 180;
    if (!fits) throw Error(Exit::data, fmt::format("{} is {}, outside {}", kNames[i], p[i], i < 3 ? "(0, inf)" : "(0, 180)"));
  }
  return lattice_from_parameters(p[0], p[1], p[2], p[3], p[4], p[5]);
}

void read_block(const CifView& view, Crystal& out) {
  out.lattice = lattice_of(view);
  out.frac.clear();
  out.z.clear();
  const DeclaredContents declared = contents_of(view);
  Atoms atoms(view, declared);
  atoms.read(out);
  bool listed = false;
  const auto operations = operations_of(view, out.lattice, listed);
  std::vector<std::int32_t> site;
  if (!operations.empty()) site = expand(operations, listed, atoms, out);
  check_structure(out, [&](std::size_t a) {
    if (site.empty()) return atoms.name(a, out.z[a]);
    const auto s = static_cast<std::size_t>(site[a]);
    return (a > 0 && site[a - 1] == site[a] ? "an image of " : "") + atoms.name(s, out.z[a]);
  });
  check_contents(out.z, declared);
}

}  // namespace

std::array<double, 9> lattice_from_parameters(double a, double b, double c, double alpha, double beta, double gamma) {
  constexpr double kDegree = 3.141592653589793 / 180;
  const double al = alpha * kDegree, be = beta * kDegree, ga = gamma * kDegree;
  const double value = (std::cos(al) * std::cos(be) - std::cos(ga)) / (std::sin(al) * std::sin(be));
  const double g = std::acos(std::clamp(value, -1.0, 1.0));
  return {a * std::sin(be), 0, a * std::cos(be), -b * std::sin(al) * std::cos(g), b * std::sin(al) * std::sin(g), b * std::cos(al), 0, 0, c};
}

void parse_cif(std::string_view text, Crystal& out) {
  gemmi::cif::Document document;
  try {
    document = gemmi::cif::read_memory(text.data(), text.size(), "CIF");
  } catch (const std::exception& error) {
    throw Error(Exit::data, fmt::format("unreadable CIF: {}", quote_for_message(error.what(), 160)));
  }
  bool read = false;
  for (const auto& block : document.blocks) {
    const CifView view(block);
    if (!view.atoms) continue;
    if (read)
      throw Error(Exit::data,
                  fmt::format("more than one structure in the CIF (block {} is another); one is expected", quote_for_message(block.name)));
    read_block(view, out);
    read = true;
  }
  if (!read) throw Error(Exit::data, document.blocks.empty() ? "the CIF is empty" : "no atoms with fractional coordinates in the CIF");
}

std::string cif_library() { return "gemmi " GEMMI_VERSION; }

}  // namespace gnn_hpc
