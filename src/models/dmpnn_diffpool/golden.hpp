// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "verify/check.hpp"

/// Checks of golden files of this system, one for each kind.
namespace gnn_hpc::verify::dmpnn {

/// Molecules and polymers from text, texts to reject, splits: all exact (masses and weights to 1e-12).
void check_graphs(GoldenFile& file, bool single_precision, Report& report);
/// One batch through the model, without and with shared states: outputs, losses, gradients, running statistics, optimiser steps.
void check_model(GoldenFile& file, bool single_precision, Report& report);

}  // namespace gnn_hpc::verify::dmpnn
