// SPDX-License-Identifier: Apache-2.0
#include "nn/layer_norm.hpp"

#include "base/error.hpp"
#include "nn/channels.hpp"
#include "nn/matmul.hpp"
#include "nn/row_sums.hpp"
#include "nn/rows.hpp"

namespace gnn_hpc {

namespace {

template <class Space>
using TeamOf = typename Kokkos::TeamPolicy<Space>::member_type;

template <class T, class TeamMember>
KOKKOS_INLINE_FUNCTION void moments(const TeamMember& team, const T* x, int width, T& mean, T& rdev) {
  mean = sum_channels<T>(team, width, [&](const int c) { return x[c]; }) / static_cast<T>(width);
  const T centre = mean;
  const T variance = sum_channels<T>(team, width, [&](const int c) { return (x[c] - centre) * (x[c] - centre); }) / static_cast<T>(width);
  rdev = T(1) / Kokkos::sqrt(variance + static_cast<T>(kLayerNormEpsilon));
}

template <class T, class TeamMember>
KOKKOS_INLINE_FUNCTION void row_backward(const TeamMember& team, const T* xh, const T* g, T rdev, T beta, int width, T* dx) {
  const T mean = sum_channels<T>(team, width, [&](const int c) { return g[c]; }) / static_cast<T>(width);
  const T along = sum_channels<T>(team, width, [&](const int c) { return g[c] * xh[c]; }) / static_cast<T>(width);
  if (beta == T(0)) {
    each_channel(team, width, [&](const int c) { dx[c] = rdev * (g[c] - mean - xh[c] * along); });
  } else {
    each_channel(team, width, [&](const int c) { dx[c] = rdev * (g[c] - mean - xh[c] * along) + beta * dx[c]; });
  }
}

/// partial[c] = sum of dy xh, partial[D + c] = sum of dy over all rows.
template <class T>
struct AffineSums {
  View2<T> xh, dy;
  View1<double> partial;
  int width;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    double scale[W] = {}, shift[W] = {};
    for (int r = 0; r < dy.extent_int(0); ++r) {
      const T *x = &xh(r, c), *g = &dy(r, c);
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) {
        scale[j] += static_cast<double>(g[j] * x[j]);
        shift[j] += static_cast<double>(g[j]);
      }
    }
    for (int j = 0; j < W; ++j) {
      partial(c + j) = scale[j];
      partial(width + c + j) = shift[j];
    }
  }
};

template <class T, class Space>
void affine_sums(const Space& exec, View2<T> xh, View2<T> dy, View1<double> partial) {
  const int width = dy.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::LayerNorm::affine_sums", Kokkos::TeamPolicy<Space>(exec, 1, team_size()), KOKKOS_LAMBDA(const TeamOf<Space>& team) {
        each_strip(team, width, AffineSums<T>{xh, dy, partial, width});
      });
}

template <class T, class Space>
void rows_backward(const Space& exec, View2<T> xh, View1<T> rdev, View2<T> dy, View1<T> gamma, View2<T> dx, T beta) {
  const int width = dy.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::LayerNorm::backward", Kokkos::TeamPolicy<Space>(exec, dy.extent_int(0), team_size()), KOKKOS_LAMBDA(const TeamOf<Space>& team) {
        const int r = team.league_rank();
        const T *g = &dy(r, 0), *x = &xh(r, 0), *w = gamma.data();
        T* out = &dx(r, 0);
        const T mean = sum_channels<T>(team, width, [&](const int c) { return g[c] * w[c]; }) / static_cast<T>(width);
        const T along = sum_channels<T>(team, width, [&](const int c) { return g[c] * w[c] * x[c]; }) / static_cast<T>(width);
        const T scale = rdev(r);
        if (beta == T(0)) {
          each_channel(team, width, [&](const int c) { out[c] = scale * (g[c] * w[c] - mean - x[c] * along); });
        } else {
          each_channel(team, width, [&](const int c) { out[c] = scale * (g[c] * w[c] - mean - x[c] * along) + beta * out[c]; });
        }
      });
}

/// folded = W diag(gamma), folded_bias = b + W beta; one output a team.
template <class T>
void fold_rows(const Exec& exec, View2<T> weight, View1<T> bias, View1<T> gamma, View1<T> beta, View2<T> folded, View1<T> folded_bias) {
  const int width = weight.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::AffineFold::forward", Kokkos::TeamPolicy<Exec>(exec, weight.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int n = team.league_rank();
        const T* w = &weight(n, 0);
        T* out = &folded(n, 0);
        each_channel(team, width, [&](const int c) { out[c] = w[c] * gamma(c); });
        const T shift = sum_channels<T>(team, width, [&](const int c) { return w[c] * beta(c); });
        Kokkos::single(Kokkos::PerTeam(team), [&]() { folded_bias(n) = bias(n) + shift; });
      });
}

/// dW += dW'' diag(gamma) + db beta', db of the layer += db''.
template <class T>
void unfold_rows(const Exec& exec, View1<T> gamma, View1<T> beta, View2<T> dfolded, View1<T> dfolded_bias, View2<T> dweight, View1<T> dbias) {
  const int width = dweight.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::AffineFold::backward", Kokkos::TeamPolicy<Exec>(exec, dweight.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int n = team.league_rank();
        const T* g = &dfolded(n, 0);
        T* out = &dweight(n, 0);
        const T b = dfolded_bias(n);
        each_channel(team, width, [&](const int c) { out[c] += g[c] * gamma(c) + b * beta(c); });
        Kokkos::single(Kokkos::PerTeam(team), [&]() { dbias(n) += b; });
      });
}

template <class T>
struct AffineGradient {
  View2<T> weight, dfolded;
  View1<T> dfolded_bias, dgamma, dbeta;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    T scale[W] = {}, shift[W] = {};
    for (int n = 0; n < weight.extent_int(0); ++n) {
      const T *w = &weight(n, c), *g = &dfolded(n, c);
      const T b = dfolded_bias(n);
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) {
        scale[j] += w[j] * g[j];
        shift[j] += w[j] * b;
      }
    }
    for (int j = 0; j < W; ++j) {
      dgamma(c + j) += scale[j];
      dbeta(c + j) += shift[j];
    }
  }
};

template <class T>
void affine_gradient(const Exec& exec, View2<T> weight, View2<T> dfolded, View1<T> dfolded_bias, View1<T> dgamma, View1<T> dbeta) {
  const int width = weight.extent_int(1);
  const int pieces = (width + 31) / 32;
  Kokkos::parallel_for(
      "gnn_hpc::AffineFold::affine_gradient", Kokkos::TeamPolicy<Exec>(exec, pieces, team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int begin = team.league_rank() * 32, end = begin + 32 < width ? begin + 32 : width;
        const AffineGradient<T> sum{weight, dfolded, dfolded_bias, dgamma, dbeta};
        if constexpr (kExecIsHost) {
          if (end - begin == 32) {
            sum.template run<32>(begin);
          } else {
            for (int c = begin; c < end; ++c) sum.template run<1>(c);
          }
        } else {
          Kokkos::parallel_for(Kokkos::TeamVectorRange(team, end - begin), [&](const int c) { sum.template run<1>(begin + c); });
        }
      });
}

}  // namespace

template <class T>
LayerNorm<T>::LayerNorm(ParamStore<T>& store, const std::string& name, int width, bool used)
    : weight(store.add(name + ".weight", {static_cast<std::size_t>(width)}, Init::constant(1.0), used)),
      bias(store.add(name + ".bias", {static_cast<std::size_t>(width)}, Init::constant(0.0), used)) {}

template <class T>
template <class Space>
void LayerNorm<T>::normalise(const Space& exec, View2<T> x, View2<T> xh, View1<T> rdev) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::LayerNorm::normalise", Kokkos::TeamPolicy<Space>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const TeamOf<Space>& team) {
        const int r = team.league_rank();
        const T* from = &x(r, 0);
        T* to = &xh(r, 0);
        T mean, scale;
        moments(team, from, width, mean, scale);
        each_channel(team, width, [&](const int c) { to[c] = (from[c] - mean) * scale; });
        Kokkos::single(Kokkos::PerTeam(team), [&]() { rdev(r) = scale; });
      });
}

template <class T>
template <class Space>
void LayerNorm<T>::normalise_keep(const Space& exec, View2<T> x, View2<T> xh, View1<T> mean, View1<T> rdev) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::LayerNorm::normalise_keep", Kokkos::TeamPolicy<Space>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const TeamOf<Space>& team) {
        const int r = team.league_rank();
        const T* from = &x(r, 0);
        T* to = &xh(r, 0);
        T centre, scale;
        moments(team, from, width, centre, scale);
        each_channel(team, width, [&](const int c) { to[c] = (from[c] - centre) * scale; });
        Kokkos::single(Kokkos::PerTeam(team), [&]() {
          mean(r) = centre;
          rdev(r) = scale;
        });
      });
}

template <class T>
template <class Space>
void LayerNorm<T>::normalise_with(const Space& exec, View2<T> x, View1<T> mean, View1<T> rdev, View2<T> xh) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::LayerNorm::normalise_with", Kokkos::TeamPolicy<Space>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const TeamOf<Space>& team) {
        const int r = team.league_rank();
        const T* from = &x(r, 0);
        T* to = &xh(r, 0);
        const T centre = mean(r), scale = rdev(r);
        each_channel(team, width, [&](const int c) { to[c] = (from[c] - centre) * scale; });
      });
}

template <class T>
template <class Space>
void LayerNorm<T>::affine(const Space& exec, View2<T> xh, View2<T> y) const {
  const int width = xh.extent_int(1);
  const View1<T> gamma = weight.value1(), beta = bias.value1();
  Kokkos::parallel_for(
      "gnn_hpc::LayerNorm::affine", Kokkos::TeamPolicy<Space>(exec, xh.extent_int(0), team_size()), KOKKOS_LAMBDA(const TeamOf<Space>& team) {
        const int r = team.league_rank();
        const T* from = &xh(r, 0);
        T* to = &y(r, 0);
        each_channel(team, width, [&](const int c) { to[c] = from[c] * gamma(c) + beta(c); });
      });
}

template <class T>
template <class Space>
void LayerNorm<T>::backward_hat(const Space& exec, View2<T> xh, View1<T> rdev, View2<T> g, View2<T> dx, T beta) {
  const int width = g.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::LayerNorm::backward_hat", Kokkos::TeamPolicy<Space>(exec, g.extent_int(0), team_size()), KOKKOS_LAMBDA(const TeamOf<Space>& team) {
        const int r = team.league_rank();
        row_backward(team, &xh(r, 0), &g(r, 0), rdev(r), beta, width, &dx(r, 0));
      });
}

template <class T>
template <class Space>
void LayerNorm<T>::backward_rows(const Space& exec, View2<T> xh, View1<T> rdev, View2<T> dy, View2<T> dx, T beta, View1<double> partial) const {
  affine_sums(exec, xh, dy, partial);
  rows_backward(exec, xh, rdev, dy, weight.value1(), dx, beta);
}

template <class T>
void LayerNorm<T>::add_partials(Step<T>& step, View2<double> partial) const {
  ArenaFrame frame(step.arena);
  const int width = partial.extent_int(1) / 2;
  const auto sums = step.arena.template array<double>(partial.extent(1));
  sum_partials(step, partial, sums);
  add_sums(step.exec, View1<double>(sums.data(), width), weight.grad1());
  add_sums(step.exec, View1<double>(sums.data() + width, width), bias.grad1());
}

template <class T>
void AffineFold<T>::forward(const Exec& exec, View2<T> weight, View1<T> bias, View1<T> gamma, View1<T> beta, View2<T> folded, View1<T> folded_bias) {
  fold_rows(exec, weight, bias, gamma, beta, folded, folded_bias);
}

template <class T>
void AffineFold<T>::backward(const Exec& exec, View2<T> weight, View1<T> gamma, View1<T> beta, View2<T> dfolded, View1<T> dfolded_bias,
                             View2<T> dweight, View1<T> dbias, View1<T> dgamma, View1<T> dbeta) {
  unfold_rows(exec, gamma, beta, dfolded, dfolded_bias, dweight, dbias);
  affine_gradient(exec, weight, dfolded, dfolded_bias, dgamma, dbeta);
}

#define GNN_HPC_LAYER_NORM(T, Space)                                                                        \
  template void LayerNorm<T>::normalise<Space>(const Space&, View2<T>, View2<T>, View1<T>);                 \
  template void LayerNorm<T>::normalise_keep<Space>(const Space&, View2<T>, View2<T>, View1<T>, View1<T>);  \
  template void LayerNorm<T>::normalise_with<Space>(const Space&, View2<T>, View1<T>, View1<T>, View2<T>);  \
  template void LayerNorm<T>::affine<Space>(const Space&, View2<T>, View2<T>) const;                        \
  template void LayerNorm<T>::backward_hat<Space>(const Space&, View2<T>, View1<T>, View2<T>, View2<T>, T); \
  template void LayerNorm<T>::backward_rows<Space>(const Space&, View2<T>, View1<T>, View2<T>, View2<T>, T, View1<double>) const;

template struct LayerNorm<float>;
template struct LayerNorm<double>;
template struct AffineFold<float>;
template struct AffineFold<double>;
GNN_HPC_LAYER_NORM(float, Exec)
GNN_HPC_LAYER_NORM(double, Exec)
#if !defined(GNN_HPC_ONE_EXEC)
GNN_HPC_LAYER_NORM(float, ChunkExec)
GNN_HPC_LAYER_NORM(double, ChunkExec)
#endif

}  // namespace gnn_hpc
