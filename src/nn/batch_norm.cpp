// SPDX-License-Identifier: Apache-2.0
#include "nn/batch_norm.hpp"

#include "nn/channels.hpp"
#include "nn/rows.hpp"

namespace gnn_hpc {

namespace {

constexpr int kBlock = 64;  // items one team merges; fixed, so that results do not depend on the machine

/// Merges partial moments (mean, M2) of items with weights, in double.
struct MergeMoments {
  View2<double> partial, merged;
  View1<double> item_weight;
  int out, begin, end, width;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    double mean[W] = {}, m2[W] = {};
    double weight = 0.0;
    for (int i = begin; i < end; ++i) {
      const double w = item_weight(i);
      if (w == 0.0) continue;
      const double sum = weight + w, share = w / sum, cross = weight * share;
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) {
        const double d = partial(i, c + j) - mean[j];
        mean[j] += d * share;
        m2[j] += partial(i, width + c + j) + d * d * cross;
      }
      weight = sum;
    }
    for (int j = 0; j < W; ++j) {
      merged(out, c + j) = mean[j];
      merged(out, width + c + j) = m2[j];
    }
  }
};

/// Moments of blocks of rows of a matrix: one pass with the block's first row as shift.
template <class T>
struct BlockMoments {
  View2<T> x;
  View1<T> row_weight;
  View2<double> partial;
  int b, begin, end, width;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    double shift[W], s1[W] = {}, s2[W] = {};
    double weight = 0.0;
    const bool weighted = row_weight.extent(0) > 0;
    for (int j = 0; j < W; ++j) shift[j] = static_cast<double>(x(begin, c + j));
    for (int r = begin; r < end; ++r) {
      const double w = weighted ? static_cast<double>(row_weight(r)) : 1.0;
      weight += w;
      const T* row = &x(r, c);
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) {
        const double d = static_cast<double>(row[j]) - shift[j];
        s1[j] += w * d;
        s2[j] += w * d * d;
      }
    }
    const double inverse = weight > 0.0 ? 1.0 / weight : 0.0;
    for (int j = 0; j < W; ++j) {
      partial(b, c + j) = shift[j] + s1[j] * inverse;
      partial(b, width + c + j) = s2[j] - s1[j] * s1[j] * inverse;
    }
  }
};

/// Sums of G and G xh over blocks of rows.
template <class T>
struct BlockGradientSums {
  View2<T> x, dy;
  View1<double> mean, rstd;
  View2<double> partial;
  int b, begin, end, width;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    double s1[W] = {}, s2[W] = {};
    for (int r = begin; r < end; ++r) {
      const T *row = &x(r, c), *grad = &dy(r, c);
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) {
        const double g = static_cast<double>(grad[j]);
        s1[j] += g;
        s2[j] += g * (static_cast<double>(row[j]) - mean(c + j)) * rstd(c + j);
      }
    }
    for (int j = 0; j < W; ++j) {
      partial(b, c + j) = s1[j];
      partial(b, width + c + j) = s2[j];
    }
  }
};

void merge_once(const Exec& exec, View2<double> partial, View1<double> weight, View2<double> merged, View1<double> merged_weight) {
  const int items = partial.extent_int(0), width = partial.extent_int(1) / 2;
  Kokkos::parallel_for(
      "gnn_hpc::BatchNorm::merge", Kokkos::TeamPolicy<Exec>(exec, merged.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int b = team.league_rank();
        const int begin = b * kBlock, end = begin + kBlock < items ? begin + kBlock : items;
        each_strip(team, width, MergeMoments{partial, merged, weight, b, begin, end, width});
        Kokkos::single(Kokkos::PerTeam(team), [&]() {
          double sum = 0.0;
          for (int i = begin; i < end; ++i) sum += weight(i);
          merged_weight(b) = sum;
        });
      });
}

/// moments[0,:] = (mean, M2) over all items, total[0] = their weight; zeros without items.
void merge_all(const Exec& exec, Arena& arena, View2<double> partial, View1<double> weight, View2<double> moments, View1<double> total) {
  if (partial.extent(0) <= kBlock) {
    if (partial.extent(0) == 0) {
      Kokkos::deep_copy(exec, moments, 0.0);
      Kokkos::deep_copy(exec, total, 0.0);
    } else {
      merge_once(exec, partial, weight, moments, total);
    }
    return;
  }
  ArenaFrame frame(arena);
  const std::size_t blocks = (partial.extent(0) + kBlock - 1) / kBlock;
  const auto merged = arena.matrix<double>(blocks, partial.extent(1));
  const auto merged_weight = arena.array<double>(blocks);
  merge_once(exec, partial, weight, merged, merged_weight);
  merge_all(exec, arena, merged, merged_weight, moments, total);
}

/// The same over ranks: first the mean, then every rank's M2 about it.
void merge_ranks(const Exec& exec, Arena& arena, const Comm& comm, View2<double> moments, View1<double> total) {
  if (comm.size() == 1) return;
  ArenaFrame frame(arena);
  const int width = moments.extent_int(1) / 2;
  const auto sums = arena.array<double>(static_cast<std::size_t>(width) + 1);
  Kokkos::parallel_for(
      "gnn_hpc::BatchNorm::rank_sums", Rows(exec, 0, width + 1),
      KOKKOS_LAMBDA(const int c) { sums(c) = c < width ? total(0) * moments(0, c) : total(0); });
  comm.sum(exec, sums);
  const auto m2 = arena.array<double>(width);
  Kokkos::parallel_for(
      "gnn_hpc::BatchNorm::rank_m2", Rows(exec, 0, width), KOKKOS_LAMBDA(const int c) {
        const double mean = sums(width) > 0.0 ? sums(c) / sums(width) : 0.0, d = moments(0, c) - mean;
        m2(c) = total(0) > 0.0 ? moments(0, width + c) + total(0) * d * d : 0.0;
        moments(0, c) = mean;
      });
  comm.sum(exec, m2);
  Kokkos::parallel_for(
      "gnn_hpc::BatchNorm::rank_total", Rows(exec, 0, width + 1), KOKKOS_LAMBDA(const int c) {
        if (c < width)
          moments(0, width + c) = m2(c);
        else
          total(0) = sums(width);
      });
}

}  // namespace

template <class T>
BatchNorm<T>::BatchNorm(ParamStore<T>& store, const std::string& name, int width) {
  const auto n = static_cast<std::size_t>(width);
  weight = store.add(name + ".weight", {n}, Init::constant(1.0));
  bias = store.add(name + ".bias", {n}, Init::constant(0.0));
  running_mean = store.add_buffer(name + ".running_mean", {n}, 0.0);
  running_var = store.add_buffer(name + ".running_var", {n}, 1.0);
}

template <class T>
typename BatchNorm<T>::Saved BatchNorm<T>::statistics(Step<T>& step, View2<double> partial, View1<double> item_weight) const {
  const std::size_t n = weight.info().size;
  const int width = static_cast<int>(n);
  Arena& arena = step.arena;
  Saved s{arena.array<double>(n), arena.array<double>(n), arena.array<double>(1), arena.array<T>(n), arena.array<T>(n), step.training()};
  const auto gamma = weight.value1(), beta = bias.value1(), run_mean = running_mean.value1(), run_var = running_var.value1();
  if (!step.training()) {
    Kokkos::parallel_for(
        "gnn_hpc::BatchNorm::running", Rows(step.exec, 0, width), KOKKOS_LAMBDA(const int c) {
          const double m = static_cast<double>(run_mean(c));
          const double r = 1.0 / Kokkos::sqrt(static_cast<double>(run_var(c)) + kEps);
          s.mean(c) = m;
          s.rstd(c) = r;
          s.scale(c) = static_cast<T>(static_cast<double>(gamma(c)) * r);
          s.shift(c) = static_cast<T>(static_cast<double>(beta(c)) - static_cast<double>(gamma(c)) * r * m);
        });
    return s;
  }
  GNN_HPC_REQUIRE(partial.extent(1) == 2 * n && partial.extent(0) == item_weight.extent(0), "{}: partial moments {}x{}, weights {}",
                  weight.info().name, partial.extent(0), partial.extent(1), item_weight.extent(0));
  ArenaFrame frame(arena);
  const auto moments = arena.matrix<double>(1, 2 * n);
  merge_all(step.exec, arena, partial, item_weight, moments, s.total);
  merge_ranks(step.exec, arena, step.comm, moments, s.total);
  Kokkos::parallel_for(
      "gnn_hpc::BatchNorm::statistics", Rows(step.exec, 0, width), KOKKOS_LAMBDA(const int c) {
        const double total = s.total(0), m = moments(0, c), m2 = moments(0, width + c);
        const double var = total > 1.0 ? m2 / total : 0.0;
        const double r = 1.0 / Kokkos::sqrt(var + kEps);
        s.mean(c) = m;
        s.rstd(c) = r;
        s.scale(c) = static_cast<T>(static_cast<double>(gamma(c)) * r);
        s.shift(c) = static_cast<T>(static_cast<double>(beta(c)) - static_cast<double>(gamma(c)) * r * m);
        if (total > 0.0) run_mean(c) += static_cast<T>(kMomentum * (m - static_cast<double>(run_mean(c))));
        if (total > 1.0) run_var(c) += static_cast<T>(kMomentum * (m2 / (total - 1.0) - static_cast<double>(run_var(c))));
      });
  return s;
}

template <class T>
typename BatchNorm<T>::Coefficients BatchNorm<T>::backward_sums(Step<T>& step, View2<double> partial, const Saved& saved) const {
  const std::size_t n = weight.info().size;
  const int width = static_cast<int>(n);
  Coefficients k{step.arena.template array<double>(n), step.arena.template array<double>(n)};
  ArenaFrame frame(step.arena);
  const auto sums = step.arena.template array<double>(2 * n);
  sum_partials(step, partial, sums);
  const auto dgamma = weight.grad1(), dbeta = bias.grad1();
  Kokkos::parallel_for(
      "gnn_hpc::BatchNorm::parameter_gradients", Rows(step.exec, 0, width), KOKKOS_LAMBDA(const int c) {
        dbeta(c) += static_cast<T>(sums(c));
        dgamma(c) += static_cast<T>(sums(width + c));
      });
  if (saved.batch_statistics) step.comm.sum(step.exec, sums);
  const bool through_statistics = saved.batch_statistics;
  const auto total = saved.total;
  Kokkos::parallel_for(
      "gnn_hpc::BatchNorm::coefficients", Rows(step.exec, 0, width), KOKKOS_LAMBDA(const int c) {
        const double inverse = through_statistics && total(0) > 0.0 ? 1.0 / total(0) : 0.0;
        k.from_beta(c) = sums(c) * inverse;
        k.from_gamma(c) = sums(width + c) * inverse;
      });
  return k;
}

template <class T>
typename BatchNorm<T>::Saved BatchNorm<T>::statistics_of(Step<T>& step, View2<T> x, View1<T> row_weight) const {
  if (!step.training()) return statistics(step, {}, {});
  GNN_HPC_REQUIRE(x.extent(1) == weight.info().size, "{}: width {}", weight.info().name, x.extent(1));
  const int rows = x.extent_int(0), width = x.extent_int(1);
  const int blocks = (rows + kBlock - 1) / kBlock;
  const auto partial = step.arena.template matrix<double>(blocks, 2 * static_cast<std::size_t>(width));
  const auto weights = step.arena.template array<double>(blocks);
  Kokkos::parallel_for(
      "gnn_hpc::BatchNorm::moments", Kokkos::TeamPolicy<Exec>(step.exec, blocks, team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int b = team.league_rank();
        const int begin = b * kBlock, end = begin + kBlock < rows ? begin + kBlock : rows;
        each_strip(team, width, BlockMoments<T>{x, row_weight, partial, b, begin, end, width});
        Kokkos::single(Kokkos::PerTeam(team), [&]() {
          double sum = 0.0;
          for (int r = begin; r < end; ++r) sum += row_weight.extent(0) > 0 ? static_cast<double>(row_weight(r)) : 1.0;
          weights(b) = sum;
        });
      });
  return statistics(step, partial, weights);
}

template <class T>
void BatchNorm<T>::backward_of(Step<T>& step, View2<T> x, View1<T> row_weight, const Saved& saved, View2<T> dy, View2<T> dx) const {
  ArenaFrame frame(step.arena);
  const int rows = x.extent_int(0), width = x.extent_int(1);
  const int blocks = (rows + kBlock - 1) / kBlock;
  const auto partial = step.arena.template matrix<double>(blocks, 2 * static_cast<std::size_t>(width));
  const auto mean = saved.mean, rstd = saved.rstd;
  Kokkos::parallel_for(
      "gnn_hpc::BatchNorm::gradient_sums", Kokkos::TeamPolicy<Exec>(step.exec, blocks, team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int b = team.league_rank();
        const int begin = b * kBlock, end = begin + kBlock < rows ? begin + kBlock : rows;
        each_strip(team, width, BlockGradientSums<T>{x, dy, mean, rstd, partial, b, begin, end, width});
      });
  const Coefficients k = backward_sums(step, partial, saved);
  const auto scale = saved.scale;
  Kokkos::parallel_for(
      "gnn_hpc::BatchNorm::backward", Kokkos::TeamPolicy<Exec>(step.exec, rows, team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        const double w = row_weight.extent(0) > 0 ? static_cast<double>(row_weight(r)) : 1.0;
        each_channel(team, width, [&](const int c) {
          const double xh = (static_cast<double>(x(r, c)) - mean(c)) * rstd(c);
          dx(r, c) = scale(c) * static_cast<T>(static_cast<double>(dy(r, c)) - w * (k.from_beta(c) + xh * k.from_gamma(c)));
        });
      });
}

template struct BatchNorm<float>;
template struct BatchNorm<double>;

}  // namespace gnn_hpc
