// SPDX-License-Identifier: Apache-2.0
// io/smiles.hpp in a program built without RDKit.
#include "base/error.hpp"
#include "io/smiles.hpp"

namespace gnn_hpc {
namespace {
[[noreturn]] void fail() {
  throw Error(Exit::data,
              "this program was built without RDKit and cannot read SMILES; install RDKit (Debian: librdkit-dev libboost-dev) and "
              "build it again with -DGNN_HPC_RDKIT=ON");
}
}  // namespace

std::string rdkit_version() { return {}; }
void require_rdkit() { fail(); }
void read_smiles(std::string_view, Molecule&) { fail(); }
void PolymerReader::read(std::string_view, Molecule&) { fail(); }
int count_smiles_atoms(std::string_view) { fail(); }

}  // namespace gnn_hpc
