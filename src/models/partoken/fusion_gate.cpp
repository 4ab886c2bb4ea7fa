// SPDX-License-Identifier: Apache-2.0
#include "models/partoken/fusion_gate.hpp"

#include "nn/activation.hpp"
#include "nn/channels.hpp"
#include "nn/matmul.hpp"
#include "nn/rows.hpp"

#include <algorithm>
#include <cmath>

namespace gnn_hpc::partoken {

namespace {

constexpr const char* kDropout = "fw_gate.beta_mlp.2";

/// beta = sigmoid(beta), sum = g + beta projected
template <class T>
void mix(const Exec& exec, View2<T> g, View2<T> projected, View2<T> beta, View2<T> sum) {
  const int width = g.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::FusionGate::mix", Kokkos::TeamPolicy<Exec>(exec, g.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) {
          beta(r, c) = sigmoid(beta(r, c));
          sum(r, c) = g(r, c) + beta(r, c) * projected(r, c);
        });
      });
}

/// From the sum's gradient: that of the gate before the sigmoid, and of what it scales.
template <class T>
void mix_backward(const Exec& exec, View2<T> dsum, View2<T> projected, View2<T> beta, View2<T> dgate, View2<T> dprojected) {
  const int width = dsum.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::FusionGate::mix_backward", Kokkos::TeamPolicy<Exec>(exec, dsum.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) {
          dgate(r, c) = dsum(r, c) * projected(r, c) * beta(r, c) * (T(1) - beta(r, c));
          dprojected(r, c) = dsum(r, c) * beta(r, c);
        });
      });
}

}  // namespace

template <class T>
FusionGate<T>::FusionGate(ParamStore<T>& store, int width) {
  const int inner = width / 2 > 0 ? width / 2 : 32;  // as published
  hidden = Linear<T>(store, "fw_gate.beta_mlp.0", 2 * width, inner);
  const auto rows = static_cast<std::size_t>(width);
  gate.weight =
      store.add("fw_gate.beta_mlp.3.weight", {rows, static_cast<std::size_t>(inner)}, Init::uniform(1.0 / std::sqrt(static_cast<double>(inner))));
  gate.bias = store.add("fw_gate.beta_mlp.3.bias", {rows}, Init::constant(0.0));
  project = Linear<T>(store, "fw_gate.proj_c", width, width, false);
  norm = LayerNorm<T>(store, "fw_gate.ln", width);
}

template <class T>
View2<T> FusionGate<T>::forward(Step<T>& step, const RowDropout<T>& dropout, View2<T> g, View2<T> c, Saved& s) const {
  const std::size_t rows = g.extent(0), width = g.extent(1), inner = hidden.weight.info().shape[0];
  const int d = static_cast<int>(width);
  const auto matrix = [&](std::size_t columns) { return step.arena.template matrix<T>(rows, columns); };
  s.g = g;
  s.c = c;
  s.hidden = matrix(inner);
  s.keep = dropout.factors(step, kDropout, rows, static_cast<int>(inner));
  s.beta = matrix(width);
  s.projected = matrix(width);
  s.hat = matrix(width);
  s.rdev = step.arena.template array<T>(rows);
  const View2<T> y = matrix(width), w = hidden.weight.value();
  Matmul<T>::nt(step.exec, g, column_range(w, 0, d), s.hidden);
  Matmul<T>::nt(step.exec, c, column_range(w, d, 2 * d), s.hidden, T(1));
  RowOps<T>::add_bias(step.exec, s.hidden, hidden.bias.value1());
  relu_drop(step.exec, s.keep, s.hidden);
  gate.forward(step, s.hidden, s.beta);
  project.forward(step, c, s.projected);
  mix(step.exec, g, s.projected, s.beta, s.hat);
  LayerNorm<T>::normalise(step.exec, s.hat, s.hat, s.rdev);
  norm.affine(step.exec, s.hat, y);
  return y;
}

template <class T>
void FusionGate<T>::backward(Step<T>& step, const Saved& s, View2<T> dy, View2<T> dg, View2<T> dc) const {
  ArenaFrame frame(step.arena);
  const int d = dy.extent_int(1);
  const auto like = [&](const View2<T>& x) { return step.arena.template matrix<T>(x.extent(0), x.extent(1)); };
  const auto partial = step.arena.template matrix<double>(1, 2 * dy.extent(1));
  norm.backward_rows(step.exec, s.hat, s.rdev, dy, dg, T(0), row_elements(partial, 0, 0, 2 * d));
  norm.add_partials(step, partial);
  const auto dgate = like(s.beta), dprojected = like(s.projected), dhidden = like(s.hidden);
  mix_backward(step.exec, dg, s.projected, s.beta, dgate, dprojected);
  project.backward(step, s.c, dprojected, dc);
  gate.backward(step, s.hidden, dgate, dhidden);
  relu_drop_backward(step.exec, s.keep, s.hidden, dhidden);
  const View2<T> w = hidden.weight.value(), dw = hidden.weight.grad();
  Matmul<T>::tn(step.exec, dhidden, s.g, column_range(dw, 0, d));
  Matmul<T>::tn(step.exec, dhidden, s.c, column_range(dw, d, 2 * d));
  RowOps<T>::add_column_sums(step, dhidden, hidden.bias.grad1());
  Matmul<T>::nn(step.exec, dhidden, column_range(w, 0, d), dg, T(1));
  Matmul<T>::nn(step.exec, dhidden, column_range(w, d, 2 * d), dc, T(1));
}

template struct FusionGate<float>;
template struct FusionGate<double>;

}  // namespace gnn_hpc::partoken
