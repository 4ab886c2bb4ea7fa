// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "verify/check.hpp"

#include <iosfwd>
#include <span>
#include <string>

namespace gnn_hpc {

struct VerifyOptions {
  std::string file;                  ///< a golden file (HDF5)
  std::string precision = "double";  ///< of the model under test: "double" or "float"
  bool failures_only = false;        ///< print only the tensors that differ
};

/// Runs this program on the inputs of a golden file and compares every number the file expects: a table of the largest absolute
/// and relative difference per tensor, then one line of summary. A data set that no check looked at counts as a failure.
/// @param checks  of all systems
/// @return 0 if all hold, 1 if not.
/// Throws Error(Exit::data) for a file that cannot be read, is malformed, or whose system or kind is not known here;
/// Error(Exit::usage) for another precision. Not collective: one rank.
int verify_command(const VerifyOptions& options, std::span<const verify::GoldenCheck> checks, std::ostream& out);

}  // namespace gnn_hpc
