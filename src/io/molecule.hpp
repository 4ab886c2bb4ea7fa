// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace gnn_hpc {

enum class Hybridisation : std::uint8_t { s, sp, sp2, sp2d, sp3, sp3d, sp3d2, other };
enum class BondOrder : std::uint8_t { single, twofold, triple, aromatic, other };

/// What chemistry says about an atom of a molecule; a wildcard (`*`) has atomic number 0 and mass 0.
struct MoleculeAtom {
  int atomic_number = 0;
  int degree = 0;     ///< bonds plus implicit and explicit hydrogen atoms
  int charge = 0;     ///< formal
  int chirality = 0;  ///< 0 unspecified, 1 clockwise, 2 counterclockwise, 3 other, larger: kinds beyond the tetrahedron
  int hydrogens = 0;  ///< implicit and explicit, those that are atoms of their own left out
  Hybridisation hybridisation = Hybridisation::other;
  bool aromatic = false;
  double mass = 0.0;  ///< unified atomic mass units; of the isotope where one is given
};

struct MoleculeBond {
  std::int32_t begin = 0, end = 0;  ///< atoms
  BondOrder order = BondOrder::other;
  bool conjugated = false, in_ring = false;
  int stereo = 0;         ///< 0 none, 1 any, 2 Z, 3 E, 4 cis, 5 trans, larger: others
  double forward = 1.0;   ///< weight of begin -> end in an ensemble of chains
  double backward = 1.0;  ///< weight of end -> begin
};

/// A molecule, or the repeat units of a stochastic polymer, in the order of its text.
struct Molecule {
  std::vector<MoleculeAtom> atoms;
  std::vector<MoleculeBond> bonds;
  std::vector<double> atom_weight;        ///< [atoms] share of the atom's fragment; empty for a plain molecule
  double degree_of_polymerisation = 1.0;  ///< 1 + log10(Xn)

  void clear() {
    atoms.clear();
    bonds.clear();
    atom_weight.clear();
    degree_of_polymerisation = 1.0;
  }
};

}  // namespace gnn_hpc
