// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/chunks.hpp"
#include "nn/rows.hpp"

namespace gnn_hpc {

/// total[c] += sum over the rows of all chunks of x[r,c], in double and in the order of the chunks: the gradient of a bias. On a device, where one
/// chunk is everything, its sum takes the two stages of RowOps.
template <class T>
class ChunkSums {
 public:
  ChunkSums(Step<T>& step, int chunks, View1<T> total) : step_(&step), total_(total) {
    if constexpr (kExecIsHost) partial_ = step.arena.template matrix<double>(static_cast<std::size_t>(chunks), total.extent(0));
  }
  /// Once for every chunk.
  void add(const ChunkExec& exec, int chunk, View2<T> x) const {
    if constexpr (kExecIsHost)
      column_sums(exec, x, row_elements(partial_, chunk, 0, partial_.extent_int(1)));
    else
      RowOps<T>::add_column_sums(*step_, x, total_);
  }
  void finish(Step<T>& step) const {
    if constexpr (kExecIsHost) {
      ArenaFrame frame(step.arena);
      const auto sums = step.arena.template array<double>(total_.extent(0));
      sum_partials(step, partial_, sums);
      add_sums(step.exec, sums, total_);
    }
  }

 private:
  Step<T>* step_;
  View1<T> total_;
  View2<double> partial_;
};

}  // namespace gnn_hpc
