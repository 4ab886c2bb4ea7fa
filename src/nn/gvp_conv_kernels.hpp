// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/channels.hpp"
#include "nn/gvp_conv.hpp"

/// Kernels of GvpConv.
namespace gnn_hpc::gvp_conv_kernels {

/// y[c] = factor * sum over rows r of [begin, end) of row(r)[c].
template <class T, class RowOf>
KOKKOS_INLINE_FUNCTION void sum_rows(const ChunkTeam& team, int width, int begin, int end, T factor, T* y, const RowOf& row) {
  if constexpr (kExecIsHost) {
    for (int c = 0; c < width; ++c) y[c] = T(0);
    for (int r = begin; r < end; ++r) {
      const T* x = row(r);
      GNN_HPC_SIMD
      for (int c = 0; c < width; ++c) y[c] += x[c];
    }
    for (int c = 0; c < width; ++c) y[c] *= factor;
  } else {
    Kokkos::parallel_for(Kokkos::TeamVectorRange(team, width), [&](const int c) {
      T sum = 0;
      for (int r = begin; r < end; ++r) sum += row(r)[c];
      y[c] = factor * sum;
    });
  }
}

/// Columns of the first perceptron's weights that act on edges: weight = ws[e_s | n], edge_hidden = wh[e_v]'.
template <class T>
void pack_weights(const Exec& exec, View2<T> ws, View2<T> wh, int ns, int nv, View2<T> weight, View2<T> edge_hidden) {
  const int hidden = edge_hidden.extent_int(1), es = weight.extent_int(1) - hidden;
  Kokkos::parallel_for(
      "gnn_hpc::GvpConv::pack", RowMajor2(exec, {0, 0}, {weight.extent_int(0), weight.extent_int(1)}),
      KOKKOS_LAMBDA(const int o, const int i) { weight(o, i) = ws(o, i < es ? ns + i : 2 * ns + i); });
  Kokkos::parallel_for(
      "gnn_hpc::GvpConv::pack_vectors", RowMajor2(exec, {0, 0}, {edge_hidden.extent_int(0), hidden}),
      KOKKOS_LAMBDA(const int c, const int k) { edge_hidden(c, k) = wh(k, nv + c); });
}

/// The gradients the other way; adds.
template <class T>
void unpack_gradients(const Exec& exec, View2<T> dweight, View2<T> dedge_hidden, int ns, int nv, View2<T> dws, View2<T> dwh) {
  const int hidden = dedge_hidden.extent_int(1), es = dweight.extent_int(1) - hidden;
  Kokkos::parallel_for(
      "gnn_hpc::GvpConv::unpack", RowMajor2(exec, {0, 0}, {dweight.extent_int(0), dweight.extent_int(1)}),
      KOKKOS_LAMBDA(const int o, const int i) { dws(o, i < es ? ns + i : 2 * ns + i) += dweight(o, i); });
  Kokkos::parallel_for(
      "gnn_hpc::GvpConv::unpack_vectors", RowMajor2(exec, {0, 0}, {dedge_hidden.extent_int(0), hidden}),
      KOKKOS_LAMBDA(const int c, const int k) { dwh(k, nv + c) += dedge_hidden(c, k); });
}

/// First perceptron of the edges of a chunk: hidden vectors, joined = [e_s ; n], and the node terms of s.
template <class T>
void start_edges(const ChunkExec& exec, const ResidueInput<T>& graph, const ResidueChunk& chunk, const typename GvpConv<T>::Terms& terms,
                 const GvpState<T>& edges, const typename Gvp<T>::Saved& one) {
  const auto src = graph.src, dst = graph.dst;
  const auto from = terms.from, to = terms.to, hidden_from = terms.hidden_from, hidden_to = terms.hidden_to, edge_hidden = terms.edge_hidden;
  const auto edge_s = edges.s, edge_v = edges.v, s = one.s, hidden = one.hidden, joined = one.joined;
  const int ns = from.extent_int(1), h = hidden.extent_int(1), es = edge_s.extent_int(1), ev = edge_v.extent_int(1), first = chunk.edge_begin;
  Kokkos::parallel_for(
      "gnn_hpc::GvpConv::start", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.num_edges(), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank(), e = first + r, j = src(e), i = dst(e);
        const T *a = &from(j, 0), *b = &to(i, 0), *es_row = &edge_s(e, 0);
        T *out = &s(r, 0), *join = &joined(r, 0), *n = &joined(r, es);
        each_channel(team, ns, [&](const int c) { out[c] = a[c] + b[c]; });
        each_channel(team, es, [&](const int c) { join[c] = es_row[c]; });
        const T *jx = &hidden_from(3 * j, 0), *jy = &hidden_from(3 * j + 1, 0), *jz = &hidden_from(3 * j + 2, 0);
        const T *ix = &hidden_to(3 * i, 0), *iy = &hidden_to(3 * i + 1, 0), *iz = &hidden_to(3 * i + 2, 0);
        T *hx = &hidden(3 * r, 0), *hy = &hidden(3 * r + 1, 0), *hz = &hidden(3 * r + 2, 0);
        const T* w = &edge_hidden(0, 0);
        const T vx = edge_v(3 * e, 0), vy = edge_v(3 * e + 1, 0), vz = edge_v(3 * e + 2, 0);
        each_channel(team, h, [&](const int k) {
          hx[k] = jx[k] + ix[k] + vx * w[k];
          hy[k] = jy[k] + iy[k] + vy * w[k];
          hz[k] = jz[k] + iz[k] + vz * w[k];
        });
        for (int c = 1; c < ev; ++c) {  // a loop inside the loop over channels would keep it scalar
          const T* wc = &edge_hidden(c, 0);
          const T ux = edge_v(3 * e, c), uy = edge_v(3 * e + 1, c), uz = edge_v(3 * e + 2, c);
          each_channel(team, h, [&](const int k) {
            hx[k] += ux * wc[k];
            hy[k] += uy * wc[k];
            hz[k] += uz * wc[k];
          });
        }
        each_channel(team, h, [&](const int k) {
          const T square = hx[k] * hx[k] + hy[k] * hy[k] + hz[k] * hz[k];
          n[k] = clamped_norm(square);
        });
      });
}

/// open = s > 0 for the edges of a chunk.
template <class T>
void store_open(const ChunkExec& exec, View2<T> s, View2<std::uint8_t> open) {
  const int width = s.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::GvpConv::store_open", Kokkos::TeamPolicy<ChunkExec>(exec, s.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T* from = &s(r, 0);
        std::uint8_t* to = &open(r, 0);
        each_channel(team, width, [&](const int c) { to[c] = from[c] > T(0) ? 1 : 0; });
      });
}

/// s = 1 where open, else 0: as good as the scalars where only their signs count.
template <class T>
void load_open(const ChunkExec& exec, View2<std::uint8_t> open, View2<T> s) {
  const int width = s.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::GvpConv::load_open", Kokkos::TeamPolicy<ChunkExec>(exec, s.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const std::uint8_t* from = &open(r, 0);
        T* to = &s(r, 0);
        each_channel(team, width, [&](const int c) { to[c] = static_cast<T>(from[c]); });
      });
}

/// Means of rows of a chunk's edges over the edges of each node: scalars `s` and vectors `v` to rows of `mean`, `mean_v`.
template <class T>
void mean_over_edges(const ChunkExec& exec, const ResidueInput<T>& graph, const ResidueChunk& chunk, View2<T> s, View2<T> v, View2<T> mean,
                     View2<T> mean_v) {
  const auto in_ptr = graph.in_ptr;
  const int width = s.extent_int(1), vectors = v.extent_int(1), first = chunk.edge_begin, node = chunk.node_begin;
  Kokkos::parallel_for(
      "gnn_hpc::GvpConv::mean", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.num_nodes(), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int i = node + team.league_rank(), begin = in_ptr(i) - first, end = in_ptr(i + 1) - first;
        const T factor = end > begin ? T(1) / static_cast<T>(end - begin) : T(0);
        sum_rows(team, width, begin, end, factor, &mean(i, 0), [&](const int r) { return &s(r, 0); });
        for (int x = 0; x < 3; ++x) sum_rows(team, vectors, begin, end, factor, &mean_v(3 * i + x, 0), [&](const int r) { return &v(3 * r + x, 0); });
      });
}

/// Every edge of a node receives its gradient / degree.
template <class T>
void spread_to_edges(const ChunkExec& exec, const ResidueInput<T>& graph, const ResidueChunk& chunk, View2<T> dmean, View2<T> dmean_v, View2<T> ds,
                     View2<T> dv) {
  const auto in_ptr = graph.in_ptr, dst = graph.dst;
  const int width = ds.extent_int(1), vectors = dv.extent_int(1), first = chunk.edge_begin;
  Kokkos::parallel_for(
      "gnn_hpc::GvpConv::spread", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.num_edges(), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank(), i = dst(first + r);
        const T factor = T(1) / static_cast<T>(in_ptr(i + 1) - in_ptr(i));
        const T* from = &dmean(i, 0);
        T* to = &ds(r, 0);
        each_channel(team, width, [&](const int c) { to[c] = factor * from[c]; });
        for (int x = 0; x < 3; ++x) {
          const T* from_v = &dmean_v(3 * i + x, 0);
          T* to_v = &dv(3 * r + x, 0);
          each_channel(team, vectors, [&](const int c) { to_v[c] = factor * from_v[c]; });
        }
      });
}

/// Gradients of a chunk's edges to their targets' terms, and the scalars' part to the embedded edges: dto, dhidden_to of the chunk's nodes are
/// overwritten, dedge_s (+)= columns of djoined.
template <class T>
void gather_targets(const ChunkExec& exec, const ResidueInput<T>& graph, const ResidueChunk& chunk, View2<T> da, View2<T> dhidden, View2<T> dto,
                    View2<T> dhidden_to) {
  const auto in_ptr = graph.in_ptr;
  const int ns = da.extent_int(1), h = dhidden.extent_int(1), first = chunk.edge_begin, node = chunk.node_begin;
  Kokkos::parallel_for(
      "gnn_hpc::GvpConv::targets", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.num_nodes(), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int i = node + team.league_rank(), begin = in_ptr(i) - first, end = in_ptr(i + 1) - first;
        sum_rows(team, ns, begin, end, T(1), &dto(i, 0), [&](const int r) { return &da(r, 0); });
        for (int x = 0; x < 3; ++x)
          sum_rows(team, h, begin, end, T(1), &dhidden_to(3 * i + x, 0), [&](const int r) { return &dhidden(3 * r + x, 0); });
      });
}

/// The same to their sources, on a CPU: adds to rows of this lane's copies.
template <class T>
void scatter_sources(const ChunkExec& exec, const ResidueInput<T>& graph, const ResidueChunk& chunk, View2<T> da, View2<T> dhidden, View2<T> dfrom,
                     View2<T> dhidden_from) {
  const auto src = graph.src;
  const int ns = da.extent_int(1), h = dhidden.extent_int(1), first = chunk.edge_begin, edges = chunk.num_edges();
  Kokkos::parallel_for(
      "gnn_hpc::GvpConv::sources", Kokkos::RangePolicy<ChunkExec, Kokkos::IndexType<int>>(exec, 0, 1), KOKKOS_LAMBDA(const int) {
        for (int r = 0; r < edges; ++r) {
          const int j = src(first + r);
          const T* d = &da(r, 0);
          T* to = &dfrom(j, 0);
          GNN_HPC_SIMD
          for (int c = 0; c < ns; ++c) to[c] += d[c];
          for (int x = 0; x < 3; ++x) {
            const T* dh = &dhidden(3 * r + x, 0);
            T* to_h = &dhidden_from(3 * j + x, 0);
            GNN_HPC_SIMD
            for (int k = 0; k < h; ++k) to_h[k] += dh[k];
          }
        }
      });
}

/// And on a device, where one chunk holds all edges: a team a node over the edges that leave it.
template <class T>
void gather_sources(const Exec& exec, const ResidueInput<T>& graph, View2<T> da, View2<T> dhidden, View2<T> dfrom, View2<T> dhidden_from) {
  const auto out_ptr = graph.out_ptr, out_edge = graph.out_edge;
  const int ns = da.extent_int(1), h = dhidden.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::GvpConv::sources", Kokkos::TeamPolicy<Exec>(exec, dfrom.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int j = team.league_rank(), begin = out_ptr(j), end = out_ptr(j + 1);
        Kokkos::parallel_for(Kokkos::TeamVectorRange(team, ns + 3 * h), [&](const int c) {
          const int x = (c - ns) / h, k = (c - ns) % h;
          T sum = 0;
          for (int o = begin; o < end; ++o) sum += c < ns ? da(out_edge(o), c) : dhidden(3 * out_edge(o) + x, k);
          if (c < ns)
            dfrom(j, c) = sum;
          else
            dhidden_from(3 * j + x, k) = sum;
        });
      });
}

/// y(r, c) += bias(c) for nodes with edges.
template <class T>
void add_bias_where_edges(const Exec& exec, View1<int> in_ptr, View1<T> bias, View2<T> y) {
  const int width = y.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::GvpConv::bias", Kokkos::TeamPolicy<Exec>(exec, y.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int i = team.league_rank();
        const bool edges = in_ptr(i + 1) > in_ptr(i);
        each_channel(team, width, [&](const int c) { y(i, c) = edges ? y(i, c) + bias(c) : T(0); });
      });
}

/// Rows of nodes without edges become 0: nothing of their gradient reaches a parameter.
template <class T>
void clear_where_no_edges(const Exec& exec, View1<int> in_ptr, View2<T> dy) {
  const int width = dy.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::GvpConv::clear", Kokkos::TeamPolicy<Exec>(exec, dy.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int i = team.league_rank();
        if (in_ptr(i + 1) > in_ptr(i)) return;
        each_channel(team, width, [&](const int c) { dy(i, c) = T(0); });
      });
}

}  // namespace gnn_hpc::gvp_conv_kernels
