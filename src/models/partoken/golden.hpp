// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "verify/check.hpp"

/// Checks of golden files of this system, one for each kind.
namespace gnn_hpc::verify::partoken {

/// The start of the codebook: Lloyd rounds from given samples, with given samples for empty centres.
void check_kmeans(GoldenFile& file, bool single_precision, Report& report);
/// One batch through the model: decisions exact, intermediates, losses, gradients, buffers, optimiser steps.
void check_model(GoldenFile& file, bool single_precision, Report& report);

}  // namespace gnn_hpc::verify::partoken
