// SPDX-License-Identifier: Apache-2.0
#include "nn/embedding.hpp"

#include "base/error.hpp"
#include "nn/channels.hpp"

namespace gnn_hpc {

namespace {

template <class T>
struct BucketSum {
  View1<int> row;
  View2<T> dy, dweight;
  int begin, end, id;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    T sum[W] = {};
    for (int i = begin; i < end; ++i) {
      const T* from = &dy(row(i), c);
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) sum[j] += from[j];
    }
    for (int j = 0; j < W; ++j) dweight(id, c + j) += sum[j];
  }
};

template <class T>
void add_buckets(const Exec& exec, View1<int> id, View1<int> ptr, View1<int> row, View2<T> dy, View2<T> dweight) {
  const int width = dy.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Embedding::backward", Kokkos::TeamPolicy<Exec>(exec, id.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int u = team.league_rank();
        each_strip(team, width, BucketSum<T>{row, dy, dweight, ptr(u), ptr(u + 1), id(u)});
      });
}

}  // namespace

template <class T>
Embedding<T>::Embedding(ParamStore<T>& store, const std::string& name, int rows, int width, double stddev)
    : weight(store.add(name + ".weight", {static_cast<std::size_t>(rows), static_cast<std::size_t>(width)}, Init::normal(stddev))) {}

template <class T>
void Embedding<T>::backward(Step<T>& step, View1<int> bucket_id, View1<int> bucket_ptr, View1<int> bucket_row, View2<T> dy) const {
  GNN_HPC_REQUIRE(bucket_ptr.extent(0) == bucket_id.extent(0) + 1 && bucket_row.extent(0) == dy.extent(0), "{} buckets with {} ends, {} of {} rows",
                  bucket_id.extent(0), bucket_ptr.extent(0), bucket_row.extent(0), dy.extent(0));
  add_buckets(step.exec, bucket_id, bucket_ptr, bucket_row, dy, weight.grad());
}

template struct Embedding<float>;
template struct Embedding<double>;

}  // namespace gnn_hpc
