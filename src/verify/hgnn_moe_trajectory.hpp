// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/hgnn_moe/model.hpp"
#include "verify/comparison.hpp"
#include "verify/expected_gradients.hpp"
#include "verify/golden_file.hpp"
#include "verify/manifest.hpp"

#include <functional>

namespace gnn_hpc::verify::hgnn_moe {

/// Adds what a trajectory must hold, if there is one or `required`.
template <class T>
void require_trajectory(const GoldenFile& file, const ParamStore<T>& store, bool required, Manifest& manifest);

/// Optimiser steps from the present parameters, as `trajectory/{loss,grad_norm,lr,final_norm/NAME}` of a golden file has them (specification,
/// section 10): AdamW with decay on every parameter, clipping, cosine over as many steps as there are losses. The first of
/// `trajectory/lr` is the peak rate; decay, clipping and the rate's end are read from `config`. `batch_of` makes the batch of a step,
/// finished. Does nothing without a group `trajectory`. `gradients`: those of the first step, null if the file has none.
template <class T>
void check_trajectory(GoldenFile& file, gnn_hpc::hgnn_moe::Model<T>& model, ParamStore<T>& store, const ExpectedGradients* gradients,
                      const std::function<gnn_hpc::hgnn_moe::HostTokenBatch(std::int64_t)>& batch_of, Report& report);

/// [loss, perplexity]: mean over the targets of all batches without dropout, and exp(min(loss, 20)).
template <class T>
RealTensor evaluate_batches(gnn_hpc::hgnn_moe::Model<T>& model, const std::vector<gnn_hpc::hgnn_moe::HostTokenBatch>& batches);

}  // namespace gnn_hpc::verify::hgnn_moe
