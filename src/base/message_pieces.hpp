// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace gnn_hpc {

/// Counts and displacements of MPI are int; so sums, broadcasts and gathers of class Comm go in pieces of at most this many elements (2^28),
/// the same on all ranks, and their length is not limited. For tests, which cannot move 2^31 elements.
void set_largest_message(std::size_t elements);
inline constexpr std::size_t kLargestMessage = std::size_t{1} << 28;

}  // namespace gnn_hpc
