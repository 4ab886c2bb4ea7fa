// SPDX-License-Identifier: Apache-2.0
#include "nn/row_dropout.hpp"

#include "base/error.hpp"
#include "nn/random_mask.hpp"

namespace gnn_hpc {

namespace {

template <class T>
void draw(const Exec& exec, const RandomMask& mask, const RowDropout<T>& rows, View2<T> out) {
  const int width = out.extent_int(1);
  const auto key = rows.graph_key;
  const auto ptr = rows.graph_ptr, graph = rows.node_graph;
  const bool graphs = graph.extent(0) == 0;
  Kokkos::parallel_for(
      "gnn_hpc::RowDropout::draw", Kokkos::TeamPolicy<Exec>(exec, out.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank(), g = graphs ? r : graph(r);
        T* row = &out(r, 0);
        each_channel_masked<T>(team, mask, key(g), static_cast<std::uint32_t>(graphs ? 0 : r - ptr(g)), width,
                               [&](const int c, const T factor) { row[c] = factor; });
      });
}

template <class T>
void scale(const Exec& exec, View2<T> kept, T factor, View2<T> out) {
  Kokkos::parallel_for(
      "gnn_hpc::RowDropout::given", RowMajor2(exec, {0, 0}, {out.extent_int(0), out.extent_int(1)}),
      KOKKOS_LAMBDA(const int r, const int c) { out(r, c) = factor * kept(r, c); });
}

}  // namespace

template <class T>
View2<T> RowDropout<T>::factors(Step<T>& step, const std::string& layer, std::size_t rows, int channels) const {
  if (!step.training() || rate <= 0.0) return {};
  const auto stored = [&] { return given->find(layer); };
  if (given != nullptr && stored() == given->end()) return {};
  const View2<T> out = step.arena.template matrix<T>(rows, static_cast<std::size_t>(channels));
  if (given == nullptr) {
    draw(step.exec, RandomMask(step.key.fold(fnv1a64(layer)), rate), *this, out);
    return out;
  }
  const View2<T> kept = stored()->second;
  GNN_HPC_REQUIRE(kept.extent(0) == rows && kept.extent(1) == out.extent(1), "{}: factors {}x{} for {}x{}", layer, kept.extent(0), kept.extent(1),
                  rows, channels);
  scale(step.exec, kept, static_cast<T>(1.0 / (1.0 - rate)), out);
  return out;
}

template <class T>
void relu_drop(const Exec& exec, View2<T> keep, View2<T> x) {
  const int width = x.extent_int(1);
  const bool dropped = keep.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::relu_drop", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) {
          const T positive = x(r, c) > T(0) ? x(r, c) : T(0);
          x(r, c) = dropped ? keep(r, c) * positive : positive;
        });
      });
}

template <class T>
void relu_drop_backward(const Exec& exec, View2<T> keep, View2<T> y, View2<T> dy) {
  const int width = y.extent_int(1);
  const bool dropped = keep.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::relu_drop_backward", Kokkos::TeamPolicy<Exec>(exec, y.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) { dy(r, c) *= y(r, c) > T(0) ? (dropped ? keep(r, c) : T(1)) : T(0); });
      });
}

template struct RowDropout<float>;
template struct RowDropout<double>;
template void relu_drop(const Exec&, View2<float>, View2<float>);
template void relu_drop(const Exec&, View2<double>, View2<double>);
template void relu_drop_backward(const Exec&, View2<float>, View2<float>, View2<float>);
template void relu_drop_backward(const Exec&, View2<double>, View2<double>, View2<double>);

}  // namespace gnn_hpc
