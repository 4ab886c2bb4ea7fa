// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/combiner.hpp"

#include "nn/channels.hpp"
#include "nn/gelu.hpp"
#include "nn/row_sums.hpp"

namespace gnn_hpc::hgnn_moe {

namespace {

template <class T>
void activate_rows(const ChunkExec& exec, View2<T> u, View1<T> bias, View1<T> gamma, View1<T> beta, View2<T> hat, View1<T> rdev, View2<T> base,
                   View2<T> y) {
  const int width = u.extent_int(1);
  const bool has_base = base.extent(1) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::Combiner::forward", Kokkos::TeamPolicy<ChunkExec>(exec, u.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        T *at = &u(r, 0), *x = &hat(r, 0), *out = &y(r, 0);
        const T* b = bias.data();
        each_channel(team, width, [&](const int c) {
          const T value = at[c] + b[c];
          at[c] = value;
          x[c] = gelu(value);
        });
        team.team_barrier();
        const T mean = sum_channels<T>(team, width, [&](const int c) { return x[c]; }) / static_cast<T>(width);
        const T variance = sum_channels<T>(team, width, [&](const int c) { return (x[c] - mean) * (x[c] - mean); }) / static_cast<T>(width);
        const T scale = T(1) / Kokkos::sqrt(variance + static_cast<T>(kLayerNormEpsilon));
        const T* below = has_base ? &base(r, 0) : nullptr;
        each_channel(team, width, [&](const int c) {
          const T normal = (x[c] - mean) * scale;
          x[c] = normal;
          const T value = normal * gamma(c) + beta(c);
          out[c] = has_base ? below[c] + value : value;
        });
        Kokkos::single(Kokkos::PerTeam(team), [&]() { rdev(r) = scale; });
      });
}

template <class T>
void gradient_rows(const ChunkExec& exec, View2<T> u, View1<T> gamma, View2<T> hat, View1<T> rdev, View2<T> dy) {
  const int width = u.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Combiner::backward", Kokkos::TeamPolicy<ChunkExec>(exec, u.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        T* at = &u(r, 0);
        const T *x = &hat(r, 0), *g = &dy(r, 0), *w = gamma.data();
        const T mean = sum_channels<T>(team, width, [&](const int c) { return g[c] * w[c]; }) / static_cast<T>(width);
        const T along = sum_channels<T>(team, width, [&](const int c) { return g[c] * w[c] * x[c]; }) / static_cast<T>(width);
        const T scale = rdev(r);
        each_channel(team, width, [&](const int c) { at[c] = scale * (g[c] * w[c] - mean - x[c] * along) * gelu_derivative(at[c]); });
      });
}

template <class T>
struct Sums {
  View2<T> hat, dy, du;
  View1<double> partial;
  int width;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    double scale[W] = {}, shift[W] = {}, bias[W] = {};
    for (int r = 0; r < dy.extent_int(0); ++r) {
      const T *x = &hat(r, c), *g = &dy(r, c), *d = &du(r, c);
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) {
        scale[j] += static_cast<double>(g[j] * x[j]);
        shift[j] += static_cast<double>(g[j]);
        bias[j] += static_cast<double>(d[j]);
      }
    }
    for (int j = 0; j < W; ++j) {
      partial(c + j) = scale[j];
      partial(width + c + j) = shift[j];
      partial(2 * width + c + j) = bias[j];
    }
  }
};

template <class T>
void sum_rows(const ChunkExec& exec, const Sums<T>& sums) {
  const int width = sums.width;
  Kokkos::parallel_for(
      "gnn_hpc::Combiner::sums", Kokkos::TeamPolicy<ChunkExec>(exec, 1, team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) { each_strip(team, width, sums); });
}

}  // namespace

template <class T>
Combiner<T>::Combiner(ParamStore<T>& store, const std::string& name, int width)
    : weight(store.add(name + ".0.weight", {static_cast<std::size_t>(width), static_cast<std::size_t>(width)}, Init::normal(0.02))),
      bias(store.add(name + ".0.bias", {static_cast<std::size_t>(width)}, Init::constant(0.0))),
      norm(store, name + ".2", width) {}

template <class T>
void Combiner<T>::forward(const ChunkExec& exec, View2<T> u, View1<T> folded_bias, View2<T> hat, View1<T> rdev, View2<T> base, View2<T> y) const {
  activate_rows(exec, u, folded_bias, norm.weight.value1(), norm.bias.value1(), hat, rdev, base, y);
}

template <class T>
void Combiner<T>::backward(const ChunkExec& exec, View2<T> u, View2<T> hat, View1<T> rdev, View2<T> dy, View1<double> partial) const {
  gradient_rows(exec, u, norm.weight.value1(), hat, rdev, dy);
  sum_rows(exec, Sums<T>{hat, dy, u, partial, u.extent_int(1)});
}

template struct Combiner<float>;
template struct Combiner<double>;

}  // namespace gnn_hpc::hgnn_moe
