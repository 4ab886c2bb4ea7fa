// SPDX-License-Identifier: Apache-2.0
#include "nn/gvp_norm.hpp"

#include "nn/row_sums.hpp"

namespace gnn_hpc {

namespace {

template <class T>
void normalise_vectors(const ChunkExec& exec, View2<T> v, View1<T> inverse, View2<T> out) {
  const int width = v.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::GvpNorm::vectors", Kokkos::TeamPolicy<ChunkExec>(exec, inverse.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T *x = &v(3 * r, 0), *y = &v(3 * r + 1, 0), *z = &v(3 * r + 2, 0);
        const T mean = sum_channels<T>(team, width,
                                       [&](const int c) {
                                         const T square = x[c] * x[c] + y[c] * y[c] + z[c] * z[c];
                                         return square > T(kGvpEpsilon) ? square : T(kGvpEpsilon);
                                       }) /
                       static_cast<T>(width);
        const T factor = T(1) / Kokkos::sqrt(mean);
        Kokkos::single(Kokkos::PerTeam(team), [&] { inverse(r) = factor; });
        for (int d = 0; d < 3; ++d) {
          const T* from = &v(3 * r + d, 0);
          T* to = &out(3 * r + d, 0);
          each_channel(team, width, [&](const int c) { to[c] = from[c] * factor; });
        }
      });
}

template <class T>
void vectors_backward(const ChunkExec& exec, View2<T> v, View1<T> inverse, View2<T> dout, View2<T> din) {
  const int width = v.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::GvpNorm::vectors_backward", Kokkos::TeamPolicy<ChunkExec>(exec, inverse.extent_int(0), team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T *x = &v(3 * r, 0), *y = &v(3 * r + 1, 0), *z = &v(3 * r + 2, 0);
        const T *gx = &dout(3 * r, 0), *gy = &dout(3 * r + 1, 0), *gz = &dout(3 * r + 2, 0);
        T *dx = &din(3 * r, 0), *dy = &din(3 * r + 1, 0), *dz = &din(3 * r + 2, 0);
        const T factor = inverse(r);
        const T along = sum_channels<T>(team, width, [&](const int c) { return gx[c] * x[c] + gy[c] * y[c] + gz[c] * z[c]; }) * factor * factor *
                        factor / static_cast<T>(width);
        each_channel(team, width, [&](const int c) {
          const T back = x[c] * x[c] + y[c] * y[c] + z[c] * z[c] >= T(kGvpEpsilon) ? along : T(0);
          dx[c] = gx[c] * factor - back * x[c];
          dy[c] = gy[c] * factor - back * y[c];
          dz[c] = gz[c] * factor - back * z[c];
        });
      });
}

}  // namespace

template <class T>
typename GvpNorm<T>::Saved GvpNorm<T>::Saved::allocate(Arena& arena, std::size_t rows, int ns, int nv) {
  const auto state = GvpState<T>::allocate(arena, rows, ns, nv);
  return {state.s, arena.array<T>(rows), state.v, arena.array<T>(rows)};
}

template <class T>
typename GvpNorm<T>::Saved GvpNorm<T>::Saved::rows(int begin, int end) const {
  return {row_range(hat, begin, end), elements(rdev, begin, end), row_range(v, 3 * begin, 3 * end), elements(inverse, begin, end)};
}

template <class T>
void GvpNorm<T>::forward(const ChunkExec& exec, const Saved& saved, const GvpState<T>& out) const {
  LayerNorm<T>::normalise(exec, saved.hat, saved.hat, saved.rdev);
  scalar.affine(exec, saved.hat, out.s);
  normalise_vectors(exec, saved.v, saved.inverse, out.v);
}

template <class T>
GvpNorm<T>::Gradients::Gradients(Arena& arena, const GvpNorm& norm, int chunks)
    : partial(arena.matrix<double>(static_cast<std::size_t>(chunks), 2 * norm.scalar.weight.info().size)) {}

template <class T>
void GvpNorm<T>::backward(const ChunkExec& exec, int chunk, const Saved& saved, const GvpState<T>& dout, const GvpState<T>& din,
                          const Gradients& gradients) const {
  backward_parameters(exec, chunk, saved, dout.s, din.s, gradients);
  vectors_backward(exec, saved.v, saved.inverse, dout.v, din.v);
}

template <class T>
void GvpNorm<T>::backward_parameters(const ChunkExec& exec, int chunk, const Saved& saved, View2<T> ds, View2<T> din,
                                     const Gradients& gradients) const {
  scalar.backward_rows(exec, saved.hat, saved.rdev, ds, din, T(0), row_elements(gradients.partial, chunk, 0, gradients.partial.extent_int(1)));
}

template struct GvpNorm<float>;
template struct GvpNorm<double>;

}  // namespace gnn_hpc
