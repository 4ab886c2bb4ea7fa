// SPDX-License-Identifier: Apache-2.0
#include "nn/node_pooling.hpp"

#include "nn/channels.hpp"
#include "nn/dropout.hpp"
#include "nn/row_sums.hpp"

namespace gnn_hpc {

namespace {

template <class T>
void relu(const Exec& exec, View2<T> x) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::NodePooling::relu", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        T* row = &x(team.league_rank(), 0);
        each_channel(team, width, [&](const int c) { row[c] = row[c] > T(0) ? row[c] : T(0); });
      });
}

template <class T>
void pool_max(const Exec& exec, View1<int> ptr, View2<T> x, View2<int> place, View2<T> y) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::NodePooling::max", Kokkos::TeamPolicy<Exec>(exec, y.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int g = team.league_rank(), begin = ptr(g), end = ptr(g + 1);
        Kokkos::parallel_for(Kokkos::TeamVectorRange(team, width), [&](const int c) {
          int best = begin < end ? begin : -1;
          for (int n = begin + 1; n < end; ++n) {
            if (x(n, c) > x(best, c)) best = n;
          }
          place(g, c) = best;
          y(g, c) = best < 0 ? T(0) : x(best, c);
        });
      });
}

template <class T>
void pool_max_backward(const Exec& exec, View1<int> graph, View2<int> place, View2<T> dy, View2<T> dx) {
  const int width = dx.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::NodePooling::max_backward", Kokkos::TeamPolicy<Exec>(exec, dx.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int n = team.league_rank(), g = graph(n);
        each_channel(team, width, [&](const int c) { dx(n, c) = place(g, c) == n ? dy(g, c) : T(0); });
      });
}

/// weight = softmax of its entries within each graph.
template <class T>
void softmax(const Exec& exec, View1<int> ptr, View2<T> weight) {
  const int graphs = ptr.extent_int(0) - 1;
  Kokkos::parallel_for(
      "gnn_hpc::NodePooling::softmax", Rows(exec, 0, graphs), KOKKOS_LAMBDA(const int g) {
        const int begin = ptr(g), end = ptr(g + 1);
        if (begin == end) return;
        T largest = weight(begin, 0), sum = 0;
        for (int n = begin; n < end; ++n) largest = weight(n, 0) > largest ? weight(n, 0) : largest;
        for (int n = begin; n < end; ++n) sum += weight(n, 0) = Kokkos::exp(weight(n, 0) - largest);
        for (int n = begin; n < end; ++n) weight(n, 0) /= sum;
      });
}

template <class T>
void weighted_sum(const Exec& exec, View1<int> ptr, View2<T> weight, View2<T> x, View2<T> y) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::NodePooling::weighted_sum", Kokkos::TeamPolicy<Exec>(exec, y.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int g = team.league_rank();
        each_channel(team, width, [&](const int c) {
          T sum = 0;
          for (int n = ptr(g); n < ptr(g + 1); ++n) sum += weight(n, 0) * x(n, c);
          y(g, c) = sum;
        });
      });
}

/// dx = w dy, dweight = x.dy
template <class T>
void weighted_sum_backward(const Exec& exec, View1<int> graph, View2<T> weight, View2<T> x, View2<T> dy, View2<T> dx, View2<T> dweight) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::NodePooling::weighted_sum_backward", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int n = team.league_rank(), g = graph(n);
        const T w = weight(n, 0), along = sum_channels<T>(team, width, [&](const int c) { return x(n, c) * dy(g, c); });
        each_channel(team, width, [&](const int c) { dx(n, c) = w * dy(g, c); });
        Kokkos::single(Kokkos::PerTeam(team), [&] { dweight(n, 0) = along; });
      });
}

/// dweight -> da in place.
template <class T>
void softmax_backward(const Exec& exec, View1<int> ptr, View2<T> weight, View2<T> dweight) {
  const int graphs = ptr.extent_int(0) - 1;
  Kokkos::parallel_for(
      "gnn_hpc::NodePooling::softmax_backward", Rows(exec, 0, graphs), KOKKOS_LAMBDA(const int g) {
        T mean = 0;
        for (int n = ptr(g); n < ptr(g + 1); ++n) mean += weight(n, 0) * dweight(n, 0);
        for (int n = ptr(g); n < ptr(g + 1); ++n) dweight(n, 0) = weight(n, 0) * (dweight(n, 0) - mean);
      });
}

}  // namespace

template <class T>
NodePooling<T>::NodePooling(ParamStore<T>& store, PoolingKind k, int width) : kind(k) {
  if (k != PoolingKind::attention) return;
  inner = Linear<T>(store, "attention.0", width, width / 2);
  outer = Linear<T>(store, "attention.2", width / 2, 1);
}

template <class T>
View2<T> NodePooling<T>::forward(Step<T>& step, const Segments& nodes, View2<T> x, Saved& s) const {
  const std::size_t graphs = nodes.row_ptr.extent(0) - 1;
  s.x = x;
  s.y = step.arena.template matrix<T>(graphs, x.extent(1));
  switch (kind) {
    case PoolingKind::sum:
      SegmentSum<T>::forward(step.exec, Reduction::csr, nodes, x, s.y);
      break;
    case PoolingKind::mean:
      SegmentMean<T>::forward(step.exec, nodes.row_ptr, x, s.y);
      break;
    case PoolingKind::max:
      s.place = step.arena.template matrix<int>(graphs, x.extent(1));
      pool_max(step.exec, nodes.row_ptr, x, s.place, s.y);
      break;
    case PoolingKind::attention:
      s.hidden = step.arena.template matrix<T>(x.extent(0), inner.weight.info().shape[0]);
      s.weight = step.arena.template matrix<T>(x.extent(0), 1);
      inner.forward(step, x, s.hidden);
      relu(step.exec, s.hidden);
      outer.forward(step, s.hidden, s.weight);
      softmax(step.exec, nodes.row_ptr, s.weight);
      weighted_sum(step.exec, nodes.row_ptr, s.weight, x, s.y);
      break;
  }
  return s.y;
}

template <class T>
void NodePooling<T>::backward(Step<T>& step, const Segments& nodes, const Saved& s, View2<T> dy, View2<T> dx) const {
  switch (kind) {
    case PoolingKind::sum:
      SegmentSum<T>::backward(step.exec, nodes, dy, dx);
      break;
    case PoolingKind::mean:
      SegmentMean<T>::backward(step.exec, nodes.row_ptr, dy, dx);
      break;
    case PoolingKind::max:
      pool_max_backward(step.exec, nodes.owner, s.place, dy, dx);
      break;
    case PoolingKind::attention: {
      ArenaFrame frame(step.arena);
      const auto dweight = step.arena.template matrix<T>(dx.extent(0), 1), dhidden = step.arena.template matrix<T>(dx.extent(0), s.hidden.extent(1));
      weighted_sum_backward(step.exec, nodes.owner, s.weight, s.x, dy, dx, dweight);
      softmax_backward(step.exec, nodes.row_ptr, s.weight, dweight);
      Linear<T> shifted = outer;  // its bias cancels
      shifted.has_bias = false;
      shifted.backward(step, s.hidden, dweight, dhidden);
      relu_rows_backward(step.exec, s.hidden, dhidden, T(1), 0, dhidden.extent_int(0));
      inner.backward(step, s.x, dhidden, dx, T(1));
      break;
    }
  }
}

template struct NodePooling<float>;
template struct NodePooling<double>;

}  // namespace gnn_hpc
