// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/param.hpp"
#include "nn/step.hpp"

#include <string>

namespace gnn_hpc {

/// Rows of a table by number; initialised N(0, stddev).
///   forward    y[r] = W[id(r)]                          (by the caller's kernel: `value()`)
///   backward   dW[v] += sum over rows r with id(r) = v of dy[r]
/// One writer per row of the table: rows are grouped by id on the host, and each group is summed in order; deterministic.
template <class T>
struct Embedding {
  Param<T> weight;  ///< [V,D]

  Embedding() = default;
  /// Registers `name.weight`.
  Embedding(ParamStore<T>& store, const std::string& name, int rows, int width, double stddev = 0.02);

  /// Buckets: rows bucket_row(bucket_ptr(u) .. bucket_ptr(u+1)) have the id bucket_id(u).
  void backward(Step<T>& step, View1<int> bucket_id, View1<int> bucket_ptr, View1<int> bucket_row, View2<T> dy) const;
};

}  // namespace gnn_hpc
