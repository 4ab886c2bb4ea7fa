// SPDX-License-Identifier: Apache-2.0
#include "nn/row_map.hpp"

#include <Kokkos_ScatterView.hpp>

#include <algorithm>

namespace gnn_hpc {

namespace {

/// Per piece of a group of items with the same first row: their gradients, weighted for each of the taps.
template <class T>
struct PieceSum {
  RowMap<T> map;
  View2<T> dy, partial;  // [P * taps, C]
  int piece;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    const int begin = map.piece_ptr(piece), end = map.piece_ptr(piece + 1);
    T sum[4][W] = {};
    for (int k = begin; k < end; ++k) {
      const int i = map.group_item(k);
      const T* grad = &dy(i, c);
      for (int t = 0; t < map.taps; ++t) {
        const T w = map.weight(i, t);
        GNN_HPC_SIMD
        for (int j = 0; j < W; ++j) sum[t][j] += w * grad[j];
      }
    }
    for (int t = 0; t < map.taps; ++t) {
      for (int j = 0; j < W; ++j) partial(piece * map.taps + t, c + j) = sum[t][j];
    }
  }
};

template <class T>
void sum_pieces(const Exec& exec, const RowMap<T>& map, View2<T> dy, View2<T> partial) {
  const int width = dy.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::RowMap::pieces", Kokkos::TeamPolicy<Exec>(exec, map.piece_ptr.extent_int(0) - 1, team_size()), KOKKOS_LAMBDA(const Team& team) {
        each_strip(team, width, PieceSum<T>{map, dy, partial, team.league_rank()});
      });
}

/// Row r receives tap t of the pieces of group r - t.
template <class T>
void gather_taps(const Exec& exec, const RowMap<T>& map, View2<T> partial, View2<T> dtable, bool accumulate) {
  const int width = dtable.extent_int(1), taps = map.taps;
  const auto row_piece = map.row_piece;
  Kokkos::parallel_for(
      "gnn_hpc::RowMap::rows", Kokkos::TeamPolicy<Exec>(exec, dtable.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) {
          T sum = accumulate ? dtable(r, c) : T(0);
          for (int t = 0; t < taps && t <= r; ++t) {
            for (int p = row_piece(r - t); p < row_piece(r - t + 1); ++p) sum += partial(p * taps + t, c);
          }
          dtable(r, c) = sum;
        });
      });
}

template <class T>
void scatter_items(const Exec& exec, const RowMap<T>& map, View2<T> dy, View2<T> dtable) {
  const int width = dy.extent_int(1), taps = map.taps;
  const auto first = map.first;
  const auto weight = map.weight;
  auto scatter = Kokkos::Experimental::create_scatter_view(dtable);
  Kokkos::parallel_for(
      "gnn_hpc::RowMap::scatter", Kokkos::TeamPolicy<Exec>(exec, map.num_items, team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int i = team.league_rank();
        auto add = scatter.access();
        for (int t = 0; t < taps; ++t) {
          Kokkos::parallel_for(Kokkos::TeamVectorRange(team, width), [&](const int c) { add(first(i) + t, c) += weight(i, t) * dy(i, c); });
        }
      });
  Kokkos::Experimental::contribute(exec, dtable, scatter);
}

}  // namespace

GroupPieces cut_groups(const std::vector<int>& group_ptr) {
  constexpr int kPiece = 64;  // fixed, so that sums do not depend on the machine
  GroupPieces pieces{{0}, {0}};
  for (std::size_t r = 0; r + 1 < group_ptr.size(); ++r) {
    for (int begin = group_ptr[r]; begin < group_ptr[r + 1]; begin += kPiece) {
      pieces.piece_ptr.push_back(std::min(begin + kPiece, group_ptr[r + 1]));
    }
    pieces.row_piece.push_back(static_cast<int>(pieces.piece_ptr.size()) - 1);
  }
  return pieces;
}

template <class T>
void RowMap<T>::backward(Step<T>& step, Reduction reduction, View2<T> dy, View2<T> dtable, bool accumulate) const {
  GNN_HPC_REQUIRE(dy.extent_int(0) == num_items && dtable.extent_int(0) == num_rows && dy.extent(1) == dtable.extent(1),
                  "row map of {} items and {} rows: dy {}x{}, dtable {}x{}", num_items, num_rows, dy.extent(0), dy.extent(1), dtable.extent(0),
                  dtable.extent(1));
  if (reduction == Reduction::scatter) {
    if (!accumulate) Kokkos::deep_copy(step.exec, dtable, T(0));
    scatter_items(step.exec, *this, dy, dtable);
    return;
  }
  ArenaFrame frame(step.arena);
  const auto partial = step.arena.template matrix<T>((piece_ptr.extent(0) - 1) * static_cast<std::size_t>(taps), dy.extent(1));
  sum_pieces(step.exec, *this, dy, partial);
  gather_taps(step.exec, *this, partial, dtable, accumulate);
}

template struct RowMap<float>;
template struct RowMap<double>;

}  // namespace gnn_hpc
