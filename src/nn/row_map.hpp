// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/segment_sum.hpp"
#include "nn/step.hpp"

#include <vector>

namespace gnn_hpc {

/// Groups of items (CSR `group_ptr` [R+1]) as consecutive pieces of at most 64 items; an empty group has none.
struct GroupPieces {
  std::vector<int> piece_ptr;  ///< [P+1]
  std::vector<int> row_piece;  ///< [R+1]
};
GroupPieces cut_groups(const std::vector<int>& group_ptr);

/// Items as combinations of `taps` consecutive rows of a table: a function of one number evaluated once per distinct argument
/// (taps = 1) or interpolated on a grid (taps = 4; the cubic weights are data, made on the host).
///   forward    y[i,c] = sum_t weight[i,t] table[first(i) + t, c]
///   backward   dtable[r,c] = sum over items i and t with first(i) + t = r of weight[i,t] dy[i,c]
/// The transpose has one writer: items are grouped by their first row, and groups cut into pieces: angles of symmetric crystals coincide,
/// so a few groups hold most of the items, and one team must not add them all.
template <class T>
struct RowMap {
  int num_rows = 0, num_items = 0, taps = 1;
  View1<int> first;       ///< [I]
  View2<T> weight;        ///< [I,taps]
  View1<int> piece_ptr;   ///< [P+1] positions in group_item
  View1<int> row_piece;   ///< [R+1] pieces of the group of each row
  View1<int> group_item;  ///< [I] items by their first row

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
