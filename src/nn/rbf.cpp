// SPDX-License-Identifier: Apache-2.0
#include "nn/rbf.hpp"

#include "nn/activation.hpp"
#include "nn/channels.hpp"
#include "nn/matmul.hpp"
#include "nn/rows.hpp"

namespace gnn_hpc {

namespace {

template <class T>
void expand(const Exec& exec, View1<double> s, double low, double high, View2<T> phi) {
  const int bins = phi.extent_int(1);
  const double spacing = (high - low) / (bins - 1), gamma = 1.0 / spacing;
  Kokkos::parallel_for(
      "gnn_hpc::RadialBasis::expand", Kokkos::TeamPolicy<Exec>(exec, phi.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        const double x = s(r);
        each_channel(team, bins, [&](const int m) {
          const double d = x - (low + spacing * m);
          phi(r, m) = exponential(static_cast<T>(-gamma * d * d));
        });
      });
}

template <class T>
void bias_softplus(const Exec& exec, View1<T> bias, View2<T> y) {
  const int width = y.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::RadialBasis::softplus", Kokkos::TeamPolicy<Exec>(exec, y.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) { y(r, c) = softplus(y(r, c) + bias(c)); });
      });
}

}  // namespace

template <class T>
RadialBasis<T>::RadialBasis(ParamStore<T>& store, const std::string& name, double lo, double hi, int num_bins, int width)
    : linear(store, name + ".1", num_bins, width), low(lo), high(hi), bins(num_bins) {
  GNN_HPC_REQUIRE(num_bins > 1, "{}: {} bins, at least 2 are needed", name, num_bins);
}

template <class T>
typename RadialBasis<T>::Saved RadialBasis<T>::forward(Step<T>& step, View1<double> s) const {
  Saved saved{step.arena.template matrix<T>(s.extent(0), bins), step.arena.template matrix<T>(s.extent(0), linear.weight.info().rows())};
  expand(step.exec, s, low, high, saved.phi);
  Matmul<T>::nt(step.exec, saved.phi, linear.weight.value(), saved.y);
  bias_softplus(step.exec, linear.bias.value1(), saved.y);
  return saved;
}

template <class T>
void RadialBasis<T>::backward(Step<T>& step, const Saved& saved, View2<T> dy) const {
  RowOps<T>::softplus_backward(step.exec, saved.y, dy);
  linear.backward_parameters(step, saved.phi, dy);
}

template struct RadialBasis<float>;
template struct RadialBasis<double>;

}  // namespace gnn_hpc
