// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/specialisation.hpp"

#include "models/hgnn_moe/coupler.hpp"
#include "nn/row_sums.hpp"
#include "nn/rows.hpp"

#include <algorithm>

namespace gnn_hpc::hgnn_moe {

namespace {

constexpr double kSmallestNorm = 1e-12;
constexpr int kBlocks = 64;  // partial sums of a dot product of two matrices, whatever the number of threads

/// The loss and K = scale (dG + dG') from G [E,E]; `extra` empty: not wanted on this rank.
void gram_loss(const Exec& exec, View2<double> gram, bool cosine, double factor, double scale, View1<double> extra, View2<double> coupling) {
  const int n = gram.extent_int(0);
  const bool wanted = extra.extent(0) > 0;
  const double pairs = cosine ? static_cast<double>(n) * (n - 1) : static_cast<double>(n) * n;
  Kokkos::parallel_for(
      "gnn_hpc::OutputOrthogonality::loss", Rows(exec, 0, 1), KOKKOS_LAMBDA(const int) {
        double loss = 0.0;
        for (int i = 0; i < n; ++i) {
          for (int j = 0; j < n; ++j) {
            const double target = cosine || i != j ? 0.0 : 1.0;
            const double off = cosine && i == j ? 0.0 : gram(i, j) - target;
            loss += pairs > 0.0 ? off * off / pairs : 0.0;
            coupling(i, j) = pairs > 0.0 ? scale * factor * 4.0 * off / pairs : 0.0;  // dG + dG' of a symmetric G
          }
        }
        if (wanted) extra(0) += factor * loss;
      });
}

/// Rows of a [E D] vector: normalised with `cosine`; gram = products of all pairs.
void gram_of_means(const Exec& exec, View1<double> mean, int width, bool cosine, View1<double> inverse, View2<double> gram) {
  const int experts = inverse.extent_int(0);
  Kokkos::parallel_for(
      "gnn_hpc::OutputOrthogonality::normalise", Rows(exec, 0, experts), KOKKOS_LAMBDA(const int e) {
        double sum = 0.0;
        for (int c = 0; c < width; ++c) sum += mean(e * width + c) * mean(e * width + c);
        const double norm = Kokkos::sqrt(sum);
        inverse(e) = cosine ? 1.0 / (norm > kSmallestNorm ? norm : kSmallestNorm) : 1.0;
        for (int c = 0; c < width; ++c) mean(e * width + c) *= inverse(e);
      });
  Kokkos::parallel_for(
      "gnn_hpc::OutputOrthogonality::gram", Rows(exec, 0, experts * experts), KOKKOS_LAMBDA(const int k) {
        const int i = k / experts, j = k % experts;
        double sum = 0.0;
        for (int c = 0; c < width; ++c) sum += mean(i * width + c) * mean(j * width + c);
        gram(i, j) = sum;
      });
}

/// out = dx of the (normalised) mean rows.
void mean_gradient(const Exec& exec, View1<double> mean, View1<double> inverse, View2<double> coupling, int width, bool cosine, View1<double> out) {
  const int experts = inverse.extent_int(0);
  Kokkos::parallel_for(
      "gnn_hpc::OutputOrthogonality::mean_gradient", Rows(exec, 0, experts), KOKKOS_LAMBDA(const int i) {
        double along = 0.0;
        for (int c = 0; c < width; ++c) {
          double sum = 0.0;
          for (int j = 0; j < experts; ++j) sum += coupling(i, j) * mean(j * width + c);
          out(i * width + c) = sum;
          along += sum * mean(i * width + c);
        }
        for (int c = 0; cosine && c < width; ++c) {
          out(i * width + c) = (out(i * width + c) - mean(i * width + c) * along) * inverse(i);
        }
      });
}

void scale_by_last(const Exec& exec, View1<double> sums) {
  const int n = sums.extent_int(0) - 1;
  Kokkos::parallel_for(
      "gnn_hpc::OutputOrthogonality::scale", Rows(exec, 0, n), KOKKOS_LAMBDA(const int i) { sums(i) = sums(n) > 0.0 ? sums(i) / sums(n) : 0.0; });
}

void per_row(const Exec& exec, double rows, View1<double> gradient) {
  Kokkos::parallel_for(
      "gnn_hpc::OutputOrthogonality::per_row", Rows(exec, 0, gradient.extent_int(0)),
      KOKKOS_LAMBDA(const int c) { gradient(c) = rows > 0.0 ? gradient(c) / rows : 0.0; });
}

template <class T>
void add_to_rows(const Exec& exec, View1<double> row, View2<T> dx) {
  const int width = dx.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::OutputOrthogonality::add_to_rows", Kokkos::TeamPolicy<Exec>(exec, dx.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        T* to = &dx(team.league_rank(), 0);
        each_channel(team, width, [&](const int c) { to[c] += static_cast<T>(row(c)); });
      });
}

template <class T>
void inverse_norms(const Exec& exec, View2<T> x, int width, View2<double> inverse) {
  const int experts = inverse.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::OutputOrthogonality::inverse_norms", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0) * experts, team_size()),
      KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank() / experts, e = team.league_rank() % experts;
        const T* row = &x(r, e * width);
        const double sum = sum_channels<double>(team, width, [&](const int c) { return static_cast<double>(row[c]) * static_cast<double>(row[c]); });
        Kokkos::single(Kokkos::PerTeam(team), [&]() {
          const double norm = Kokkos::sqrt(sum);
          inverse(r, e) = 1.0 / (norm > kSmallestNorm ? norm : kSmallestNorm);
        });
      });
}

/// sums[i E + j] = sum over the rows of r_i . r_j
template <class T>
void row_grams(const ChunkExec& exec, View2<T> x, View2<double> inverse, int experts, View1<double> sums) {
  const int width = x.extent_int(1) / experts, rows = x.extent_int(0);
  const bool scaled = inverse.extent(1) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::OutputOrthogonality::row_grams", Kokkos::TeamPolicy<ChunkExec>(exec, experts * experts, team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int i = team.league_rank() / experts, j = team.league_rank() % experts;
        double sum = 0.0;
        for (int r = 0; r < rows; ++r) {
          const T *a = &x(r, i * width), *b = &x(r, j * width);
          const double dot = sum_channels<double>(team, width, [&](const int c) { return static_cast<double>(a[c]) * static_cast<double>(b[c]); });
          sum += scaled ? dot * inverse(r, i) * inverse(r, j) : dot;
        }
        Kokkos::single(Kokkos::PerTeam(team), [&]() { sums(i * experts + j) = sum; });
      });
}

template <class T>
void pool_gradient(const Exec& exec, View2<T> x, View2<double> inverse, View2<double> coupling, View2<T> dx) {
  const int experts = coupling.extent_int(0), width = x.extent_int(1) / experts;
  const bool scaled = inverse.extent(1) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::OutputOrthogonality::pool_gradient", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0) * experts, team_size()),
      KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank() / experts, i = team.league_rank() % experts;
        const double own = scaled ? inverse(r, i) : 1.0;
        const auto gradient = [&](const int c) {
          double sum = 0.0;
          for (int j = 0; j < experts; ++j) {
            sum += coupling(i, j) * static_cast<double>(x(r, j * width + c)) * (scaled ? inverse(r, j) : 1.0);
          }
          return sum;
        };
        double along = 0.0;
        if (scaled) {
          along = sum_channels<double>(team, width, [&](const int c) { return gradient(c) * own * static_cast<double>(x(r, i * width + c)); });
        }
        each_channel(team, width, [&](const int c) {
          const double unit = own * static_cast<double>(x(r, i * width + c));
          dx(r, i * width + c) += static_cast<T>((gradient(c) - unit * along) * own);
        });
      });
}

/// partial[b, pair] = part b of a . b
template <class T>
void block_dot(const Exec& exec, View1<T> a, View1<T> b, int pair, View2<double> partial) {
  const long n = static_cast<long>(std::min(a.extent(0), b.extent(0)));
  Kokkos::parallel_for(
      "gnn_hpc::WeightOrthogonality::block_dot", Rows(exec, 0, kBlocks), KOKKOS_LAMBDA(const int block) {
        double sum = 0.0;
        for (long k = n * block / kBlocks; k < n * (block + 1) / kBlocks; ++k) sum += static_cast<double>(a(k)) * static_cast<double>(b(k));
        partial(block, pair) = sum;
      });
}

/// extra += factor sum over (i,j) of (G_ij - delta_ij)^2
void add_distance(const Exec& exec, View1<double> gram, int n, double factor, View1<double> extra) {
  Kokkos::parallel_for(
      "gnn_hpc::WeightOrthogonality::loss", Rows(exec, 0, 1), KOKKOS_LAMBDA(const int) {
        double sum = 0.0;
        for (int k = 0; k < n * n; ++k) {
          const double off = gram(k) - (k / n == k % n ? 1.0 : 0.0);
          sum += off * off;
        }
        extra(0) += factor * sum;
      });
}

/// da += coefficient (G_pair - delta) b
template <class T>
void add_scaled(const Exec& exec, View1<double> gram, int pair, double delta, double coefficient, View1<T> b, View1<T> da) {
  Kokkos::parallel_for(
      "gnn_hpc::WeightOrthogonality::add_scaled",
      Kokkos::RangePolicy<Exec, Kokkos::IndexType<long>>(exec, 0, static_cast<long>(std::min(da.extent(0), b.extent(0)))),
      KOKKOS_LAMBDA(const long k) { da(k) += static_cast<T>(coefficient * (gram(pair) - delta) * static_cast<double>(b(k))); });
}

}  // namespace

double warmup_factor(const OrthogonalityOptions& o, std::int64_t step) {
  return o.warmup_steps <= 0 ? 1.0 : std::min(1.0, static_cast<double>(step) / static_cast<double>(o.warmup_steps));
}

template <class T>
OutputOrthogonality<T>::OutputOrthogonality(const OrthogonalityOptions& o, int experts, int width)
    : pool_(o.aggregation == Aggregation::pool), cosine_(o.type == OrthogonalityType::cosine_similarity), experts_(experts), width_(width) {}

template <class T>
void OutputOrthogonality<T>::forward(Step<T>& step, View2<T> x, double factor, View1<double> extra) {
  const View1<double> mine = step.comm.is_root() ? extra : View1<double>();
  coupling_ = step.arena.template matrix<double>(static_cast<std::size_t>(experts_), static_cast<std::size_t>(experts_));
  pool_ ? forward_pool(step, x, factor, mine) : forward_mean(step, x, factor, mine);
}

template <class T>
void OutputOrthogonality<T>::forward_mean(Step<T>& step, View2<T> x, double factor, View1<double> extra) {
  Arena& arena = step.arena;
  const auto columns = x.extent(1), experts = static_cast<std::size_t>(experts_);
  row_gradient_ = arena.array<double>(columns);
  ArenaFrame frame(arena);
  const auto sums = arena.array<double>(columns + 1), inverse = arena.array<double>(experts);
  const auto gram = arena.matrix<double>(experts, experts);
  const View1<double> mean(sums.data(), columns);
  RowOps<T>::column_sums(step, x, mean);
  Kokkos::deep_copy(step.exec, Kokkos::subview(sums, columns), static_cast<double>(x.extent(0)));
  step.comm.sum(step.exec, sums);
  scale_by_last(step.exec, sums);
  gram_of_means(step.exec, mean, width_, cosine_, inverse, gram);
  gram_loss(step.exec, gram, cosine_, factor, 1.0, extra, coupling_);
  mean_gradient(step.exec, mean, inverse, coupling_, width_, cosine_, row_gradient_);
  const double rows = step.comm.sum(static_cast<double>(x.extent(0)));
  per_row(step.exec, rows, row_gradient_);
}

template <class T>
void OutputOrthogonality<T>::forward_pool(Step<T>& step, View2<T> x, double factor, View1<double> extra) {
  Arena& arena = step.arena;
  const auto rows = x.extent(0), experts = static_cast<std::size_t>(experts_);
  inverse_norm_ = cosine_ ? arena.matrix<double>(rows, experts) : View2<double>();
  ArenaFrame frame(arena);
  if (cosine_) inverse_norms(step.exec, x, width_, inverse_norm_);
  const RowPieces pieces(static_cast<int>(rows), kExecIsHost ? 256 : INT_MAX);
  const auto partial = arena.matrix<double>(static_cast<std::size_t>(pieces.count), experts * experts);
  const auto sums = arena.array<double>(experts * experts + 1);
  const auto inverse = inverse_norm_;
  for_each_chunk(step.exec, pieces.count, [&](int, const ChunkExec& exec, int i) {
    const int begin = pieces.begin(i), end = pieces.end(i);
    row_grams(exec, row_range(x, begin, end), inverse.extent(1) > 0 ? row_range(inverse, begin, end) : inverse, experts_,
              row_elements(partial, i, 0, experts * experts));
  });
  const View1<double> gram(sums.data(), experts * experts);
  sum_partials(step, partial, gram);
  Kokkos::deep_copy(step.exec, Kokkos::subview(sums, experts * experts), static_cast<double>(rows));
  step.comm.sum(step.exec, sums);
  scale_by_last(step.exec, sums);
  const double all_rows = step.comm.sum(static_cast<double>(rows));
  gram_loss(step.exec, View2<double>(sums.data(), experts, experts), cosine_, factor, all_rows > 0.0 ? 1.0 / all_rows : 0.0, extra, coupling_);
}

template <class T>
void OutputOrthogonality<T>::backward(Step<T>& step, View2<T> x, View2<T> dx) const {
  if (pool_) {
    pool_gradient(step.exec, x, inverse_norm_, coupling_, dx);
  } else {
    add_to_rows(step.exec, row_gradient_, dx);
  }
}

template <class T>
void WeightOrthogonality<T>::forward(Step<T>& step, double factor, View1<double> extra) {
  const int n = static_cast<int>(weights_.size());
  factor_ = factor;
  if (n < 2 || !step.comm.is_root()) return;
  const auto count = static_cast<std::size_t>(n);
  gram_ = step.arena.template array<double>(count * count);
  ArenaFrame frame(step.arena);
  const auto partial = step.arena.template matrix<double>(kBlocks, count * count);
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      block_dot(step.exec, weights_[static_cast<std::size_t>(i)].value1(), weights_[static_cast<std::size_t>(j)].value1(), i * n + j, partial);
    }
  }
  sum_partials(step, partial, gram_);
  add_distance(step.exec, gram_, n, factor / (static_cast<double>(n) * n), extra);
}

template <class T>
void WeightOrthogonality<T>::backward(Step<T>& step) const {
  const int n = static_cast<int>(weights_.size());
  if (n < 2 || !step.comm.is_root()) return;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      add_scaled(step.exec, gram_, i * n + j, i == j ? 1.0 : 0.0, 4.0 * factor_ / (static_cast<double>(n) * n),
                 weights_[static_cast<std::size_t>(j)].value1(), weights_[static_cast<std::size_t>(i)].grad1());
    }
  }
}

template class OutputOrthogonality<float>;
template class OutputOrthogonality<double>;
template class WeightOrthogonality<float>;
template class WeightOrthogonality<double>;

}  // namespace gnn_hpc::hgnn_moe
