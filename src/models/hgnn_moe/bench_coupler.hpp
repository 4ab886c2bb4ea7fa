// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/part_bench.hpp"

#include <nlohmann/json_fwd.hpp>

namespace gnn_hpc::hgnn_moe {

/// Times the coupler of a language model alone, forward and backward, on random expert outputs of a step's tokens (batch times
/// max_seq_length; one rank's). The gradient of every expert output is written out, as a library would, although the model itself hands
/// common rows and factors to the experts; `handed_on_seconds` leaves that out.
template <class T>
nlohmann::ordered_json bench_coupler(Task<T>& task, const PartBenchRequest& request);

}  // namespace gnn_hpc::hgnn_moe
