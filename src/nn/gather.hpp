// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"
#include "nn/growing_array.hpp"
#include "nn/step.hpp"

#include <vector>

namespace gnn_hpc {

/// Sparse sums in host memory: y[r] = sum over k in [ptr[r], ptr[r+1]) of weight[k] x[item[k]].
struct HostGather {
  std::vector<int> ptr{0}, item;
  std::vector<double> weight;  ///< empty: all 1
  int rows() const { return static_cast<int>(ptr.size()) - 1; }
  void clear() {
    ptr.assign(1, 0);
    item.clear();
    weight.clear();
  }
};

/// The transposed sums, items ascending: one writer for the gradient, too. `columns`: number of rows of x. Storage of `out` is reused.
void transpose(const HostGather& in, int columns, HostGather& out);
/// The transpose of the map r -> row[r].
void transpose(const std::vector<int>& row, int columns, HostGather& out);

/// The same on the device: y[r,c] = sum over k of weight(k) x[item(k),c]; the gradient is the sum of the transpose.
template <class T>
struct Gather {
  int num_rows = 0;
  View1<int> ptr, item;  ///< ptr [R+1]; empty: row r is item(r) alone. item [I]; empty: item(k) = k
  View1<T> weight;       ///< [I]; empty: all 1
};

/// Memory of one Gather; what `upload` returns is valid until the next call.
template <class T>
class GatherStorage {
 public:
  Gather<T> upload(const Exec& exec, const HostGather& host);

 private:
  GrowingArray<int> ptr_, item_;
  GrowingArray<T> weight_;
};

}  // namespace gnn_hpc
