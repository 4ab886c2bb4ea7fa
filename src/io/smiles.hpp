// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/molecule.hpp"
#include "io/polymer_text.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

namespace gnn_hpc {

/// Version of RDKit in this program; empty where it was built without (`GNN_HPC_RDKIT=OFF`): then everything below throws
/// Error(Exit::data) that says so.
std::string rdkit_version();
/// Throws that error if there is no RDKit.
void require_rdkit();

/// Longer texts are refused: RDKit needs seconds for a chain of 1,000 atoms and eight times as long for twice the atoms.
inline constexpr std::size_t kLongestSmiles = 3000;

/// The molecule of a SMILES text with RDKit's defaults (sanitised, explicit hydrogen atoms removed), atoms and bonds in RDKit's
/// order. Wildcards (`*`, `[*]`, `[*:1]`) are atoms. Blanks around the text do not count.
/// Throws Error(Exit::data) with RDKit's reason. Thread-safe, as is everything here; RDKit writes nothing to the terminal.
void read_smiles(std::string_view text, Molecule& out);

/// Reads polymer texts (io/polymer_text.hpp): ensembles of chains. Atoms: all but the wildcards, described while the wildcards are
/// still bonded. Bonds: those inside the fragments (weights 1), ordered by their lower, then higher atom; then one a rule i-j in
/// order, from the neighbour of wildcard i to that of wildcard j in a second copy of the molecule (so never in a ring, and i-i
/// is possible), of the wildcards' bond order, with the rule's weights. A rule may join an atom to itself.
///
/// Data sets of polymers hold the same monomers in many compositions, and joining them is slow: the reader keeps what does not
/// depend on weights and chain length. One reader a thread.
class PolymerReader {
 public:
  /// Throws Error(Exit::data): what `parse_polymer_text` and `read_smiles` reject, a wildcard that has other than one neighbour or hangs on
  /// another wildcard, a label a rule names that occurs twice or not at all, two bond orders in one rule, no atom left.
  /// With rules, every wildcard is in one (a dangling end is bonded to nothing) and every fragment has a wildcard; without, there is one
  /// fragment. The weights of the fragments add up to 1 within 1e-5, or those of the blocks do: fragments that rules join may each carry the
  /// weight of their block (as the public diblock copolymers write it; blocks are bonded by nothing there).
  void read(std::string_view text, Molecule& out);

 private:
  static constexpr std::size_t kMostStructures = 4096;  ///< then it begins anew
  struct Structure {
    Molecule molecule;
    std::vector<std::size_t> block;  ///< [fragments] the first fragment that rules join it with
  };
  static Structure structure_of(const PolymerText& polymer);
  std::unordered_map<std::string, Structure> structures_;  ///< by fragments and rules
  std::string key_;
};

/// Number of atoms of a SMILES text: RDKit's part of `read_smiles` alone, for measuring it.
int count_smiles_atoms(std::string_view text);

}  // namespace gnn_hpc
