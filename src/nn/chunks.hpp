// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"
#include "nn/channels.hpp"
#include "nn/step.hpp"

#include <cstddef>

namespace gnn_hpc {

/// Threads that work on chunks side by side; 1 on a GPU, where a chunk is everything.
int num_lanes();
/// The execution space of one lane; made once, valid until Kokkos ends.
const ChunkExec& lane_exec(int lane);

/// body(lane, exec) once for every lane, side by side. A body must not allocate from the arena, and what several lanes add to needs a
/// copy per lane (`LaneSums`).
template <class Body>
void for_each_lane(const Exec& exec, const Body& body) {
  if constexpr (kExecIsHost) {
    const int lanes = num_lanes();
    if (lanes == 1) {
      body(0, lane_exec(0));
      return;
    }
    lane_exec(lanes - 1);  // made before the lanes start
    using Host = Kokkos::DefaultHostExecutionSpace;
    Kokkos::parallel_for("gnn_hpc::lanes", Kokkos::RangePolicy<Host, Kokkos::IndexType<int>>(0, lanes),
                         [&](const int lane) { body(lane, lane_exec(lane)); });
  } else {
    body(0, exec);
  }
}

/// body(lane, exec, i) for every i of [0, n): lane l takes a contiguous share, always the same one, in order.
template <class Body>
void for_each_chunk(const Exec& exec, int n, const Body& body) {
  const int lanes = num_lanes();
  for_each_lane(exec, [&](const int lane, const ChunkExec& lane_space) {
    for (int i = static_cast<int>(static_cast<long>(n) * lane / lanes); i < static_cast<int>(static_cast<long>(n) * (lane + 1) / lanes); ++i) {
      body(lane, lane_space, i);
    }
  });
}

/// Entries [begin, end) of an array: a chunk's share where every row has one.
template <class V>
V elements(const V& x, int begin, int end) {
  return V(Kokkos::subview(x, Kokkos::make_pair(begin, end)));
}

/// Strips of `column_sums`.
template <class T>
struct ColumnSums {
  View2<T> x;
  View1<double> sums;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    double total[W] = {};
    const int rows = x.extent_int(0);
    for (int begin = 0; begin < rows; begin += 8) {  // eight rows in T, then double
      const int end = begin + 8 < rows ? begin + 8 : rows;
      T part[W] = {};
      for (int r = begin; r < end; ++r) {
        const T* row = &x(r, c);
        GNN_HPC_SIMD
        for (int j = 0; j < W; ++j) part[j] += row[j];
      }
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) total[j] += static_cast<double>(part[j]);
    }
    for (int j = 0; j < W; ++j) sums(c + j) = total[j];
  }
};

/// sums[c] = sum over the rows of x[r,c], for one chunk.
template <class T>
void column_sums(const ChunkExec& exec, View2<T> x, View1<double> sums) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::column_sums::chunk", Kokkos::TeamPolicy<ChunkExec>(exec, 1, team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        each_strip(team, width, ColumnSums<T>{x, sums});
      });
}

/// y(r, c) += x(r, c) for all columns of y, of which x has as many or more.
template <class T>
void add_first_columns(const ChunkExec& exec, View2<T> x, View2<T> y) {
  const int width = y.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::add_first_columns", Kokkos::TeamPolicy<ChunkExec>(exec, y.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T* from = &x(r, 0);
        T* to = &y(r, 0);
        each_channel(team, width, [&](const int c) { to[c] += from[c]; });
      });
}

/// Scratch rows of every lane: one matrix, a block of rows each.
template <class T>
class LaneRows {
 public:
  LaneRows(Arena& arena, int rows, std::size_t columns)
      : rows_(rows), all_(arena.matrix<T>(static_cast<std::size_t>(num_lanes()) * static_cast<std::size_t>(rows), columns)) {}
  /// The first n rows of this lane's block.
  View2<T> operator()(int lane, int n) const { return row_range(all_, lane * rows_, lane * rows_ + n); }

 private:
  int rows_;
  View2<T> all_;
};

/// A matrix that every lane adds to: lane 0 into the matrix itself, the others into copies, which `finish` adds in the order of the
/// lanes. Hence the same result from run to run with the same number of threads.
template <class T>
class LaneSums {
 public:
  LaneSums(Step<T>& step, View2<T> total);
  View2<T> operator()(int lane) const;
  void finish(Step<T>& step) const;

 private:
  View2<T> total_, copies_;
};

}  // namespace gnn_hpc
