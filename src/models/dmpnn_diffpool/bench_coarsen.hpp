// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/part_bench.hpp"

#include <nlohmann/json_fwd.hpp>

namespace gnn_hpc::dmpnn {

/// Times the pooling of the first molecules of the input alone (one rank): choosing clusters from logits, coarse edges with their features
/// (`median_seconds`), and their backward pass. Weights are those of the beginning.
/// Throws Error(Exit::usage) for an encoder that does not pool.
template <class T>
nlohmann::ordered_json bench_coarsen(Task<T>& task, const PartBenchRequest& request);

}  // namespace gnn_hpc::dmpnn
