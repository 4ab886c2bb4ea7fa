// SPDX-License-Identifier: Apache-2.0
#include "nn/classifier_head.hpp"

#include "nn/channels.hpp"

namespace gnn_hpc {

namespace {

/// x = keep relu(x)
template <class T>
void relu_drop(const Exec& exec, View2<T> keep, View2<T> x) {
  const int width = x.extent_int(1);
  const bool dropped = keep.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::ClassifierHead::relu", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) {
          const T positive = x(r, c) > T(0) ? x(r, c) : T(0);
          x(r, c) = dropped ? keep(r, c) * positive : positive;
        });
      });
}

/// dy of the value y = keep relu(x): 0 where nothing came through.
template <class T>
void relu_drop_backward(const Exec& exec, View2<T> keep, View2<T> y, View2<T> dy) {
  const int width = y.extent_int(1);
  const bool dropped = keep.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::ClassifierHead::relu_backward", Kokkos::TeamPolicy<Exec>(exec, y.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) { dy(r, c) *= y(r, c) > T(0) ? (dropped ? keep(r, c) : T(1)) : T(0); });
      });
}

}  // namespace

template <class T>
ClassifierHead<T>::ClassifierHead(ParamStore<T>& store, const std::string& prefix, int width, int columns)
    : name(prefix),
      first(store, prefix + ".0", width, 2 * width),
      second(store, prefix + ".3", 2 * width, width),
      last(store, prefix + ".6", width, columns) {}

template <class T>
View2<T> ClassifierHead<T>::forward(Step<T>& step, const RowDropout<T>& dropout, View2<T> x, Saved& s) const {
  const std::size_t rows = x.extent(0), width = x.extent(1);
  s.x = x;
  s.first = step.arena.template matrix<T>(rows, 2 * width);
  s.second = step.arena.template matrix<T>(rows, width);
  s.keep_first = dropout.factors(step, name + ".2", rows, static_cast<int>(2 * width));
  s.keep_second = dropout.factors(step, name + ".5", rows, static_cast<int>(width));
  const View2<T> y = step.arena.template matrix<T>(rows, last.weight.info().shape[0]);
  first.forward(step, x, s.first);
  relu_drop(step.exec, s.keep_first, s.first);
  second.forward(step, s.first, s.second);
  relu_drop(step.exec, s.keep_second, s.second);
  last.forward(step, s.second, y);
  return y;
}

template <class T>
void ClassifierHead<T>::backward(Step<T>& step, const Saved& s, View2<T> dy, View2<T> dx) const {
  ArenaFrame frame(step.arena);
  const auto dfirst = step.arena.template matrix<T>(s.first.extent(0), s.first.extent(1));
  const auto dsecond = step.arena.template matrix<T>(s.second.extent(0), s.second.extent(1));
  last.backward(step, s.second, dy, dsecond);
  relu_drop_backward(step.exec, s.keep_second, s.second, dsecond);
  second.backward(step, s.first, dsecond, dfirst);
  relu_drop_backward(step.exec, s.keep_first, s.first, dfirst);
  first.backward(step, s.x, dfirst, dx);
}

template struct ClassifierHead<float>;
template struct ClassifierHead<double>;

}  // namespace gnn_hpc
