// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/molecule.hpp"

#include <cstdint>
#include <span>

namespace gnn_hpc::dmpnn {

inline constexpr int kAtomFeatures = 72, kBondFeatures = 14;

/// Columns of an atom row that depend on the order of the text: clockwise seen from which neighbour?
inline constexpr int kChiralityBegin = 51, kChiralityEnd = 56;

/// Atoms and bonds as packed positions of their one-hot blocks (specification, section 2.2): what caches hold. Equal codes and masses,
/// equal feature rows; a code is below 2^20.
///
/// Atom row [72]: atomic number 1..36, 53, other | total degree 0..5, other | charge -1, -2, 1, 2, 0, other | chirality 0..3, other |
/// hydrogens 0..4, other | hybridisation S SP SP2 SP2D SP3 SP3D SP3D2 other | aromatic | mass / 100.
/// Bond row [14]: no bond (never set) | single double triple aromatic (others: none set) | conjugated | in a ring | stereo 0..5, other.
std::int32_t atom_code(const MoleculeAtom& atom);
std::int32_t bond_code(const MoleculeBond& bond);

/// The rows of codes that `atom_code` and `bond_code` gave.
/// @param mass of the atom, in unified atomic mass units
void write_atom_features(std::int32_t code, double mass, std::span<double, kAtomFeatures> row);
void write_bond_features(std::int32_t code, std::span<double, kBondFeatures> row);

}  // namespace gnn_hpc::dmpnn
