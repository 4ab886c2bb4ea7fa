// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/part_bench.hpp"

#include <nlohmann/json_fwd.hpp>

namespace gnn_hpc::partoken {

/// Forward and backward pass of the partitioner alone, sparse and dense, on random features of made-up chains (B=2, N=50), (2, 200) and
/// (64, 249..359), and of the first chains of the input.
template <class T>
nlohmann::ordered_json bench_partitioner(Task<T>& task, const PartBenchRequest& request);

/// The parts of a forward pass on the first chains of the input.
template <class T>
nlohmann::ordered_json bench_components(Task<T>& task, const PartBenchRequest& request);

}  // namespace gnn_hpc::partoken
