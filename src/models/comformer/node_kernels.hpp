// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/comformer/gate_kernels.hpp"
#include "models/comformer/node_layer.hpp"

#include <cmath>

// Kernels of the node layer; for node_layer.cpp alone.

namespace gnn_hpc::comformer::node_kernels {

/// pre = (F e, or its table rows) + node terms of both ends; hidden = silu(pre). One team a target node; channels are H 2C.
template <class T>
struct PreActivation {
  View2<T> pre, hidden, target_term, source_term, table;
  RowMap<T> map;
  View1<int> in_ptr, src;
  bool mapped;
  int v, first_edge;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    for (int e = in_ptr(v); e < in_ptr(v + 1); ++e) {
      T p[W];
      if (mapped) {
        for (int j = 0; j < W; ++j) p[j] = T(0);
        add_mapped(map, table, e, c, p);
      } else {
        for (int j = 0; j < W; ++j) p[j] = pre(e, c + j);
      }
      const T *a = &target_term(v, c), *b = &source_term(src(e), c);
      T* out = &pre(e, c);
      T* act = &hidden(e - first_edge, c);
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) {
        p[j] += a[j] + b[j];
        out[j] = p[j];
        act[j] = silu(p[j]);
      }
    }
  }
};

/// Adds the second Linears' biases to key and message and leaves the moments of att over the edges of node v, head h.
template <class T>
struct AttMoments {
  View2<T> key, message, query;
  View1<T> key_bias, message_bias, mult;
  View2<double> partial;
  View1<int> in_ptr;
  int v, h, heads, width;
  T root;
  bool moments;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    const int begin = in_ptr(v), end = in_ptr(v + 1), at = h * width + c;
    T shift[W] = {}, s1[W] = {}, s2[W] = {};
    T weight = 0;
    const T* q = &query(v, at);
    for (int e = begin; e < end; ++e) {
      T *k = &key(e, at), *m = &message(e, at);
      T att[W];
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) {
        k[j] += key_bias(c + j);
        m[j] += message_bias(c + j);
        att[j] = q[j] * k[j] * root;
      }
      if (!moments) continue;
      if (e == begin) {
        for (int j = 0; j < W; ++j) shift[j] = att[j];
      }
      const T w = mult(e);
      weight += w;
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) {
        const T d = att[j] - shift[j];
        s1[j] += w * d;
        s2[j] += w * d * d;
      }
    }
    if (!moments) return;
    const double inverse = weight > T(0) ? 1.0 / static_cast<double>(weight) : 0.0;
    const int row = v * heads + h;
    for (int j = 0; j < W; ++j) {
      const double moment = static_cast<double>(s1[j]);
      partial(row, c + j) = static_cast<double>(shift[j]) + moment * inverse;
      partial(row, width + c + j) = static_cast<double>(s2[j]) - moment * moment * inverse;
    }
  }
};

/// agg_v = sum of mult msg gate over the edges that enter v.
template <class T>
struct Aggregate {
  View2<T> key, message, query, agg;
  View1<T> mult;
  View1<int> in_ptr;
  Gate<T> gate;
  int v, h, width;
  T root;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    const int at = h * width + c;
    T sum[W] = {};
    const T* q = &query(v, at);
    for (int e = in_ptr(v); e < in_ptr(v + 1); ++e) {
      const T w = mult(e);
      const T *k = &key(e, at), *m = &message(e, at);
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) sum[j] += w * m[j] * gate.value(q[j] * k[j] * root, c + j);
    }
    for (int j = 0; j < W; ++j) agg(v, at + j) = sum[j];
  }
};

/// Sums of G and G xh over the edges of node v, head h, for the gate's normalisation.
template <class T>
struct GateGradientSums {
  View2<T> key, message, query, dagg;
  View1<T> mult;
  View1<int> in_ptr;
  View2<double> partial;
  Gate<T> gate;
  int v, h, heads, width;
  T root;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    const int at = h * width + c, row = v * heads + h;
    T s1[W] = {}, s2[W] = {};
    const T *q = &query(v, at), *d = &dagg(v, at);
    for (int e = in_ptr(v); e < in_ptr(v + 1); ++e) {
      const T w = mult(e);
      const T *k = &key(e, at), *m = &message(e, at);
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) {
        const T att = q[j] * k[j] * root, y = gate.value(att, c + j);
        const T g = w * m[j] * d[j] * y * (T(1) - y);
        s1[j] += g;
        s2[j] += g * gate.normalised(att, c + j);
      }
    }
    for (int j = 0; j < W; ++j) {
      partial(row, c + j) = static_cast<double>(s1[j]);
      partial(row, width + c + j) = static_cast<double>(s2[j]);
    }
  }
};

/// dkm = [dkey | dmsg] of each edge, dquery_v, and the sums of dkey and dmsg over the edges of v (for the biases).
template <class T>
struct GateBackward {
  View2<T> key, message, query, dagg, dkm, dquery;
  View1<T> mult;
  View1<int> in_ptr;
  View2<double> partial;
  Gate<T> gate;
  int v, h, heads, width, first_edge;
  T root;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    const int at = h * width + c, row = v * heads + h;
    T dq[W] = {};
    T sum_key[W] = {}, sum_message[W] = {};
    const T *q = &query(v, at), *d = &dagg(v, at);
    for (int e = in_ptr(v); e < in_ptr(v + 1); ++e) {
      const T w = mult(e);
      const T *k = &key(e, at), *m = &message(e, at);
      T* dk = &dkm((e - first_edge) * heads + h, c);
      T* dm = dk + width;
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) {
        const T att = q[j] * k[j] * root, y = gate.value(att, c + j);
        const T datt = gate.att_gradient(w * m[j] * d[j] * y * (T(1) - y), w, att, c + j) * root;
        const T dkey = datt * q[j], dmessage = w * y * d[j];
        dq[j] += datt * k[j];
        dk[j] = dkey;
        dm[j] = dmessage;
        sum_key[j] += dkey;
        sum_message[j] += dmessage;
      }
    }
    for (int j = 0; j < W; ++j) {
      dquery(v, at + j) = dq[j];
      partial(row, c + j) = static_cast<double>(sum_key[j]);
      partial(row, width + c + j) = static_cast<double>(sum_message[j]);
    }
  }
};

/// da = dhidden silu'(pre), in place of the derivative that `hidden_of` left in pre, and its sum over the edges that enter v: the gradient of the
/// node's target term.
template <class T>
struct PreGradient {
  View2<T> pre, dhidden, dtarget;
  View1<int> in_ptr;
  int v, first_edge;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    T sum[W] = {};
    for (int e = in_ptr(v); e < in_ptr(v + 1); ++e) {
      const T* d = &dhidden(e - first_edge, c);
      T* p = &pre(e, c);
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) {
        const T da = d[j] * p[j];
        p[j] = da;
        sum[j] += da;
      }
    }
    for (int j = 0; j < W; ++j) dtarget(v, c + j) = sum[j];
  }
};

template <class T>
void pre_activation(const ChunkExec& exec, const CrystalBatch<T>& b, const Chunk& chunk, const typename NodeLayer<T>::Saved& s, View2<T> target_term,
                    View2<T> source_term, View2<T> table, View2<T> hidden) {
  const auto pre = s.pre;
  const auto in_ptr = b.in_ptr, src = b.src;
  const bool mapped = s.edges.map != nullptr;
  const RowMap<T> map = mapped ? *s.edges.map : RowMap<T>{};
  const int begin = chunk.node_begin, first_edge = chunk.edge_begin, width = pre.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::pre_activation", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.node_end - begin, team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int v = begin + team.league_rank();
        each_strip(team, width, PreActivation<T>{pre, hidden, target_term, source_term, table, map, in_ptr, src, mapped, v, first_edge});
      });
}

template <class T>
void att_moments(const ChunkExec& exec, const CrystalBatch<T>& b, const Chunk& chunk, const NodeLayer<T>& layer,
                 const typename NodeLayer<T>::Saved& s, View2<double> partial, bool training) {
  const auto key = s.key, message = s.message, query = s.query;
  const auto key_bias = layer.update.key.second.bias.value1(), message_bias = layer.update.message.second.bias.value1();
  const auto mult = b.mult;
  const auto in_ptr = b.in_ptr;
  const int begin = chunk.node_begin, heads = layer.heads, width = layer.width;
  const T root = T(1) / std::sqrt(static_cast<T>(width));
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::att_moments", Kokkos::TeamPolicy<ChunkExec>(exec, (chunk.node_end - begin) * heads, team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int v = begin + team.league_rank() / heads, h = team.league_rank() % heads;
        each_strip(team, width,
                   AttMoments<T>{key, message, query, key_bias, message_bias, mult, partial, in_ptr, v, h, heads, width, root, training});
      });
}

/// y = softplus(x + bn(mixed))
template <class T>
void residual_softplus(const Exec& exec, View2<T> x, View2<T> mixed, View1<T> scale, View1<T> shift, View2<T> y) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::output", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int n = team.league_rank();
        each_channel(team, width, [&](const int c) { y(n, c) = softplus(x(n, c) + scale(c) * mixed(n, c) + shift(c)); });
      });
}

template <class T>
void pre_gradient(const ChunkExec& exec, const CrystalBatch<T>& b, const Chunk& chunk, View2<T> pre, View2<T> dhidden, View2<T> dtarget) {
  const auto in_ptr = b.in_ptr;
  const int begin = chunk.node_begin, first_edge = chunk.edge_begin, width = pre.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::pre_gradient", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.node_end - begin, team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int v = begin + team.league_rank();
        each_strip(team, width, PreGradient<T>{pre, dhidden, dtarget, in_ptr, v, first_edge});
      });
}

template <class T>
void gate_gradient_sums(const Exec& exec, const CrystalBatch<T>& b, const typename NodeLayer<T>::Saved& s, View2<T> dagg, const Gate<T>& gate,
                        View2<double> partial, int heads, int width) {
  const auto key = s.key, message = s.message, query = s.query;
  const auto mult = b.mult;
  const auto in_ptr = b.in_ptr;
  const T root = T(1) / std::sqrt(static_cast<T>(width));
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::gate_sums", Kokkos::TeamPolicy<Exec>(exec, b.num_nodes * heads, team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int v = team.league_rank() / heads, h = team.league_rank() % heads;
        each_strip(team, width, GateGradientSums<T>{key, message, query, dagg, mult, in_ptr, partial, gate, v, h, heads, width, root});
      });
}

template <class T>
void gate_backward(const ChunkExec& exec, const CrystalBatch<T>& b, const Chunk& chunk, const typename NodeLayer<T>::Saved& s, View2<T> dagg,
                   const Gate<T>& gate, View2<T> dkm, View2<T> dquery, View2<double> partial, int heads, int width) {
  const auto key = s.key, message = s.message, query = s.query;
  const auto mult = b.mult;
  const auto in_ptr = b.in_ptr;
  const int begin = chunk.node_begin, first_edge = chunk.edge_begin;
  const T root = T(1) / std::sqrt(static_cast<T>(width));
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::gate_backward", Kokkos::TeamPolicy<ChunkExec>(exec, (chunk.node_end - begin) * heads, team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int v = begin + team.league_rank() / heads, h = team.league_rank() % heads;
        each_strip(team, width,
                   GateBackward<T>{key, message, query, dagg, dkm, dquery, mult, in_ptr, partial, gate, v, h, heads, width, first_edge, root});
      });
}

template <class T>
void aggregate_csr(const Exec& exec, const CrystalBatch<T>& b, const typename NodeLayer<T>::Saved& s, const Gate<T>& gate, int heads, int width) {
  const auto key = s.key, message = s.message, query = s.query, agg = s.agg;
  const auto mult = b.mult;
  const auto in_ptr = b.in_ptr;
  const T root = T(1) / std::sqrt(static_cast<T>(width));
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::aggregate", Kokkos::TeamPolicy<Exec>(exec, b.num_nodes * heads, team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int v = team.league_rank() / heads, h = team.league_rank() % heads;
        each_strip(team, width, Aggregate<T>{key, message, query, agg, mult, in_ptr, gate, v, h, width, root});
      });
}

/// mult msg gate of every edge, for the sum through ScatterView.
template <class T>
void gated_messages(const Exec& exec, const CrystalBatch<T>& b, const typename NodeLayer<T>::Saved& s, const Gate<T>& gate, int heads, int width,
                    View2<T> out) {
  const auto key = s.key, message = s.message, query = s.query;
  const auto mult = b.mult;
  const auto dst = b.dst;
  const T root = T(1) / std::sqrt(static_cast<T>(width));
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::gated_messages", Kokkos::TeamPolicy<Exec>(exec, b.num_edges * heads, team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int e = team.league_rank() / heads, at = team.league_rank() % heads * width;
        each_channel(team, width, [&](const int c) {
          out(e, at + c) = mult(e) * message(e, at + c) * gate.value(query(dst(e), at + c) * key(e, at + c) * root, c);
        });
      });
}

/// Weight of a (node, head) row of partial moments: the node's edges with multiplicity.
inline View1<double> head_weights(const Exec& exec, Arena& arena, View1<double> node_mult, int heads) {
  const int rows = node_mult.extent_int(0) * heads;
  const auto weights = arena.array<double>(rows);
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::head_weights", Rows(exec, 0, rows), KOKKOS_LAMBDA(const int r) { weights(r) = node_mult(r / heads); });
  return weights;
}

}  // namespace gnn_hpc::comformer::node_kernels
