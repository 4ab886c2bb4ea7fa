// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "verify/check.hpp"

/// Checks of golden files of this system, one for each kind.
namespace gnn_hpc::verify::gvp {

/// Chains of structure files and their graphs: sequence, residues, coordinates and edges exact, features to 1e-12.
void check_graphs(GoldenFile& file, bool single_precision, Report& report);
/// One batch through the model: intermediates, loss, gradients, optimiser steps.
void check_model(GoldenFile& file, bool single_precision, Report& report);

}  // namespace gnn_hpc::verify::gvp
