// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "cli/command_line.hpp"
#include "cli/job.hpp"

#include <nlohmann/json_fwd.hpp>

namespace gnn_hpc {

/// Counts subnormal numbers (base/subnormals.hpp) in one training step on the first `line.batch` samples, computed with them whatever
/// `run.flush_subnormals` says, with the weights of the beginning or of `line.checkpoint`:
///   `products`  for each parameter and kind of product, elements and subnormal ones of both operands: `forward` input and weight,
///               `input_gradient` the gradient from above and the weight, `weight_gradient` the gradient from above and the input. Products
///               with another matrix (attention, copies of weights) are named by its size. Those with the most subnormal operands first.
///   `tensors`   parameters whose values or gradients hold some
/// The counts are this rank's. Throws Error(Exit::usage) on a device. Collective; the result is the root's.
template <class T>
nlohmann::ordered_json bench_subnormals(Job<T>& job, const CommandLine& line, const Comm& comm);

}  // namespace gnn_hpc
