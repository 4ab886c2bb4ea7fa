// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/step.hpp"

namespace gnn_hpc {

enum class Criterion { mse, l1, binary };

/// Loss over the targets that are present (finite), divided by a divisor given from outside (their number over all ranks).
///   mse      (p - y)^2                                   dp = 2 (p - y) / divisor
///   l1       |p - y|                                     dp = sign(p - y) / divisor, 0 at 0
///   binary   max(p,0) - p y + log(1 + exp(-|p|))         dp = (sigmoid(p) - y) / divisor      (p is a logit, y 0 or 1)
/// Returns sum / divisor in a device scalar, summed in double in a fixed order; dp [G,K] is overwritten, 0 where missing.
template <class T>
View1<double> masked_loss(Step<T>& step, Criterion criterion, View2<T> prediction /*[G,K]*/, View2<double> target /*[G,K]*/,
                          double divisor, View2<T> dprediction /*[G,K]*/);

}  // namespace gnn_hpc
