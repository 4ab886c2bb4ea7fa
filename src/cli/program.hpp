// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "cli/command_line.hpp"

namespace gnn_hpc {

/// Runs a command; MPI and Kokkos have been started. Returns the exit code; throws Error for everything else. Collective.
int run_command(const CommandLine& line, const Comm& comm);

/// Says what went wrong and decides how to end: an error that all ranks met is printed once (by the root) and its code returned;
/// one that left other ranks waiting is printed with the rank's number and ends all ranks at once.
int report_failure(const Comm& comm, int code, const std::string& message);

}  // namespace gnn_hpc
