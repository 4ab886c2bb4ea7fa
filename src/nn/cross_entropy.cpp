// SPDX-License-Identifier: Apache-2.0
#include "nn/cross_entropy.hpp"

#include "base/error.hpp"
#include "nn/activation.hpp"
#include "nn/chunks.hpp"
#include "nn/matmul.hpp"
#include "nn/row_sums.hpp"
#include "nn/rows.hpp"

#include <algorithm>

namespace gnn_hpc {

namespace {

/// Rows whose logits exist at a time in one lane: at most 16 MB of float on a CPU.
int chunk_rows(int vocabulary) {
  const int most = kExecIsHost ? 1 << 22 : 1 << 27;
  return std::clamp(most / std::max(vocabulary, 1), 64, kExecIsHost ? 512 : 1 << 16);
}

/// z += bias; loss(r); z becomes its gradient if wanted.
template <class T>
void row_losses(const ChunkExec& exec, View2<T> z, View1<T> bias, View1<int> target, double divisor, bool gradient, View1<double> loss) {
  const int width = z.extent_int(1);
  const double inverse_divisor = 1.0 / divisor;
  Kokkos::parallel_for(
      "gnn_hpc::VocabularyHead::loss", Kokkos::TeamPolicy<ChunkExec>(exec, z.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank(), wanted = target(r);
        T* row = &z(r, 0);
        const T* b = bias.data();
        if (wanted < 0) {
          if (gradient) each_channel(team, width, [&](const int c) { row[c] = T(0); });
          Kokkos::single(Kokkos::PerTeam(team), [&]() { loss(r) = 0.0; });
          return;
        }
        each_channel(team, width, [&](const int c) { row[c] += b[c]; });
        team.team_barrier();
        T largest = row[0];
        if constexpr (kExecIsHost) {
          for (int c = 1; c < width; ++c) largest = largest > row[c] ? largest : row[c];
        } else {
          Kokkos::parallel_reduce(
              Kokkos::TeamVectorRange(team, width), [&](const int c, T& most) { most = most > row[c] ? most : row[c]; }, Kokkos::Max<T>(largest));
        }
        const T at_target = row[wanted], shift = largest;
        team.team_barrier();
        each_channel(team, width, [&](const int c) { row[c] = exponential(row[c] - shift); });
        team.team_barrier();
        const T sum = sum_channels<T>(team, width, [&](const int c) { return row[c]; });
        Kokkos::single(Kokkos::PerTeam(team),
                       [&]() { loss(r) = (static_cast<double>(shift - at_target) + Kokkos::log(static_cast<double>(sum))) * inverse_divisor; });
        if (!gradient) return;
        const T scale = static_cast<T>(inverse_divisor) / sum;
        each_channel(team, width, [&](const int c) { row[c] *= scale; });
        team.team_barrier();
        Kokkos::single(Kokkos::PerTeam(team), [&]() { row[wanted] -= static_cast<T>(inverse_divisor); });
      });
}

template <class T>
struct AddColumns {
  View2<T> x, total;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    double sum[W] = {};
    for (int r = 0; r < x.extent_int(0); ++r) {
      const T* row = &x(r, c);
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) sum[j] += static_cast<double>(row[j]);
    }
    for (int j = 0; j < W; ++j) total(0, c + j) += static_cast<T>(sum[j]);
  }
};

template <class T>
void add_columns(const ChunkExec& exec, View2<T> x, View2<T> total) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::VocabularyHead::bias", Kokkos::TeamPolicy<ChunkExec>(exec, 1, team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        each_strip(team, width, AddColumns<T>{x, total});
      });
}

}  // namespace

template <class T>
VocabularyHead<T>::VocabularyHead(ParamStore<T>& store, const std::string& name, int width, int vocabulary)
    : weight(store.add(name + ".weight", {static_cast<std::size_t>(vocabulary), static_cast<std::size_t>(width)}, Init::normal(0.02))),
      bias(store.add(name + ".bias", {static_cast<std::size_t>(vocabulary)}, Init::constant(0.0))) {}

template <class T>
View1<double> VocabularyHead<T>::loss(Step<T>& step, const LayerNorm<T>& norm, View2<T> xh, View1<T> rdev, View1<int> target, double divisor,
                                      View2<T> dx) const {
  Arena& arena = step.arena;
  const int rows = xh.extent_int(0), width = xh.extent_int(1), vocabulary = weight.value().extent_int(0);
  GNN_HPC_REQUIRE(target.extent_int(0) == rows, "{} targets for {} rows", target.extent(0), rows);
  const bool gradient = dx.size() > 0;
  const auto total = arena.array<double>(1);
  ArenaFrame frame(arena);
  const int piece = std::min(chunk_rows(vocabulary), std::max(rows, 1)), chunks = (rows + piece - 1) / piece;
  const auto row_loss = arena.array<double>(rows);
  const LaneRows<T> logit_rows(arena, piece, vocabulary), y_rows(arena, piece, width), dy_rows(arena, piece, width);
  const auto partial = arena.matrix<double>(gradient ? chunks : 0, 2 * static_cast<std::size_t>(width));
  const View2<T> none(nullptr, 0, 0);
  const LaneSums<T> dweight(step, gradient ? weight.grad() : none), dbias(step, gradient ? bias.grad() : none);
  const auto w = weight.value();
  const auto b = bias.value1();
  for_each_chunk(step.exec, chunks, [&](int lane, const ChunkExec& exec, int i) {
    const int begin = i * piece, end = std::min(begin + piece, rows), n = end - begin;
    const auto y = y_rows(lane, n), z = logit_rows(lane, n), x = row_range(xh, begin, end);
    norm.affine(exec, x, y);
    Matmul<T>::nt(exec, y, w, z);
    row_losses(exec, z, b, View1<int>(Kokkos::subview(target, Kokkos::make_pair(begin, end))), divisor, gradient,
               View1<double>(Kokkos::subview(row_loss, Kokkos::make_pair(begin, end))));
    if (!gradient) return;
    const auto dy = dy_rows(lane, n);
    Matmul<T>::tn(exec, z, y, dweight(lane));
    add_columns(exec, z, dbias(lane));
    Matmul<T>::nn(exec, z, w, dy);
    norm.backward_rows(exec, x, View1<T>(Kokkos::subview(rdev, Kokkos::make_pair(begin, end))), dy, row_range(dx, begin, end), T(0),
                       row_elements(partial, i, 0, partial.extent_int(1)));
  });
  sum_partials(step, View2<double>(row_loss.data(), rows, 1), total);
  if (gradient) {
    dweight.finish(step);
    dbias.finish(step);
    norm.add_partials(step, partial);
  }
  return total;
}

template <class T>
void VocabularyHead<T>::logits(Step<T>& step, const LayerNorm<T>& norm, View2<T> xh, View2<T> z) const {
  ArenaFrame frame(step.arena);
  const auto y = step.arena.template matrix<T>(xh.extent(0), xh.extent(1));
  norm.affine(step.exec, xh, y);
  Matmul<T>::nt(step.exec, y, weight.value(), z);
  RowOps<T>::add_bias(step.exec, z, bias.value1());
}

template struct VocabularyHead<float>;
template struct VocabularyHead<double>;

}  // namespace gnn_hpc
