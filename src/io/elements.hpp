// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace gnn_hpc {

inline constexpr int kLargestZ = 103;  ///< Lr: the heaviest element the readers accept

/// Symbol of element 1..103; empty for any other number.
std::string_view element_symbol(int z);

/// Atomic number of an element symbol as files write it, 0 if there is none. Case does not matter (`FE`), a charge or a
/// number may follow (`Fe3+`, `O2-`, `Fe+3`, `C12`), D and T are hydrogen. Anything else after the symbol (`Wat`, `Uiso`) is no
/// element.
int atomic_number(std::string_view symbol);

/// What an atom label without a type symbol can mean, as atomic numbers; 0: not that.
///   `Fe1`, `Ca2A`  case tells: two letters        `C13A`, `O(2)`  one letter
///   `FE1`, `CO2`, `NA1`  both: Fe or F, Co or C, Na or N; only the file's formula can tell
///   `OW2`, `HA`  one letter, as Ow and Ha are no elements
///   `Wat1`, `WAT1`, `Ow`, `OXT`, `T1`, `M1`  none: no element, a word, or the usual name of a kind of site
struct LabelReading {
  int two_letters = 0, one_letter = 0;
};
LabelReading read_label(std::string_view label);

}  // namespace gnn_hpc
