// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/comformer/equi_layer.hpp"
#include "models/comformer/spherical_harmonics.hpp"
#include "nn/activation.hpp"
#include "nn/channels.hpp"
#include "nn/matmul.hpp"

// Kernels of the equivariant layer; for equi_layer.cpp alone.

namespace gnn_hpc::comformer::equi_kernels {

inline constexpr int kVectorsAt = kScalars, kRank2At = kScalars + 3 * kTensors;  ///< in the features of a node

/// Consecutive chunks: the nodes whose G or A exist at a time.
struct Block {
  int first_chunk = 0, last_chunk = 0;
  int node_begin = 0, node_end = 0;
  int num_nodes() const { return node_end - node_begin; }
};

/// At most `most` nodes each, or one chunk.
inline std::vector<Block> make_blocks(const std::vector<Chunk>& chunks, int most) {
  std::vector<Block> blocks;
  for (int i = 0; i < static_cast<int>(chunks.size()); ++i) {
    const Chunk& chunk = chunks[static_cast<std::size_t>(i)];
    if (blocks.empty() || chunk.node_end - blocks.back().node_begin > most) blocks.push_back({i, i, chunk.node_begin, chunk.node_begin});
    blocks.back().last_chunk = i + 1;
    blocks.back().node_end = chunk.node_end;
  }
  return blocks;
}

template <class T>
void harmonics_of_edges(const Exec& exec, View2<double> edge_vec, View2<T> out) {
  Kokkos::parallel_for(
      "gnn_hpc::EquiLayer::harmonics", Rows(exec, 0, out.extent_int(0)), KOKKOS_LAMBDA(const int e) {
        const double r[3] = {edge_vec(e, 0), edge_vec(e, 1), edge_vec(e, 2)};
        T y[kHarmonics];
        spherical_harmonics(r, y);
        for (int m = 0; m < kHarmonics; ++m) out(e, m) = y[m];
      });
}

/// Strips of `rows_of_edges`.
template <class T>
struct MappedRow {
  RowMap<T> map;
  View2<T> table, out;
  int e;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    T sum[W] = {};
    add_mapped(map, table, e, c, sum);
    for (int j = 0; j < W; ++j) out(e, c + j) = sum[j];
  }
};

template <class T>
void rows_of_edges(const Exec& exec, const RowMap<T>& map, View2<T> table, View2<T> out) {
  const int width = table.extent_int(1);
  const RowMap<T> copy = map;
  Kokkos::parallel_for(
      "gnn_hpc::WeightNet::edges", Kokkos::TeamPolicy<Exec>(exec, out.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        each_strip(team, width, MappedRow<T>{copy, table, out, team.league_rank()});
      });
}

/// y = softplus(y + bias)
template <class T>
void softplus_bias(const Exec& exec, View2<T> y, View1<T> bias) {
  const int width = y.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::EquiLayer::softplus", Kokkos::TeamPolicy<Exec>(exec, y.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) { y(r, c) = softplus(y(r, c) + bias(c)); });
      });
}

/// What runs over the edges of the nodes of a chunk, each node with a matrix of its own, a row of `nodes` [block, kProducts C]. On a CPU each
/// is a product of the BLAS; on a GPU one launch does all nodes.
template <class T>
struct NodeProducts {
  const CrystalBatch<T>& batch;
  View2<T> nodes;  ///< of the block
  int first_node;  ///< of the block
  int width;       ///< C

  View2<T> matrix(int v) const {
    return View2<T>(nodes.data() + static_cast<std::size_t>(v - first_node) * nodes.extent(1), kProducts, static_cast<std::size_t>(width));
  }

  /// p[e,o] = sum_c h[e,c] G_v[o,c] for the edges e that enter v
  void apply(const ChunkExec& exec, const Chunk& chunk, View2<T> h, View2<T> p) const {
    if constexpr (kExecIsHost) {
      each_node(chunk, [&](int v, int begin, int end) { Matmul<T>::nt(exec, row_range(h, begin, end), matrix(v), row_range(p, begin, end)); });
    } else {
      const auto in_ptr = batch.in_ptr;
      const auto all = nodes;
      const int c_end = width, first = first_node, begin_node = chunk.node_begin;
      Kokkos::parallel_for(
          "gnn_hpc::EquiLayer::apply", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.node_end - chunk.node_begin, team_size(), 32),
          KOKKOS_LAMBDA(const ChunkTeam& team) {
            const int v = begin_node + team.league_rank(), begin = in_ptr(v), count = in_ptr(v + 1) - begin;
            Kokkos::parallel_for(Kokkos::TeamThreadRange(team, count * kProducts), [&](const int i) {
              const int e = begin + i / kProducts, o = i % kProducts;
              T sum = 0;
              Kokkos::parallel_reduce(
                  Kokkos::ThreadVectorRange(team, c_end), [&](const int c, T& s) { s += h(e, c) * all(v - first, o * c_end + c); }, sum);
              Kokkos::single(Kokkos::PerThread(team), [&]() { p(e, o) = sum; });
            });
          });
    }
  }

  /// A_v[o,c] = sum over the edges e that enter v of q[e,o] h[e,c]
  void collect(const ChunkExec& exec, const Chunk& chunk, View2<T> q, View2<T> h) const {
    if constexpr (kExecIsHost) {
      each_node(chunk, [&](int v, int begin, int end) { Matmul<T>::tn(exec, row_range(q, begin, end), row_range(h, begin, end), matrix(v), T(0)); });
    } else {
      const auto in_ptr = batch.in_ptr;
      const auto all = nodes;
      const int c_end = width, first = first_node, begin_node = chunk.node_begin;
      Kokkos::parallel_for(
          "gnn_hpc::EquiLayer::collect", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.node_end - chunk.node_begin, team_size(), 32),
          KOKKOS_LAMBDA(const ChunkTeam& team) {
            const int v = begin_node + team.league_rank();
            Kokkos::parallel_for(Kokkos::TeamVectorRange(team, kProducts * c_end), [&](const int i) {
              const int o = i / c_end, c = i % c_end;
              T sum = 0;
              for (int e = in_ptr(v); e < in_ptr(v + 1); ++e) sum += q(e, o) * h(e, c);
              all(v - first, i) = sum;
            });
          });
    }
  }

  /// dh[e,c] = sum_o dp[e,o] G_v[o,c]
  void apply_backward(const ChunkExec& exec, const Chunk& chunk, View2<T> dp, View2<T> dh) const {
    if constexpr (kExecIsHost) {
      each_node(chunk, [&](int v, int begin, int end) { Matmul<T>::nn(exec, row_range(dp, begin, end), matrix(v), row_range(dh, begin, end)); });
    } else {
      const auto in_ptr = batch.in_ptr;
      const auto all = nodes;
      const int c_end = width, first = first_node, begin_node = chunk.node_begin;
      Kokkos::parallel_for(
          "gnn_hpc::EquiLayer::apply_backward", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.node_end - chunk.node_begin, team_size(), 32),
          KOKKOS_LAMBDA(const ChunkTeam& team) {
            const int v = begin_node + team.league_rank(), begin = in_ptr(v), count = in_ptr(v + 1) - begin;
            Kokkos::parallel_for(Kokkos::TeamVectorRange(team, count * c_end), [&](const int i) {
              const int e = begin + i / c_end, c = i % c_end;
              T sum = 0;
              for (int o = 0; o < kProducts; ++o) sum += dp(e, o) * all(v - first, o * c_end + c);
              dh(e, c) = sum;
            });
          });
    }
  }

 private:
  template <class Body>
  void each_node(const Chunk& chunk, const Body& body) const {
    for (int v = chunk.node_begin; v < chunk.node_end; ++v) body(v, batch.in_ptr(v), batch.in_ptr(v + 1));
  }
};

/// What the mean over the edges that leave a node needs of the batch.
template <class T>
struct Leaving {
  View1<int> in_ptr, src, dst, reverse;
  View1<T> mult;
  View1<double> node_mult;
  View2<T> harmonics;
  Leaving(const CrystalBatch<T>& b, View2<T> y)
      : in_ptr(b.in_ptr), src(b.src), dst(b.dst), reverse(b.reverse), mult(b.mult), node_mult(b.node_mult), harmonics(y) {}
  /// Share of edge e in the mean of the node u that it leaves; multiplicities of an edge and its reverse are the same.
  KOKKOS_INLINE_FUNCTION T share(int e, int u) const { return mult(e) / static_cast<T>(node_mult(u) > 1.0 ? node_mult(u) : 1.0); }
};

/// f_u = s_u + mean 1/8 p_e (x) Y over the edges that leave u; p [E,kProducts]
template <class T>
void node_features(const Exec& exec, const Leaving<T>& leaving, View2<T> s, View2<T> p, View2<T> gathered_bias, View2<T> f) {
  Kokkos::parallel_for(
      "gnn_hpc::EquiLayer::features", Kokkos::TeamPolicy<Exec>(exec, f.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int u = team.league_rank(), begin = leaving.in_ptr(u), end = leaving.in_ptr(u + 1);
        each_channel(team, kScalars, [&](const int o) {
          T sum = s(u, o);
          for (int j = begin; j < end; ++j) {
            const int e = leaving.reverse(j), v = leaving.dst(e);
            sum += leaving.share(e, u) * T(0.125) * (p(e, o) + gathered_bias(v, o));
          }
          f(u, o) = sum;
        });
        Kokkos::parallel_for(Kokkos::TeamVectorRange(team, kNodeFeatures - kScalars), [&](const int i) {
          const bool vector = i < 3 * kTensors;
          const int k = vector ? i : i - 3 * kTensors, parts = vector ? 3 : 5;
          const int o = kScalars + (vector ? 0 : kTensors) + k / parts, m = (vector ? 0 : 3) + k % parts;
          T sum = 0;
          for (int j = begin; j < end; ++j) {
            const int e = leaving.reverse(j), v = leaving.dst(e);
            sum += leaving.share(e, u) * T(0.125) * (p(e, o) + gathered_bias(v, o)) * leaving.harmonics(e, m);
          }
          f(u, kScalars + i) = sum;
        });
      });
}

/// dp_e from df of the node that e leaves.
template <class T>
void node_features_backward(const Exec& exec, const Leaving<T>& leaving, View2<T> df, View2<T> dp) {
  Kokkos::parallel_for(
      "gnn_hpc::EquiLayer::features_backward", Kokkos::TeamPolicy<Exec>(exec, dp.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int e = team.league_rank(), u = leaving.src(e);
        const T k = leaving.share(e, u) * T(0.125);
        each_channel(team, kScalars, [&](const int o) { dp(e, o) = k * df(u, o); });
        // A range takes its bound by reference, which nvcc allows of no constant of a namespace: int{} makes a value of it.
        Kokkos::parallel_for(Kokkos::TeamVectorRange(team, int{kTensors}), [&](const int o) {
          T first = 0, second = 0;
          for (int m = 0; m < 3; ++m) first += df(u, kVectorsAt + 3 * o + m) * leaving.harmonics(e, m);
          for (int m = 0; m < 5; ++m) second += df(u, kRank2At + 5 * o + m) * leaving.harmonics(e, 3 + m);
          dp(e, kScalars + o) = k * first;
          dp(e, kScalars + kTensors + o) = k * second;
        });
      });
}

inline constexpr double kShareOfProducts = 0.11180339887498949;  // 1/sqrt80
inline constexpr double kOneOverRoot3 = 0.5773502691896258, kOneOverRoot5 = 0.4472135954999579;

/// q of the reverse (u -> a) of each edge j = (a -> u): features of a against the harmonics, times the share in the mean of u.
template <class T>
void product_inputs(const Exec& exec, const Leaving<T>& leaving, View2<T> f, View2<T> q) {
  Kokkos::parallel_for(
      "gnn_hpc::EquiLayer::inputs", Kokkos::TeamPolicy<Exec>(exec, q.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int j = team.league_rank(), a = leaving.src(j);
        const T k = leaving.share(j, leaving.dst(j)) * static_cast<T>(kShareOfProducts);
        each_channel(team, kScalars, [&](const int i) { q(j, i) = k * f(a, i); });
        Kokkos::parallel_for(Kokkos::TeamVectorRange(team, int{kTensors}), [&](const int i) {
          T first = 0, second = 0;
          for (int m = 0; m < 3; ++m) first -= f(a, kVectorsAt + 3 * i + m) * leaving.harmonics(j, m);  // Y1 of the reverse
          for (int m = 0; m < 5; ++m) second += f(a, kRank2At + 5 * i + m) * leaving.harmonics(j, 3 + m);
          q(j, kScalars + i) = k * static_cast<T>(kOneOverRoot3) * first;
          q(j, kScalars + kTensors + i) = k * static_cast<T>(kOneOverRoot5) * second;
        });
      });
}

/// df_a from dq + dbias (of the node) of all edges j that leave a.
template <class T>
void product_inputs_backward(const Exec& exec, const Leaving<T>& leaving, View2<T> dq, View2<T> dbias, View2<T> df) {
  Kokkos::parallel_for(
      "gnn_hpc::EquiLayer::inputs_backward", Kokkos::TeamPolicy<Exec>(exec, df.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int a = team.league_rank(), begin = leaving.in_ptr(a), end = leaving.in_ptr(a + 1);
        each_channel(team, kScalars, [&](const int i) {
          T sum = 0;
          for (int l = begin; l < end; ++l) {
            const int j = leaving.reverse(l), u = leaving.dst(j);
            sum += leaving.share(j, u) * (dq(j, i) + dbias(u, i));
          }
          df(a, i) = sum * static_cast<T>(kShareOfProducts);
        });
        Kokkos::parallel_for(Kokkos::TeamVectorRange(team, kNodeFeatures - kScalars), [&](const int i) {
          const bool vector = i < 3 * kTensors;
          const int k = vector ? i : i - 3 * kTensors, parts = vector ? 3 : 5;
          const int o = kScalars + (vector ? 0 : kTensors) + k / parts, m = (vector ? 0 : 3) + k % parts;
          T sum = 0;
          for (int l = begin; l < end; ++l) {
            const int j = leaving.reverse(l), u = leaving.dst(j);
            sum += leaving.share(j, u) * (dq(j, o) + dbias(u, o)) * leaving.harmonics(j, m);
          }
          df(a, kScalars + i) = sum * static_cast<T>(kShareOfProducts) * static_cast<T>(vector ? -kOneOverRoot3 : kOneOverRoot5);
        });
      });
}

/// sums[v,:] = sum of the rows of the edges that enter v
template <class T>
void sums_of_nodes(const Exec& exec, View1<int> in_ptr, View2<T> x, View2<T> sums) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::EquiLayer::sums", Kokkos::TeamPolicy<Exec>(exec, sums.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int v = team.league_rank();
        each_channel(team, width, [&](const int c) {
          T sum = 0;
          for (int e = in_ptr(v); e < in_ptr(v + 1); ++e) sum += x(e, c);
          sums(v, c) = sum;
        });
      });
}

/// The weights [i][o][c] of the second product as [(i,c), o], and back: adds to the gradient.
template <class T>
void turn_weights(const Exec& exec, View2<T> weight, View2<T> turned) {
  const int width = weight.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::EquiLayer::turn", RowMajor2(exec, {0, 0}, {kProducts, width}), KOKKOS_LAMBDA(const int i, const int c) {
        for (int o = 0; o < kScalars; ++o) turned(i * width + c, o) = weight(i * kScalars + o, c);
      });
}
template <class T>
void turn_gradient(const Exec& exec, View2<T> dturned, View2<T> dweight) {
  const int width = dweight.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::EquiLayer::turn_back", RowMajor2(exec, {0, 0}, {kWeights, width}),
      KOKKOS_LAMBDA(const int r, const int c) { dweight(r, c) += dturned(r / kScalars * width + c, r % kScalars); });
}

/// activated = softplus(scale t + shift)
template <class T>
void normalised_softplus(const Exec& exec, View2<T> t, View1<T> scale, View1<T> shift, View2<T> activated) {
  Kokkos::parallel_for(
      "gnn_hpc::EquiLayer::activate", RowMajor2(exec, {0, 0}, {t.extent_int(0), t.extent_int(1)}),
      KOKKOS_LAMBDA(const int n, const int c) { activated(n, c) = softplus(scale(c) * t(n, c) + shift(c)); });
}

}  // namespace gnn_hpc::comformer::equi_kernels
