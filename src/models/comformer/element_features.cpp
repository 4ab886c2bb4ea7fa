// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/element_features.hpp"

#include <cstdint>
#include <string>

#include "base/error.hpp"

namespace gnn_hpc::comformer {
namespace {

constexpr int kRows = 104, kTabulated = 100, kCgcnnColumns = 92;

/// Group and period as numbers, the measured quantities as the index of their bin (of 10; -1 = no value).
struct Element {
  std::int8_t group, period, electronegativity, covalent_radius, valence_electrons, ionisation_energy, electron_affinity;
  char block;
  std::int8_t volume;
};

// clang-format off
constexpr Element kElements[kTabulated] = {
    {1, 1, 4, 0, 1, 6, 5, 's', 4}, {18, 1, -1, 0, 2, 9, -1, 's', 6}, {1, 2, 1, 4, 1, 1, 5, 's', 3}, {2, 2, 3, 3, 2, 4, 0, 's', 0},  // H He Li Be
    {13, 2, 4, 2, 3, 4, 4, 'p', 0}, {14, 2, 5, 2, 4, 5, 6, 'p', 0}, {15, 2, 7, 2, 5, 6, 2, 'p', 4}, {16, 2, 8, 1, 6, 6, 6, 'p', 4},  // B C N O
    {17, 2, 9, 1, 7, 7, 9, 'p', 4}, {18, 2, -1, 1, 8, 8, -1, 'p', 4}, {1, 3, 1, 5, 1, 1, 5, 's', 5}, {2, 3, 2, 5, 2, 3, -1, 's', 4},  // F Ne Na Mg
    {13, 3, 3, 4, 3, 2, 5, 'p', 2}, {14, 3, 3, 4, 4, 3, 6, 'p', 3}, {15, 3, 4, 3, 5, 5, 5, 'p', 4}, {16, 3, 5, 3, 6, 5, 7, 'p', 4},  // Al Si P S
    {17, 3, 7, 3, 7, 6, 9, 'p', 5}, {18, 3, -1, 3, 8, 7, -1, 'p', 6}, {1, 4, 0, 7, 1, 0, 5, 's', 8}, {2, 4, 1, 6, 2, 2, 4, 's', 6},  // Cl Ar K Ca
    {3, 4, 2, 5, 3, 2, 4, 'd', 4}, {4, 4, 2, 4, 4, 3, 4, 'd', 3}, {5, 4, 3, 4, 5, 3, 5, 'd', 2}, {6, 4, 3, 4, 6, 3, 5, 'd', 1},  // Sc Ti V Cr
    {7, 4, 3, 4, 7, 3, -1, 'd', 1}, {8, 4, 3, 4, 8, 3, 4, 'd', 1}, {9, 4, 3, 3, 9, 3, 5, 'd', 1}, {10, 4, 4, 3, 10, 3, 6, 'd', 1},  // Mn Fe Co Ni
    {11, 4, 3, 3, 11, 3, 6, 'd', 1}, {12, 4, 3, 4, 12, 4, -1, 'd', 2}, {13, 4, 3, 4, 3, 2, 5, 'p', 3}, {14, 4, 4, 4, 4, 3, 6, 'p', 3},  // Cu Zn Ga Ge
    {15, 4, 4, 4, 5, 4, 5, 'p', 3}, {16, 4, 5, 4, 6, 4, 7, 'p', 4}, {17, 4, 7, 3, 7, 5, 9, 'p', 5}, {18, 4, -1, 4, 8, 6, -1, 'p', 7},  // As Se Br Kr
    {1, 5, 0, 8, 1, 0, 5, 's', 9}, {2, 5, 1, 7, 2, 2, 4, 's', 7}, {3, 5, 2, 6, 3, 2, 4, 'd', 5}, {4, 5, 2, 5, 4, 2, 5, 'd', 4},  // Rb Sr Y Zr
    {5, 5, 3, 5, 5, 3, 5, 'd', 3}, {6, 5, 4, 5, 6, 3, 5, 'd', 2}, {7, 5, 4, 4, 7, 3, 5, 'd', 2}, {8, 5, 4, 4, 8, 3, 6, 'd', 2},  // Nb Mo Tc Ru
    {9, 5, 5, 4, 9, 3, 6, 'd', 2}, {10, 5, 4, 4, 12, 4, 5, 'd', 2}, {11, 5, 4, 4, 11, 3, 6, 'd', 2}, {12, 5, 3, 4, 12, 4, -1, 'd', 3},  // Rh Pd Ag Cd
    {13, 5, 3, 5, 3, 2, 4, 'p', 4}, {14, 5, 4, 5, 4, 3, 6, 'p', 4}, {15, 5, 4, 5, 5, 4, 6, 'p', 5}, {16, 5, 4, 4, 6, 4, 7, 'p', 5},  // In Sn Sb Te
    {17, 5, 6, 4, 7, 5, 9, 'p', 6}, {18, 5, 6, 4, 8, 5, 4, 'p', 8}, {1, 6, 0, 9, 1, 0, 5, 's', 9}, {2, 6, 1, 7, 2, 1, 4, 's', 7},  // I Xe Cs Ba
    {0, 6, 1, 6, 2, 2, 5, 'f', 5}, {0, 6, 1, 6, 2, 2, 5, 'f', 5}, {0, 6, 1, 6, 2, 1, 5, 'f', 5}, {0, 6, 1, 6, 2, 2, 7, 'f', 5},  // La Ce Pr Nd
    {0, 6, -1, 6, 2, 2, -1, 'f', -1}, {0, 6, 1, 6, 2, 2, -1, 'f', 5}, {0, 6, -1, 6, 2, 2, 5, 'f', 6}, {0, 6, 1, 6, 2, 2, -1, 'f', 5},  // Pm Sm Eu Gd
    {0, 6, -1, 6, 2, 2, 6, 'f', 5}, {0, 6, 2, 6, 2, 2, 5, 'f', 5}, {0, 6, 2, 6, 2, 2, -1, 'f', 5}, {0, 6, 2, 6, 2, 2, -1, 'f', 5},  // Tb Dy Ho Er
    {0, 6, 2, 6, 2, 2, 6, 'f', 4}, {0, 6, -1, 6, 2, 2, 4, 'f', 6}, {3, 6, 1, 6, 3, 1, 4, 'd', 4}, {4, 6, 2, 5, 4, 3, 4, 'd', 3},  // Tm Yb Lu Hf
    {5, 6, 2, 5, 5, 3, 4, 'd', 3}, {6, 6, 3, 4, 6, 3, 5, 'd', 2}, {7, 6, 3, 4, 7, 3, 4, 'd', 2}, {8, 6, 4, 4, 8, 4, 6, 'd', 2},  // Ta W Re Os
    {9, 6, 4, 4, 9, 4, 6, 'd', 2}, {10, 6, 4, 4, 10, 4, 7, 'd', 2}, {11, 6, 5, 4, 11, 4, 7, 'd', 2}, {12, 6, 3, 4, 12, 5, -1, 'd', 4},  // Ir Pt Au Hg
    {13, 6, 3, 5, 3, 2, 5, 'p', 4}, {14, 6, 3, 5, 4, 3, 5, 'p', 5}, {15, 6, 3, 5, 5, 3, 5, 'p', 5}, {16, 6, 4, 5, 6, 4, 7, 'p', 5},  // Tl Pb Bi Po
    {17, 6, 4, 5, 7, 4, 8, 'p', -1}, {18, 6, -1, 5, 8, 5, -1, 'p', -1}, {1, 7, 0, 8, 1, 0, 5, 's', -1}, {2, 7, 1, 7, 2, 1, 4, 's', 8},  // At Rn Fr Ra
    {0, 7, 1, 7, 2, 1, 5, 'f', 5}, {0, 7, 2, 6, 2, 2, -1, 'f', 5}, {0, 7, 2, 6, 2, 2, -1, 'f', 4}, {0, 7, 3, 6, 2, 2, -1, 'f', 3},  // Ac Th Pa U
    {0, 7, 2, 6, 2, 2, -1, 'f', 5}, {0, 7, 2, 6, 2, 2, -1, 'f', -1}, {0, 7, -1, 6, 2, 2, -1, 'f', 5}, {0, 7, -1, 6, 2, 2, -1, 'f', 5},  // Np Pu Am Cm
    {0, 7, -1, 6, 2, 2, -1, 'f', -1}, {0, 7, -1, 6, 2, 2, -1, 'f', -1}, {0, 7, -1, 6, 2, 2, -1, 'f', -1}, {0, 7, -1, 6, 2, 2, -1, 'f', -1},  // Bk Cf Es Fm
};
// clang-format on

void set_digits(const Element& e, double* row) {
  const auto set = [row](int first, int digit) {
    if (digit >= 0) row[first + digit] = 1;
  };
  set(0, e.group);
  set(19, e.period - 1);
  set(26, e.electronegativity);
  set(36, e.covalent_radius);
  set(46, e.valence_electrons - 1);
  set(58, e.ionisation_energy);
  set(68, e.electron_affinity);
  set(78, static_cast<int>(std::string_view("spdf").find(e.block)));
  set(82, e.volume);
}

}  // namespace

AtomFeatures parse_atom_features(std::string_view name) {
  if (name == "cgcnn") return AtomFeatures::cgcnn;
  if (name == "atomic_number") return AtomFeatures::atomic_number;
  throw Error(Exit::usage, fmt::format("atom features '{}' are unknown; use cgcnn or atomic_number", name));
}

int num_atom_features(AtomFeatures kind) { return kind == AtomFeatures::cgcnn ? kCgcnnColumns : 1; }

std::vector<double> atom_feature_table(AtomFeatures kind) {
  const int width = num_atom_features(kind);
  std::vector<double> table(static_cast<std::size_t>(kRows) * width, 0.0);
  for (int z = 1; z < kRows; ++z) {
    double* row = &table[static_cast<std::size_t>(z) * width];
    if (kind == AtomFeatures::cgcnn) {
      set_digits(kElements[(z <= kTabulated ? z : kTabulated) - 1], row);
    } else {
      row[0] = z;
    }
  }
  return table;
}

}  // namespace gnn_hpc::comformer
