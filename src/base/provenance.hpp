// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace gnn_hpc {

/// Which program wrote a file: recorded in caches, checkpoints and golden files, printed by `--version`.
struct Provenance {
  std::string version;     ///< of the project
  std::string git_hash;    ///< 40 hex digits, or "unknown" outside a repository
  bool git_dirty;          ///< tracked files differed from that commit
  std::string compiler;    ///< id and version
  std::string build_type;  ///< Release, Debug, ...
  std::string kokkos_version;
  std::string kokkos_devices;  ///< the backends Kokkos was built with
  std::string hdf5_version;
};

/// Of this build. The repository's state is read at build time, into one source file.
const Provenance& provenance();

/// The same in one line.
std::string provenance_line();

}  // namespace gnn_hpc
