// SPDX-License-Identifier: Apache-2.0
#include "nn/chunks.hpp"

#include <vector>

namespace gnn_hpc {

namespace {

std::vector<ChunkExec>& lane_spaces() {
  static std::vector<ChunkExec> spaces;
  return spaces;
}

template <class T>
void add_copies(const Exec& exec, View2<T> copies, View2<T> total) {
  const int rows = total.extent_int(0), width = total.extent_int(1), lanes = copies.extent_int(0) / rows;
  Kokkos::parallel_for(
      "gnn_hpc::LaneSums::finish", Kokkos::TeamPolicy<Exec>(exec, rows, team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        for (int l = 0; l < lanes; ++l) {
          each_channel(team, width, [&](const int c) { total(r, c) += copies(l * rows + r, c); });
        }
      });
}

}  // namespace

int num_lanes() { return kExecIsHost ? Exec().concurrency() : 1; }

const ChunkExec& lane_exec(int lane) {
  std::vector<ChunkExec>& spaces = lane_spaces();
  if (spaces.empty()) Kokkos::push_finalize_hook([] { lane_spaces().clear(); });
  while (static_cast<int>(spaces.size()) <= lane) {
#if defined(GNN_HPC_ONE_EXEC)
    spaces.emplace_back();
#else  // an instance of its own each: work on one instance waits for other work on it
    spaces.emplace_back(Kokkos::NewInstance{});
#endif
  }
  return spaces[static_cast<std::size_t>(lane)];
}

template <class T>
LaneSums<T>::LaneSums(Step<T>& step, View2<T> total) : total_(total) {
  copies_ = step.arena.template matrix<T>(static_cast<std::size_t>(num_lanes() - 1) * total.extent(0), total.extent(1));
  Kokkos::deep_copy(step.exec, copies_, T(0));
}

template <class T>
View2<T> LaneSums<T>::operator()(int lane) const {
  const int rows = total_.extent_int(0);
  return lane == 0 ? total_ : row_range(copies_, (lane - 1) * rows, lane * rows);
}

template <class T>
void LaneSums<T>::finish(Step<T>& step) const {
  if (copies_.extent(0) > 0) add_copies(step.exec, copies_, total_);
}

template class LaneSums<float>;
template class LaneSums<double>;

}  // namespace gnn_hpc
