// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "io/structure.hpp"

namespace gnn_hpc {

/// No two atoms of a solid or a molecule are closer (the shortest bond, H-H, has 0.74 angstrom). Closer pairs come from a wrong
/// symmetry or cell, from sites listed twice, or from alternatives of a disordered structure.
inline constexpr double kClosestAtoms = 0.5;

struct ClosePair {
  std::size_t first = 0, second = 0;  ///< atoms, first <= second; equal: an atom and its own periodic image
  double distance = 0.0;              ///< angstrom
};

/// The closest two atoms if they are closer than `below` (angstrom), every periodic image included, in a cell of any shape.
/// Exact; the time grows as N log N plus the pairs within `below` along the first axis.
/// Throws Error(Exit::data) for a cell so flat that its planes are closer than `below` / 32000.
std::optional<ClosePair> closest_pair(const Crystal& crystal, double below);

/// What every reader's crystal must be; each reader ends with it: at least one atom, elements 1..103, finite numbers, a cell with
/// volume, fractional coordinates within 1e6, no two atoms closer than kClosestAtoms.
/// @param name what a message calls an atom; empty: its number and element
/// Throws Error(Exit::data) with the reason.
void check_structure(const Crystal& crystal, const std::function<std::string(std::size_t)>& name = {});

}  // namespace gnn_hpc
