// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gnn_hpc {

inline constexpr std::size_t kBackboneAtoms = 4;  ///< N, CA, C, O, in this order

/// All coordinates of a residue, [4,3], are there.
bool has_all_atoms(std::span<const double> residue);

/// The residues of one chain in the order of their first kept atom.
struct ProteinChain {
  std::string name;                   ///< as the file has it; may be blank
  std::vector<std::string> residues;  ///< number and insertion code, text as in the file
  std::string sequence;               ///< one letter a residue
  std::vector<double> coords;         ///< [n,4,3] in angstrom, NaN where an atom is missing

  std::size_t size() const { return residues.size(); }
  /// N, CA, C and O are all there.
  bool complete(std::size_t residue) const;
  std::size_t num_complete() const;
};

/// The first model of a structure file: at least one chain, each with at least one residue.
struct Protein {
  std::string path;
  std::vector<ProteinChain> chains;
  std::vector<std::string> warnings;  ///< each names the file

  /// The chain called `name`, the first one for a blank name; Error(Exit::data) lists the chains that exist.
  const ProteinChain& chain(std::string_view name) const;
};

/// Letter of a residue name (the 20 standard ones, modified residues, names of force fields); 0 for others.
char residue_letter(std::string_view name);
/// Code 0..19 of a letter in the order ARNDCQEGHILKMFPSTWYV.
int residue_code(char letter);

/// Reads PDB or mmCIF text (told by its content: `data_` behind white space and comments is mmCIF); the rules are section 1 of the GVP
/// specification: first model; ATOM, and HETATM of modified residues only; the first of repeated atoms; residues by (chain, number and
/// insertion code) in the order of the file; `auth_*` before `label_*`. Coordinates are looked at only for atoms that are kept.
/// Throws Error(Exit::data) with path, line and reason.
Protein parse_protein(std::string_view text, const std::string& path);

/// The same for a file, plain or gzip.
Protein read_protein(const std::string& path);

/// Why the chain is passed over (fewer than half of its residues are complete), or nothing.
std::string too_few_complete(const Protein& protein, const ProteinChain& chain);

}  // namespace gnn_hpc
