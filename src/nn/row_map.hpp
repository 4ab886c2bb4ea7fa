// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/segment_sum.hpp"
#include "nn/step.hpp"

namespace gnn_hpc {

/// Items as combinations of `taps` consecutive rows of a table: a function of one number evaluated once per distinct argument
/// (taps = 1) or interpolated on a grid (taps = 4; the cubic weights are data, made on the host).
///   forward    y[i,c] = sum_t weight[i,t] table[first(i) + t, c]
///   backward   dtable[r,c] = sum over items i and t with first(i) + t = r of weight[i,t] dy[i,c]
/// The transpose has one writer: items are grouped by their first row.
template <class T>
struct RowMap {
  int num_rows = 0, num_items = 0, taps = 1;
  View1<int> first;       ///< [I]
  View2<T> weight;        ///< [I,taps]
  View1<int> group_ptr;   ///< [R+1]
  View1<int> group_item;  ///< [I]

  /// Adds beta times what stands in dtable: 0 overwrites, 1 accumulates.
  void backward(Step<T>& step, Reduction reduction, View2<T> dy /*[I,C]*/, View2<T> dtable /*[R,C]*/, bool accumulate) const;
};

/// For kernels: the value of one item at channels [c, c + W), added to `sum`.
template <int W, class T>
KOKKOS_INLINE_FUNCTION void add_mapped(const RowMap<T>& map, const View2<T>& table, int i, int c, T (&sum)[W]);

}  // namespace gnn_hpc

#include "nn/channels.hpp"

namespace gnn_hpc {

template <int W, class T>
KOKKOS_INLINE_FUNCTION void add_mapped(const RowMap<T>& map, const View2<T>& table, int i, int c, T (&sum)[W]) {
  const int row = map.first(i);
  for (int t = 0; t < map.taps; ++t) {
    const T w = map.weight(i, t);
    const T* values = &table(row + t, c);
    GNN_HPC_SIMD
    for (int j = 0; j < W; ++j) sum[j] += w * values[j];
  }
}

}  // namespace gnn_hpc
