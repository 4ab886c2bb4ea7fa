// SPDX-License-Identifier: Apache-2.0
#include "io/chemical_formula.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "io/text_source.hpp"

namespace gnn_hpc {
namespace {

bool upper(char c) { return c >= 'A' && c <= 'Z'; }
bool lower(char c) { return c >= 'a' && c <= 'z'; }

bool equals_times(const ElementCounts& atoms, const ElementCounts& formula, double units) {
  for (std::size_t z = 1; z < atoms.size(); ++z) {
    if (atoms[z] == 0 && formula[z] == 0) continue;
    const double open = formula[z] == std::round(formula[z]) ? 1e-6 : 0.0051 * units;
    if (atoms[z] == 0 || formula[z] == 0 || std::abs(atoms[z] - units * formula[z]) > open) return false;
  }
  return true;
}

bool divides(double units, const ElementCounts& atoms) {
  return std::all_of(atoms.begin(), atoms.end(), [units](double n) { return n == 0 || std::fmod(n, units) == 0; });
}

}  // namespace

std::optional<ElementCounts> parse_formula(std::string_view text) {
  ElementCounts out{};
  bool any = false;
  for (std::size_t p = 0; p < text.size();) {
    if (text[p] == ' ' || text[p] == '\t' || text[p] == '\r' || text[p] == '\n') {
      ++p;
      continue;
    }
    if (!upper(text[p])) return std::nullopt;
    const std::size_t letters = p + 1 < text.size() && lower(text[p + 1]) ? 2 : 1;
    const int z = atomic_number(text.substr(p, letters));
    if (z == 0) return std::nullopt;
    p += letters;
    const std::size_t begin = p;
    while (p < text.size() && ((text[p] >= '0' && text[p] <= '9') || text[p] == '.')) ++p;
    const auto count = p == begin ? std::optional<double>(1) : parse_number(text.substr(begin, p - begin));
    if (!count) return std::nullopt;
    out[static_cast<std::size_t>(z)] += *count;
    any = any || *count > 0;
  }
  return any ? std::optional<ElementCounts>(out) : std::nullopt;
}

std::string formula_text(const ElementCounts& counts) {
  std::string out;
  for (std::size_t z = 1; z < counts.size(); ++z) {
    if (counts[z] > 0) out += fmt::format("{}{}{:.6g}", out.empty() ? "" : " ", element_symbol(static_cast<int>(z)), counts[z]);
  }
  return out;
}

void check_contents(const std::vector<std::uint8_t>& z, const DeclaredContents& declared) {
  if (!declared.formula) return;
  const ElementCounts& formula = *declared.formula;
  ElementCounts atoms{};
  for (const std::uint8_t element : z) ++atoms[element];
  if (declared.units) {
    if (equals_times(atoms, formula, *declared.units)) return;
    if (declared.sum_may_be_of_cell && equals_times(atoms, formula, 1) && divides(*declared.units, atoms)) return;
  } else {
    const auto most = static_cast<std::size_t>(std::max_element(formula.begin(), formula.end()) - formula.begin());
    if (equals_times(atoms, formula, atoms[most] / formula[most])) return;
  }
  const std::string units = declared.units ? fmt::format(" with _cell_formula_units_Z {:.6g}", *declared.units) : std::string();
  throw Error(Exit::data, fmt::format("the cell holds {} after its symmetry is applied, but _chemical_formula_sum is {}{}: atoms are missing or "
                                      "doubled, or the space group's setting is another",
                                      formula_text(atoms), quote_for_message(declared.formula_as_written), units));
}

}  // namespace gnn_hpc
