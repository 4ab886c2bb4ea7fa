// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/step.hpp"

#include <span>
#include <vector>

namespace gnn_hpc {

/// One target of a model with several: its loss and its columns in the output.
struct TargetSlice {
  enum class Kind { regression, absolute, binary, multiclass } kind = Kind::regression;
  int classes = 1;      ///< columns; 1 unless multi-class
  double weight = 1.0;  ///< factor on its loss
};
/// Columns of the output: slices stand side by side.
int num_columns(std::span<const TargetSlice> slices);

/// Loss over the targets that are present (finite), divided by a number given from outside (that of present targets over all ranks).
///   regression  (p - y)^2                                 dp = 2 w (p - y) / divisor
///   absolute    |p - y|                                   dp = w sign(p - y) / divisor, 0 at 0
///   binary      max(p,0) - p y + log(1 + exp(-|p|))       dp = w (sigmoid(p) - y) / divisor
///   multiclass  log sum_c exp(p_c) - p_y                  dp = w (softmax(p) - onehot(y)) / divisor
/// w: weight of the target, of a multi-class target times `class_weight` [classes] of its label (empty: 1). Returns sum / divisor in a device scalar,
/// summed in double in a fixed order; doutput [G,columns] is overwritten, 0 where missing. A multi-class label outside 0 .. classes-1 is undefined:
/// check it when reading data.
template <class T>
View1<double> target_loss(Step<T>& step, std::span<const TargetSlice> slices, View2<T> output /*[G,columns]*/, View2<double> target /*[G,slices]*/,
                          double divisor, View2<T> doutput, View1<double> class_weight = {});

}  // namespace gnn_hpc
