// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "verify/check.hpp"

/// Checks of golden files of this system, one for each kind.
namespace gnn_hpc::verify::hgnn_moe {

/// One batch through the model in every evaluation order, packed as well: intermediates, losses, gradients, optimiser steps.
void check_model(GoldenFile& file, bool single_precision, Report& report);
/// A file of kind `other` by what it holds: texts, or one of the checks below.
void check_other(GoldenFile& file, bool single_precision, Report& report);
/// Couplers alone, in every evaluation order: intermediates, output and gradients.
void check_coupler(GoldenFile& file, bool single_precision, Report& report);
/// Texts cut into lines and windows: exact.
void check_data(GoldenFile& file, bool single_precision, Report& report);
/// Greedy continuation of a prompt: ids exact, logits of each step, the logits that the filters of sampling keep.
void check_generate(GoldenFile& file, bool single_precision, Report& report);
/// A training curve on given batches, evaluation before and after it: losses, gradient norms, norms of the final parameters.
void check_curve(GoldenFile& file, bool single_precision, Report& report);

}  // namespace gnn_hpc::verify::hgnn_moe
