// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "io/symmetry_operation.hpp"

namespace gnn_hpc {

/// What a file says about its space group when it lists no operations; what it does not say is empty.
struct SpaceGroupClues {
  std::string_view hall;             ///< Hall symbol: settles operations, axes and origin alone
  std::string_view hermann_mauguin;  ///< name with or without blanks; short or full monoclinic (`P 21/c`, `P 1 21/c 1`); `P2(1)/c`, `P 2_1/c`
  std::string_view number;           ///< 1..230
  std::string_view code;             ///< IT coordinate system code: `1`, `2`, `h`, `r`, `b1`, `-c2`, `cab`, `2cab`, ...
  bool any() const { return !(hall.empty() && hermann_mauguin.empty() && number.empty() && code.empty()); }
};

/// The operations of the space group in the setting that the file means, identity first.
///
/// Candidates are the settings of the International Tables that agree with the name, the number, the code, and the choice that a
/// name ends with (`:1`, `:2`, `:H`, `:R`; ICSD's `S` and `Z` for the origins 1 and 2, `H`, `HR` and `R`, `RS` for the axes). Those
/// whose operations do not keep the metric of the cell are none: hexagonal or rhombohedral axes and the unique axis of a monoclinic
/// cell settle themselves. What then remains must be one setting. Two origins, two cell choices, or a number without a name where
/// the axes could be named otherwise are refused, never guessed. Throws Error(Exit::data) naming what could be meant, or that name,
/// number and Hall symbol contradict each other, or do not fit the cell.
std::vector<SymmetryOperation> operations_of_group(const SpaceGroupClues& clues, const std::array<double, 9>& lattice);

}  // namespace gnn_hpc
