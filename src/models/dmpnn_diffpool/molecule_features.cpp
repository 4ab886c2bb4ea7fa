// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/molecule_features.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <array>

namespace gnn_hpc::dmpnn {

namespace {

/// Sizes of the one-hot blocks, "other" included, in the order of the row.
constexpr std::array<int, 6> kAtomBlocks{38, 7, 6, 5, 6, 8};
constexpr int kStereo = 7;
constexpr int kOrders = 5;  // none of the four, single, double, triple, aromatic

int up_to(int value, int largest) { return value >= 0 && value <= largest ? value : largest + 1; }

int atomic_number_place(int z) {
  if (z >= 1 && z <= 36) return z - 1;
  return z == 53 ? 36 : 37;
}

int charge_place(int charge) {
  constexpr std::array<int, 5> kCharges{-1, -2, 1, 2, 0};
  return static_cast<int>(std::find(kCharges.begin(), kCharges.end(), charge) - kCharges.begin());
}

int order_place(BondOrder order) {
  switch (order) {
    case BondOrder::single:
      return 1;
    case BondOrder::twofold:
      return 2;
    case BondOrder::triple:
      return 3;
    case BondOrder::aromatic:
      return 4;
    case BondOrder::other:
      break;
  }
  return 0;
}

}  // namespace

std::int32_t atom_code(const MoleculeAtom& atom) {
  const std::array<int, 6> places{
      atomic_number_place(atom.atomic_number), up_to(atom.degree, 5), charge_place(atom.charge), up_to(atom.chirality, 3), up_to(atom.hydrogens, 4),
      static_cast<int>(atom.hybridisation)};
  std::int32_t code = 0;
  for (std::size_t b = 0; b < places.size(); ++b) code = code * kAtomBlocks[b] + places[b];
  return 2 * code + (atom.aromatic ? 1 : 0);
}

std::int32_t bond_code(const MoleculeBond& bond) {
  return ((order_place(bond.order) * 2 + (bond.conjugated ? 1 : 0)) * 2 + (bond.in_ring ? 1 : 0)) * kStereo + up_to(bond.stereo, 5);
}

void write_atom_features(std::int32_t code, double mass, std::span<double, kAtomFeatures> row) {
  std::fill(row.begin(), row.end(), 0.0);
  row[70] = code % 2;
  code /= 2;
  std::size_t end = 70;
  for (std::size_t b = kAtomBlocks.size(); b-- > 0;) {
    const int size = kAtomBlocks[b];
    end -= static_cast<std::size_t>(size);
    row[end + static_cast<std::size_t>(code % size)] = 1.0;
    code /= size;
  }
  GNN_HPC_REQUIRE(code == 0 && end == 0, "no atom code: {} left", code);
  row[71] = 0.01 * mass;
}

void write_bond_features(std::int32_t code, std::span<double, kBondFeatures> row) {
  std::fill(row.begin(), row.end(), 0.0);
  row[7 + static_cast<std::size_t>(code % kStereo)] = 1.0;
  code /= kStereo;
  row[6] = code % 2;
  row[5] = code / 2 % 2;
  code /= 4;
  GNN_HPC_REQUIRE(code >= 0 && code < kOrders, "no bond code: {} left", code);
  if (code > 0) row[static_cast<std::size_t>(code)] = 1.0;
}

}  // namespace gnn_hpc::dmpnn
