// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "cli/command_line.hpp"

namespace gnn_hpc {

/// Runs `gnn_hpc generate CHECKPOINT --prompt TEXT`: continues the prompt with the language model of a checkpoint (its own options stand
/// in it) and writes the text to stdout, token by token. Text of a byte vocabulary is printed as it is, other tokens as numbers.
/// Throws Error(Exit::usage) for a missing or too long prompt and settings out of range, Error(Exit::data) for a checkpoint that is
/// damaged or of a system that cannot continue texts. Collective; the root works.
int generate_command(const CommandLine& line, const Comm& comm);

}  // namespace gnn_hpc
