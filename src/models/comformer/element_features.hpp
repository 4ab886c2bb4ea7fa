// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

namespace gnn_hpc::comformer {

/// How an atom enters the network.
enum class AtomFeatures {
  cgcnn,         ///< 92 zeros and ones (below)
  atomic_number  ///< one column, Z
};

/// "cgcnn" or "atomic_number"; throws Error(Exit::usage) for another name.
AtomFeatures parse_atom_features(std::string_view name);

int num_atom_features(AtomFeatures kind);

/// One row per atomic number 0..103, row-major [104, num_atom_features(kind)]; row 0 is zero.
///
/// cgcnn: the elemental table of CGCNN (Xie and Grossman, Phys. Rev. Lett. 120, 145301, 2018) as shipped in jarvis-tools
/// (NIST licence, free use), kept here as the facts it is made of and expanded to one-hot digits:
///   columns  0..18 group (0 = f block), 19..25 period, 26..35 electronegativity, 36..45 covalent radius,
///            46..57 valence electrons, 58..67 first ionisation energy, 68..77 electron affinity, 78..81 block s p d f,
///            82..91 atomic volume
/// A quantity without a value has no digit set. The table ends at Z = 100; 101..103 use row 100.
std::vector<double> atom_feature_table(AtomFeatures kind);

}  // namespace gnn_hpc::comformer
