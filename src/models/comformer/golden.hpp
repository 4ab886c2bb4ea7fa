// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "verify/check.hpp"

/// Checks of golden files of this system, one for each kind.
namespace gnn_hpc::verify::comformer {

/// Graphs from structures: edges, images, multiplicities and the lattice triple exactly, vectors to 1e-12.
void check_graphs(GoldenFile& file, bool single_precision, Report& report);
/// Splits of a data set, OneCycle schedules, samples of the parameter generator.
void check_other(GoldenFile& file, bool single_precision, Report& report);
/// One batch through the model: inputs, outputs, loss, gradients, running statistics, optimiser steps.
void check_model(GoldenFile& file, bool single_precision, Report& report);

}  // namespace gnn_hpc::verify::comformer
