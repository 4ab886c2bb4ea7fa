// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/command_line.hpp"
#include "cli/job.hpp"

#include <nlohmann/json_fwd.hpp>

namespace gnn_hpc {

/// Times the pooling of the first `line.batch` molecules of the input alone (one rank): choosing clusters from logits, coarse edges with
/// their features (`median_seconds`), and their backward pass. Weights are those of the beginning.
/// Throws Error(Exit::usage) for a system or encoder that does not pool.
template <class T>
nlohmann::ordered_json bench_coarsen(Job<T>& job, const CommandLine& line);

}  // namespace gnn_hpc
