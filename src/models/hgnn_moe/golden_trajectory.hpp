// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "verify/golden_file.hpp"
#include "verify/trajectory.hpp"

namespace gnn_hpc::verify::hgnn_moe {

/// Adds what a trajectory must hold, if there is one or `required`.
template <class T>
void require_steps(const GoldenFile& file, const ParamStore<T>& store, bool required, Manifest& manifest) {
  require_trajectory(file, store, {"loss", "lr", "grad_norm"}, required, manifest);
}

/// AdamW with decay on every parameter, clipping, cosine over as many steps as there are losses (specification, section 10). The first of
/// `trajectory/lr` is the peak rate; decay, clipping and the rate's end are read from `config`.
Trajectory golden_trajectory(GoldenFile& file);

}  // namespace gnn_hpc::verify::hgnn_moe
