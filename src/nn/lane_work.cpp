// SPDX-License-Identifier: Apache-2.0
#include "nn/lane_work.hpp"

#include "nn/matmul.hpp"

#include <algorithm>

namespace gnn_hpc {

namespace {

constexpr int kStrip = 32;  // columns of a bias that one work item sums

/// db[c] += sum over r of dy[r,c] for a strip of columns.
template <class T>
struct AddColumns {
  View2<T> dy;
  View1<T> db;
  KOKKOS_INLINE_FUNCTION void operator()(const ChunkTeam& team) const {
    const int rows = dy.extent_int(0), width = dy.extent_int(1);
    const int begin = team.league_rank() * kStrip, count = begin + kStrip < width ? kStrip : width - begin;
    if constexpr (kExecIsHost) {
      double sum[kStrip] = {};
      for (int r = 0; r < rows; ++r) {
        const T* row = &dy(r, begin);
        if (count == kStrip) {
          GNN_HPC_SIMD
          for (int c = 0; c < kStrip; ++c) sum[c] += static_cast<double>(row[c]);
        } else {
          for (int c = 0; c < count; ++c) sum[c] += static_cast<double>(row[c]);
        }
      }
      for (int c = 0; c < count; ++c) db(begin + c) += static_cast<T>(sum[c]);
    } else {
      for (int c = 0; c < count; ++c) {
        double sum = 0.0;
        Kokkos::parallel_reduce(
            Kokkos::TeamThreadRange(team, rows), [&](const int r, double& s) { s += static_cast<double>(dy(r, begin + c)); }, sum);
        Kokkos::single(Kokkos::PerTeam(team), [&]() { db(begin + c) += static_cast<T>(sum); });
      }
    }
  }
};

template <class T>
void add_columns(const ChunkExec& exec, View2<T> dy, View1<T> db) {
  const int strips = (dy.extent_int(1) + kStrip - 1) / kStrip;
  Kokkos::parallel_for("gnn_hpc::WeightGradients::bias", Kokkos::TeamPolicy<ChunkExec>(exec, strips, team_size()), AddColumns<T>{dy, db});
}

int share(int n, int lane, int lanes) { return static_cast<int>(static_cast<long>(n) * lane / lanes); }

}  // namespace

RowChunks::RowChunks(int num_rows) : rows(num_rows) {
  if (rows == 0) return;
  const long lanes = num_lanes();
  count = kExecIsHost ? static_cast<int>(lanes * std::max(1L, (rows + lanes * kChunkRows - 1) / (lanes * kChunkRows))) : 1;
}

template <class T>
void lanes_nt(const Exec& exec, std::initializer_list<Product<T>> products) {
  for_each_lane(exec, [&](const int lane, const ChunkExec& space) {
    for (const Product<T>& p : products) {
      const int begin = share(p.a.extent_int(0), lane, num_lanes()), end = share(p.a.extent_int(0), lane + 1, num_lanes());
      if (begin < end) Matmul<T>::nt(space, row_range(p.a, begin, end), p.b, row_range(p.c, begin, end));
    }
  });
}

template <class T>
void lanes_nn(const Exec& exec, std::initializer_list<Product<T>> products) {
  for_each_lane(exec, [&](const int lane, const ChunkExec& space) {
    for (const Product<T>& p : products) {
      const int begin = share(p.a.extent_int(0), lane, num_lanes()), end = share(p.a.extent_int(0), lane + 1, num_lanes());
      if (begin < end) Matmul<T>::nn(space, row_range(p.a, begin, end), p.b, row_range(p.c, begin, end), p.beta);
    }
  });
}

template <class T>
void WeightGradients<T>::push(View2<T> dy, View2<T> x, View2<T> dweight, View1<T> dbias) {
  items_.push_back({dy, x, dweight, dbias});
}

template <class T>
void WeightGradients<T>::add(Step<T>& step) {
  for_each_lane(step.exec, [&](const int lane, const ChunkExec& space) {
    const int lanes = num_lanes();
    for (const Item& item : items_) {
      const int begin = share(item.dy.extent_int(1), lane, lanes), end = share(item.dy.extent_int(1), lane + 1, lanes);
      if (begin == end || item.dy.extent(0) == 0) continue;
      const View2<T> dy = column_range(item.dy, begin, end);
      if (item.dweight.extent(0) > 0) Matmul<T>::tn(space, dy, item.x, row_range(item.dweight, begin, end));
      if (item.dbias.extent(0) > 0) add_columns(space, dy, View1<T>(item.dbias.data() + begin, static_cast<std::size_t>(end - begin)));
    }
  });
  items_.clear();
}

template void lanes_nt<float>(const Exec&, std::initializer_list<Product<float>>);
template void lanes_nt<double>(const Exec&, std::initializer_list<Product<double>>);
template void lanes_nn<float>(const Exec&, std::initializer_list<Product<float>>);
template void lanes_nn<double>(const Exec&, std::initializer_list<Product<double>>);
template class WeightGradients<float>;
template class WeightGradients<double>;

}  // namespace gnn_hpc
