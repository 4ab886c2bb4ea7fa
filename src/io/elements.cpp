// SPDX-License-Identifier: Apache-2.0
#include "io/elements.hpp"

#include <array>
#include <cctype>
#include <cstdint>

namespace gnn_hpc {
namespace {

constexpr std::array<std::string_view, kLargestZ> kSymbols = {
    "H",  "He", "Li", "Be", "B",  "C",  "N",  "O",  "F",  "Ne", "Na", "Mg", "Al", "Si", "P",  "S",  "Cl", "Ar", "K",  "Ca", "Sc",
    "Ti", "V",  "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr", "Y",  "Zr", "Nb", "Mo",
    "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I",  "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu",
    "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W",  "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po",
    "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U",  "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr"};

/// Symbol letters (second one may be absent) -> atomic number.
constexpr auto kTable = [] {
  std::array<std::uint8_t, 26 * 27> table{};
  for (int z = 1; z <= kLargestZ; ++z) {
    const std::string_view s = kSymbols[z - 1];
    table[(s[0] - 'A') * 27 + (s.size() > 1 ? s[1] - 'a' + 1 : 0)] = static_cast<std::uint8_t>(z);
  }
  table[('D' - 'A') * 27] = 1;
  table[('T' - 'A') * 27] = 1;
  return table;
}();

bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
int look_up(char first, char second) { return kTable[((first & ~0x20) - 'A') * 27 + (second ? (second | 0x20) - 'a' + 1 : 0)]; }

}  // namespace

std::string_view element_symbol(int z) { return z >= 1 && z <= kLargestZ ? kSymbols[z - 1] : std::string_view{}; }

int atomic_number(std::string_view s) {
  if (s.empty() || !letter(s[0])) return 0;
  const bool two = s.size() > 1 && letter(s[1]);
  for (const char c : s.substr(two ? 2 : 1)) {
    if (!(c >= '0' && c <= '9') && c != '+' && c != '-') return 0;
  }
  return look_up(s[0], two ? s[1] : '\0');
}

LabelReading read_label(std::string_view s) {
  LabelReading out;
  if (s.empty() || !letter(s[0])) return out;
  std::size_t run = 1;
  while (run < s.size() && letter(s[run])) ++run;
  const auto upper = [&](std::size_t i) { return s[i] <= 'Z'; };
  if (run == 1) {
    out.one_letter = (s[0] | 0x20) == 't' ? 0 : look_up(s[0], '\0');
    return out;
  }
  out.two_letters = look_up(s[0], s[1]);
  if (upper(0) && !upper(1)) return out;  // Fe1, Ca2A; Wat1 and Ow are none
  if (run > 2) return LabelReading{};     // WAT1, OXT: a word
  out.one_letter = look_up(s[0], '\0');
  return out;
}

}  // namespace gnn_hpc
