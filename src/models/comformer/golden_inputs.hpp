// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/comformer/batch.hpp"
#include "verify/comparison.hpp"
#include "verify/golden_file.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gnn_hpc::verify::comformer {

/// The batch of a golden file as the model wants it. The file writes duplicated edges out; `unique_edge` says which unique edge
/// each of them is, so that per-edge outputs can be compared row by row.
struct GoldenBatch {
  gnn_hpc::comformer::HostCrystalBatch host;
  std::vector<std::size_t> unique_edge;  ///< [stored edges]
};

/// Reads `inputs/` and checks what the file says about itself: the graphs built here from `inputs/structures` must give the
/// stored edges, vectors and lattice triples (exact; 1e-12), the atomic numbers the stored features.
/// Throws Error(Exit::data) for indices out of range or tensors that do not fit together.
GoldenBatch read_batch(GoldenFile& file, bool directions, Report& report);

}  // namespace gnn_hpc::verify::comformer
