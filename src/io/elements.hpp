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

/// Atomic number of an atom label (`Fe1`, `OW2`, `C13A`): the longest leading element whose second letter is lower case.
int atomic_number_of_label(std::string_view label);

}  // namespace gnn_hpc
