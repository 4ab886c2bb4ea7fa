// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/step.hpp"

namespace gnn_hpc {

/// Row-wise building blocks on [R,C] matrices.
template <class T>
struct RowOps {
  /// x[r,c] += bias[c]
  static void add_bias(const Exec& exec, View2<T> x, View1<T> bias);
  /// y += x
  static void add(const Exec& exec, View2<T> x, View2<T> y);
  /// dy *= softplus'(x) where y = softplus(x): the derivative from the value.
  static void softplus_backward(const Exec& exec, View2<T> y, View2<T> dy);
  /// db[c] += sum over r of dy[r,c], summed in double in two stages of fixed order.
  static void add_column_sums(Step<T>& step, View2<T> dy, View1<T> db);
  /// Column sums in double into `sums` (overwritten).
  static void column_sums(Step<T>& step, View2<T> x, View1<double> sums);
};

/// sums[c] = sum over r of partial[r,c] in two stages of fixed order; for partial sums that a kernel left, one row a work item.
template <class T>
void sum_partials(Step<T>& step, View2<double> partial, View1<double> sums);

/// target[c] = sums[c]
template <class T>
void store_sums(const Exec& exec, View1<double> sums, View1<T> target);

/// target[c] += sums[c]
template <class T>
void add_sums(const Exec& exec, View1<double> sums, View1<T> target);

}  // namespace gnn_hpc
