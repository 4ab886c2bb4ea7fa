// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "verify/comparison.hpp"
#include "verify/golden_file.hpp"

namespace gnn_hpc::verify {

/// One function per system and kind: reads the inputs of the file, runs this program on them, and compares. Throws
/// Error(Exit::data) for a malformed file.
using Adapter = void (*)(GoldenFile& file, bool single_precision, Report& report);

namespace comformer {
/// Graphs from structures: edges, images, multiplicities and the lattice triple exactly, vectors to 1e-12.
void check_graphs(GoldenFile& file, bool single_precision, Report& report);
/// Splits of a data set, OneCycle schedules, samples of the parameter generator.
void check_other(GoldenFile& file, bool single_precision, Report& report);
/// One batch through the model: inputs, outputs, loss, gradients, running statistics, optimiser steps.
void check_model(GoldenFile& file, bool single_precision, Report& report);
}  // namespace comformer

namespace dmpnn {
/// Molecules and polymers from text, texts to reject, splits: all exact (masses and weights to 1e-12).
void check_graphs(GoldenFile& file, bool single_precision, Report& report);
/// One batch through the model, without and with shared states: outputs, losses, gradients, running statistics, optimiser steps.
void check_model(GoldenFile& file, bool single_precision, Report& report);
}  // namespace dmpnn

namespace hgnn_moe {
/// One batch through the model in every evaluation order, packed as well: intermediates, losses, gradients, optimiser steps.
void check_model(GoldenFile& file, bool single_precision, Report& report);
/// Couplers alone, in every evaluation order: intermediates, output and gradients.
void check_coupler(GoldenFile& file, bool single_precision, Report& report);
/// A file of kind `other` by what it holds: texts, or one of the checks below.
void check_other(GoldenFile& file, bool single_precision, Report& report);
/// Texts cut into lines and windows: exact.
void check_data(GoldenFile& file, bool single_precision, Report& report);
/// Greedy continuation of a prompt: ids exact, logits of each step, the logits that the filters of sampling keep.
void check_generate(GoldenFile& file, bool single_precision, Report& report);
/// A training curve on given batches, evaluation before and after it: losses, gradient norms, norms of the final parameters.
void check_curve(GoldenFile& file, bool single_precision, Report& report);
}  // namespace hgnn_moe

}  // namespace gnn_hpc::verify
