// SPDX-License-Identifier: Apache-2.0
#include "nn/causal_attention.hpp"

#include "nn/activation.hpp"
#include "nn/matmul.hpp"
#include "nn/row_sums.hpp"

namespace gnn_hpc {

namespace {

constexpr int kTile = 64;  // queries handled together

/// Dense copy of columns [column, column + d) of x plus bias, times factor.
template <class T>
void pack(const ChunkExec& exec, View2<T> x, View1<T> bias, int column, T factor, View2<T> out) {
  const int width = out.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::CausalAttention::pack", Kokkos::TeamPolicy<ChunkExec>(exec, out.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T* from = &x(r, column);
        const T* b = &bias(column);
        T* to = &out(r, 0);
        each_channel(team, width, [&](const int c) { to[c] = (from[c] + b[c]) * factor; });
      });
}

template <class T>
void unpack(const ChunkExec& exec, View2<T> from, int column, T factor, View2<T> x) {
  const int width = from.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::CausalAttention::unpack", Kokkos::TeamPolicy<ChunkExec>(exec, from.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T* y = &from(r, 0);
        T* to = &x(r, column);
        each_channel(team, width, [&](const int c) { to[c] = y[c] * factor; });
      });
}

/// Scores of queries q0, q0 + 1, ... become probabilities; what lies behind a query becomes 0.
template <class T>
void softmax(const ChunkExec& exec, View2<T> s, int q0, View1<std::uint8_t> key, View1<T> lse) {
  const int columns = s.extent_int(1);
  const bool masked = key.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::CausalAttention::softmax", Kokkos::TeamPolicy<ChunkExec>(exec, s.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank(), n = q0 + r + 1;
        T* row = &s(r, 0);
        const std::uint8_t* allowed = masked ? key.data() : nullptr;
        const T lowest = -Kokkos::Experimental::finite_max<T>::value;
        if (masked) each_channel(team, n, [&](const int c) { row[c] = allowed[c] ? row[c] : lowest; });
        team.team_barrier();
        T largest = lowest;
        if constexpr (kExecIsHost) {
          T running[16];
          for (int j = 0; j < 16; ++j) running[j] = lowest;
          int c = 0;
          for (; c + 16 <= n; c += 16) {
            GNN_HPC_SIMD
            for (int j = 0; j < 16; ++j) running[j] = running[j] > row[c + j] ? running[j] : row[c + j];
          }
          for (; c < n; ++c) largest = largest > row[c] ? largest : row[c];
          for (int j = 0; j < 16; ++j) largest = largest > running[j] ? largest : running[j];
        } else {
          Kokkos::parallel_reduce(
              Kokkos::TeamVectorRange(team, n), [&](const int c, T& most) { most = most > row[c] ? most : row[c]; }, Kokkos::Max<T>(largest));
        }
        const bool any = largest > lowest;
        const T shift = any ? largest : T(0);
        if (masked) {
          each_channel(team, n, [&](const int c) { row[c] = allowed[c] ? exponential(row[c] - shift) : T(0); });
        } else {
          each_channel(team, n, [&](const int c) { row[c] = exponential(row[c] - shift); });
        }
        each_channel(team, columns - n, [&](const int c) { row[n + c] = T(0); });
        team.team_barrier();
        const T sum = sum_channels<T>(team, n, [&](const int c) { return row[c]; });
        const T scale = any ? T(1) / sum : T(0);
        each_channel(team, n, [&](const int c) { row[c] *= scale; });
        Kokkos::single(Kokkos::PerTeam(team), [&]() { lse(q0 + r) = any ? shift + Kokkos::log(sum) : Kokkos::Experimental::infinity<T>::value; });
      });
}

/// Scores become probabilities with the saved logarithm of the sum.
template <class T>
void softmax_again(const ChunkExec& exec, View2<T> s, int q0, View1<std::uint8_t> key, View1<T> lse) {
  const int columns = s.extent_int(1);
  const bool masked = key.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::CausalAttention::softmax_again", Kokkos::TeamPolicy<ChunkExec>(exec, s.extent_int(0), team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        T* row = &s(r, 0);
        const std::uint8_t* allowed = masked ? key.data() : nullptr;
        const T shift = lse(q0 + r);
        const int n = shift < Kokkos::Experimental::infinity<T>::value ? q0 + r + 1 : 0;
        if (masked) {
          each_channel(team, n, [&](const int c) { row[c] = allowed[c] ? exponential(row[c] - shift) : T(0); });
        } else {
          each_channel(team, n, [&](const int c) { row[c] = exponential(row[c] - shift); });
        }
        each_channel(team, columns - n, [&](const int c) { row[n + c] = T(0); });
      });
}

/// out = p times the dropout factors of queries q0, q0 + 1, ...
template <class T>
void drop(const ChunkExec& exec, View2<T> p, int q0, const RandomMask& mask, std::uint64_t sequence, View2<T> out) {
  const int columns = p.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::CausalAttention::drop", Kokkos::TeamPolicy<ChunkExec>(exec, p.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T* from = &p(r, 0);
        T* to = &out(r, 0);
        each_channel_masked<T>(team, mask, sequence, static_cast<std::uint32_t>(q0 + r), columns,
                               [&](const int c, const T factor) { to[c] = from[c] * factor; });
      });
}

/// dp = dropped dp - p rowsum(do o), where `dropped` = drop(p).
template <class T>
void score_gradient(const ChunkExec& exec, View2<T> p, View2<T> dropped, View2<T> dcontext, View2<T> context, int column, int width, View2<T> dp) {
  const int columns = p.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::CausalAttention::score_gradient", Kokkos::TeamPolicy<ChunkExec>(exec, p.extent_int(0), team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T* g = &dcontext(r, column);
        const T* o = &context(r, column);
        const T sum = sum_channels<T>(team, width, [&](const int c) { return g[c] * o[c]; });
        const T* probability = &p(r, 0);
        const T* used = &dropped(r, 0);
        T* out = &dp(r, 0);
        each_channel(team, columns, [&](const int c) { out[c] = used[c] * out[c] - probability[c] * sum; });
      });
}

template <class T>
T inverse_root(int width) {
  return static_cast<T>(1.0 / Kokkos::sqrt(static_cast<double>(width)));
}

}  // namespace

template <class T>
CausalAttention<T>::CausalAttention(Arena& arena, int longest, int head_width, bool backward)
    : longest_(longest),
      width_(head_width),
      q_(arena, longest, head_width),
      k_(arena, longest, head_width),
      v_(arena, longest, head_width),
      scores_(arena, kTile, longest),
      dropped_(arena, kTile, longest),
      dq_(arena, backward ? longest : 0, head_width),
      dk_(arena, backward ? longest : 0, head_width),
      dv_(arena, backward ? longest : 0, head_width),
      dscores_(arena, backward ? kTile : 0, longest) {}

template <class T>
void CausalAttention<T>::forward(int lane, const ChunkExec& exec, View2<T> qkv, View1<T> bias, View1<std::uint8_t> key, int heads, View2<T> context,
                                 View1<T> lse, const RandomMask& mask, std::uint64_t sequence) const {
  const int rows = qkv.extent_int(0), width = width_, all = heads * width;
  const auto q = q_(lane, rows), k = k_(lane, rows), v = v_(lane, rows);
  for (int h = 0; h < heads; ++h) {
    pack(exec, qkv, bias, h * width, inverse_root<T>(width), q);
    pack(exec, qkv, bias, all + h * width, T(1), k);
    pack(exec, qkv, bias, 2 * all + h * width, T(1), v);
    const auto head_lse = Kokkos::subview(lse, Kokkos::make_pair(h * rows, (h + 1) * rows));
    for (int q0 = 0; q0 < rows; q0 += kTile) {
      const int q1 = q0 + kTile < rows ? q0 + kTile : rows;
      const auto p = column_range(scores_(lane, q1 - q0), 0, q1);
      Matmul<T>::nt(exec, row_range(q, q0, q1), row_range(k, 0, q1), p);
      softmax(exec, p, q0, key, View1<T>(head_lse));
      if (mask.active()) drop(exec, p, q0, head_mask(mask, h), sequence, p);
      Matmul<T>::nn(exec, p, row_range(v, 0, q1), column_range(row_range(context, q0, q1), h * width, (h + 1) * width));
    }
  }
}

template <class T>
void CausalAttention<T>::backward(int lane, const ChunkExec& exec, View2<T> qkv, View1<T> bias, View1<std::uint8_t> key, int heads, View2<T> context,
                                  View1<T> lse, View2<T> dcontext, const RandomMask& mask, std::uint64_t sequence) const {
  const int rows = qkv.extent_int(0), width = width_, all = heads * width;
  const auto q = q_(lane, rows), k = k_(lane, rows), v = v_(lane, rows);
  const auto dq = dq_(lane, rows), dk = dk_(lane, rows), dv = dv_(lane, rows);
  const T scale = inverse_root<T>(width);
  for (int h = 0; h < heads; ++h) {
    pack(exec, qkv, bias, h * width, scale, q);
    pack(exec, qkv, bias, all + h * width, T(1), k);
    pack(exec, qkv, bias, 2 * all + h * width, T(1), v);
    const auto head_lse = Kokkos::subview(lse, Kokkos::make_pair(h * rows, (h + 1) * rows));
    // From the last tile to the first: it reaches all keys, hence overwrites; the others add.
    const int tiles = (rows + kTile - 1) / kTile;
    for (int tile = tiles - 1; tile >= 0; --tile) {
      const int q0 = tile * kTile, q1 = q0 + kTile < rows ? q0 + kTile : rows;
      const T add = tile == tiles - 1 ? T(0) : T(1);
      const auto p = column_range(scores_(lane, q1 - q0), 0, q1), dp = column_range(dscores_(lane, q1 - q0), 0, q1);
      const auto queries = row_range(q, q0, q1), keys = row_range(k, 0, q1);
      const auto dout = column_range(row_range(dcontext, q0, q1), h * width, (h + 1) * width);
      Matmul<T>::nt(exec, queries, keys, p);
      softmax_again(exec, p, q0, key, View1<T>(head_lse));
      auto used = p;
      if (mask.active()) {
        used = column_range(dropped_(lane, q1 - q0), 0, q1);
        drop(exec, p, q0, head_mask(mask, h), sequence, used);
      }
      Matmul<T>::tn(exec, used, dout, row_range(dv, 0, q1), add);
      Matmul<T>::nt(exec, dout, row_range(v, 0, q1), dp);
      score_gradient(exec, p, used, row_range(dcontext, q0, q1), row_range(context, q0, q1), h * width, width, dp);
      Matmul<T>::nn(exec, dp, keys, row_range(dq, q0, q1));
      Matmul<T>::tn(exec, dp, queries, row_range(dk, 0, q1), add);
    }
    unpack(exec, dq, h * width, scale, qkv);
    unpack(exec, dk, all + h * width, T(1), qkv);
    unpack(exec, dv, 2 * all + h * width, T(1), qkv);
  }
}

template <class T>
void CausalAttention<T>::probabilities(int lane, const ChunkExec& exec, View2<T> qkv, View1<T> bias, View1<std::uint8_t> key, int head, int heads,
                                       View1<T> lse, View2<T> p) const {
  const int rows = qkv.extent_int(0), width = width_, all = heads * width;
  const auto q = q_(lane, rows), k = k_(lane, rows);
  pack(exec, qkv, bias, head * width, inverse_root<T>(width), q);
  pack(exec, qkv, bias, all + head * width, T(1), k);
  Matmul<T>::nt(exec, q, k, p);
  softmax_again(exec, p, 0, key, View1<T>(Kokkos::subview(lse, Kokkos::make_pair(head * rows, (head + 1) * rows))));
}

template class CausalAttention<float>;
template class CausalAttention<double>;

}  // namespace gnn_hpc
