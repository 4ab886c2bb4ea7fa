// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "io/protein.hpp"

namespace gnn_hpc {

/// Collects the atom records of the first model, whatever the format.
class ProteinBuilder {
 public:
  explicit ProteinBuilder(const std::string& path) { protein_.path = path; }

  /// Where the three coordinates of this atom go; null for an atom that is not kept. Valid until the next call.
  double* add(std::string_view chain, std::string_view residue, std::string_view name, std::string_view atom, bool hetatm);
  /// A chain has ended; residues that come again from here on are warned of.
  void end_of_chain() { ++epoch_; }

  bool empty() const { return protein_.chains.empty(); }
  Protein finish();

 private:
  struct Residue {
    std::size_t index = 0;
    unsigned atoms = 0;  ///< bit per backbone atom that was seen
    int epoch = 0;
  };

  Protein protein_;
  std::vector<std::unordered_map<std::string, Residue>> tables_;  ///< of the chains, by number and insertion code
  std::set<std::string> unknown_;
  std::string recurring_;
  int epoch_ = 0;
};

void read_pdb_atoms(std::string_view text, const std::string& path, ProteinBuilder& out);
void read_mmcif_atoms(std::string_view text, const std::string& path, ProteinBuilder& out);

/// True if the name is a modified residue, whose atoms are HETATM records.
bool is_modified_residue(std::string_view name);
bool is_standard_residue(std::string_view name);

/// A decimal number into `out`; nan and inf make the atom missing (NaN). False for any other text.
bool read_coordinate(std::string_view text, double& out);

}  // namespace gnn_hpc
