// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/dmpnn_diffpool/molecule.hpp"

#include <cstdint>
#include <vector>

namespace gnn_hpc::dmpnn {

/// Digests of molecules as graphs, whatever the order in which their texts name the atoms ("OCC" and "CCO" are one): atoms and
/// bonds with all their features, for polymers weights and chain length, refined until the surroundings of every atom are told
/// apart as far as colour refinement can (Weisfeiler and Leman, 1968), which is as far as message passing can. The handedness of an
/// atom is left out, since its feature depends on the order of the text: mirror images count as one molecule. Targets and
/// descriptors do not count.
class MoleculeDigests {
 public:
  MoleculeDigests(const FeatureTable& atoms, const FeatureTable& bonds);
  std::uint64_t of(const MoleculeView& molecule);

 private:
  std::vector<std::uint64_t> atom_, bond_;  ///< of the tables' rows
  std::vector<std::uint64_t> colour_, next_, distinct_;
};

}  // namespace gnn_hpc::dmpnn
