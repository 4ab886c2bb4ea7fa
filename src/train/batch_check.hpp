// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/options.hpp"
#include "train/task.hpp"

namespace gnn_hpc {

/// Refuses or warns of batches from which a model with BatchNorm learns nothing. Normalised over one row, the row is (x - x) /
/// sqrt(eps): 0 whatever x is, so that the layer passes on its shift alone and no gradient to anything before it. What counts is
/// the smallest global batch (over all ranks) of an epoch: `train.batch_size`, the last incomplete one if it is kept, or all
/// samples of a small training part.
///   BatchNorm over graphs   Error(Exit::usage) if that is one graph
///   BatchNorm over nodes    a warning if that is one graph: its nodes are all the statistics there are, and a graph of one node
///   teaches nothing
/// Also says so where the training part is smaller than a batch. Call with open data, on every rank.
template <class T>
void check_batches(const Task<T>& task, const TrainOptions& options);

}  // namespace gnn_hpc
