// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/residue_batch.hpp"
#include "models/gvp/options.hpp"
#include "verify/golden_file.hpp"

#include <vector>

namespace gnn_hpc::verify::gvp {

/// The batch of a golden file.
struct GoldenBatch {
  ResidueBatch graphs;
  std::vector<double> label;  ///< [G]
};

/// Reads `inputs/`. Throws Error(Exit::data) for tensors that do not fit together.
GoldenBatch read_batch(GoldenFile& file, const gnn_hpc::gvp::ModelOptions& options);

/// The attributes of `config`; throws Error(Exit::data) for what the model does not know.
gnn_hpc::gvp::ModelOptions read_model_options(GoldenFile& file);

}  // namespace gnn_hpc::verify::gvp
