// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/comformer/edge_layer.hpp"
#include "models/comformer/gate_kernels.hpp"

#include <cmath>

// Kernels of the edge layer; for edge_layer.cpp alone.

namespace gnn_hpc::comformer::edge_kernels {

constexpr int kSlots = 3;

/// pre and hidden of one edge: terms of its distance, of its angles and of its crystal's lattice vectors. Channels are H 2C.
template <class T>
struct PreActivation {
  View2<T> pre, hidden, distance_table, cosine_table, lattice_term;
  RowMap<T> distance, cosine;
  int e, g, first_edge, width;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    T base[W];
    for (int j = 0; j < W; ++j) base[j] = T(0);
    add_mapped(distance, distance_table, e, c, base);
    for (int s = 0; s < kSlots; ++s) {
      T p[W];
      for (int j = 0; j < W; ++j) p[j] = base[j];
      add_mapped(cosine, cosine_table, e * kSlots + s, c, p);
      const T* l = &lattice_term(g, s * width + c);
      T* out = &pre(e, s * width + c);
      T* act = &hidden(e - first_edge, s * width + c);
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) {
        p[j] += l[j];
        out[j] = p[j];
        act[j] = silu(p[j]);
      }
    }
  }
};

/// y[i,:] = the mapped rows of a table.
template <class T>
struct Mapped {
  RowMap<T> map;
  View2<T> table, y;
  int i;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    T sum[W];
    for (int j = 0; j < W; ++j) sum[j] = T(0);
    add_mapped(map, table, i, c, sum);
    for (int j = 0; j < W; ++j) y(i, c + j) = sum[j];
  }
};

/// What the kernels over the gates of a target node's edges read.
template <class T>
struct GateInput {
  View2<T> key, message, query;
  View1<T> mult;
  View1<int> in_ptr;
  int heads, width;
  T root;
};

/// Adds the second Linears' biases and leaves the moments of att over edges, slots and heads of the edges that enter v.
template <class T>
struct AttMoments {
  GateInput<T> in;
  View1<T> key_bias, message_bias;
  View2<double> partial;
  int v;
  bool moments;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    const int begin = in.in_ptr(v), end = in.in_ptr(v + 1);
    T shift[W] = {}, s1[W] = {}, s2[W] = {};
    T weight = 0;
    bool first = true;
    for (int e = begin; e < end; ++e) {
      const T w = in.mult(e);
      for (int r = 0; r < kSlots * in.heads; ++r) {
        T *k = &in.key(e, r * in.width + c), *m = &in.message(e, r * in.width + c);
        const T* q = &in.query(e, r % in.heads * in.width + c);
        T att[W];
        GNN_HPC_SIMD
        for (int j = 0; j < W; ++j) {
          k[j] += key_bias(c + j);
          m[j] += message_bias(c + j);
          att[j] = q[j] * k[j] * in.root;
        }
        if (!moments) continue;
        if (first) {
          for (int j = 0; j < W; ++j) shift[j] = att[j];
          first = false;
        }
        weight += w;
        GNN_HPC_SIMD
        for (int j = 0; j < W; ++j) {
          const T d = att[j] - shift[j];
          s1[j] += w * d;
          s2[j] += w * d * d;
        }
      }
    }
    if (!moments) return;
    const double inverse = weight > T(0) ? 1.0 / static_cast<double>(weight) : 0.0;
    for (int j = 0; j < W; ++j) {
      const double moment = static_cast<double>(s1[j]);
      partial(v, c + j) = static_cast<double>(shift[j]) + moment * inverse;
      partial(v, in.width + c + j) = static_cast<double>(s2[j]) - moment * moment * inverse;
    }
  }
};

/// sum over slots of msg gate for one edge; channels of one head.
template <class T>
struct SlotSum {
  GateInput<T> in;
  Gate<T> gate;
  View2<T> sum;  // [chunk, HC]
  int e, first_edge, h;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    T total[W] = {};
    const T* q = &in.query(e, h * in.width + c);
    for (int s = 0; s < kSlots; ++s) {
      const int at = (s * in.heads + h) * in.width + c;
      const T *k = &in.key(e, at), *m = &in.message(e, at);
      GNN_HPC_SIMD
      for (int j = 0; j < W; ++j) total[j] += m[j] * gate.value(q[j] * k[j] * in.root, c + j);
    }
    for (int j = 0; j < W; ++j) sum(e - first_edge, h * in.width + c + j) = total[j];
  }
};

/// Sums of G and G xh over the edges that enter v; G carries the multiplicity already (dy does).
template <class T>
struct GateGradientSums {
  GateInput<T> in;
  Gate<T> gate;
  View2<T> dsum;  // [E, HC]
  View2<double> partial;
  int v;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    T s1[W] = {}, s2[W] = {};
    for (int e = in.in_ptr(v); e < in.in_ptr(v + 1); ++e) {
      for (int r = 0; r < kSlots * in.heads; ++r) {
        const int at = r * in.width + c, head = r % in.heads * in.width + c;
        const T *k = &in.key(e, at), *m = &in.message(e, at), *q = &in.query(e, head), *d = &dsum(e, head);
        GNN_HPC_SIMD
        for (int j = 0; j < W; ++j) {
          const T att = q[j] * k[j] * in.root, y = gate.value(att, c + j);
          const T g = m[j] * d[j] * y * (T(1) - y);
          s1[j] += g;
          s2[j] += g * gate.normalised(att, c + j);
        }
      }
    }
    for (int j = 0; j < W; ++j) {
      partial(v, c + j) = static_cast<double>(s1[j]);
      partial(v, in.width + c + j) = static_cast<double>(s2[j]);
    }
  }
};

/// dkm = [dkey | dmsg] of each (edge, slot, head), dquery of each edge (overwriting dsum's storage is not possible: it is still
/// read), and the sums of dkey and dmsg over the edges that enter v.
template <class T>
struct GateBackward {
  GateInput<T> in;
  Gate<T> gate;
  View2<T> dsum, dkm, dquery;
  View2<double> partial;
  int v, first_edge;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    T sum_key[W] = {}, sum_message[W] = {};
    for (int e = in.in_ptr(v); e < in.in_ptr(v + 1); ++e) {
      const T w = in.mult(e);
      for (int h = 0; h < in.heads; ++h) {
        T dq[W] = {};
        const T *q = &in.query(e, h * in.width + c), *d = &dsum(e, h * in.width + c);
        for (int s = 0; s < kSlots; ++s) {
          const int r = s * in.heads + h, at = r * in.width + c;
          const T *k = &in.key(e, at), *m = &in.message(e, at);
          T* dk = &dkm((e - first_edge) * kSlots * in.heads + r, c);
          T* dm = dk + in.width;
          GNN_HPC_SIMD
          for (int j = 0; j < W; ++j) {
            const T att = q[j] * k[j] * in.root, y = gate.value(att, c + j);
            const T datt = gate.att_gradient(m[j] * d[j] * y * (T(1) - y), w, att, c + j) * in.root;
            const T dkey = datt * q[j], dmessage = y * d[j];
            dq[j] += datt * k[j];
            dk[j] = dkey;
            dm[j] = dmessage;
            sum_key[j] += dkey;
            sum_message[j] += dmessage;
          }
        }
        for (int j = 0; j < W; ++j) dquery(e, h * in.width + c + j) = dq[j];
      }
    }
    for (int j = 0; j < W; ++j) {
      partial(v, c + j) = static_cast<double>(sum_key[j]);
      partial(v, in.width + c + j) = static_cast<double>(sum_message[j]);
    }
  }
};

/// da = dhidden silu'(pre), in place of the derivative that `hidden_of` left in pre, with its sums over the slots of an edge and over the edges that
/// enter v.
template <class T>
struct PreGradient {
  View2<T> pre, dhidden, slot_sum, node_sum;
  View1<int> in_ptr;
  int v, first_edge, width;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    T total[kSlots][W] = {};
    for (int e = in_ptr(v); e < in_ptr(v + 1); ++e) {
      T sum[W] = {};
      for (int s = 0; s < kSlots; ++s) {
        const T* d = &dhidden(e - first_edge, s * width + c);
        T* p = &pre(e, s * width + c);
        GNN_HPC_SIMD
        for (int j = 0; j < W; ++j) {
          const T da = d[j] * p[j];
          p[j] = da;
          sum[j] += da;
          total[s][j] += da;
        }
      }
      for (int j = 0; j < W; ++j) slot_sum(e, c + j) = sum[j];
    }
    for (int s = 0; s < kSlots; ++s) {
      for (int j = 0; j < W; ++j) node_sum(v, s * width + c + j) = total[s][j];
    }
  }
};

/// y = softplus(e + bn(out)), e from the distance table.
template <class T>
struct Output {
  RowMap<T> map;
  View2<T> table, out, y;
  View1<T> scale, shift;
  int e;
  template <int W>
  KOKKOS_INLINE_FUNCTION void run(int c) const {
    T z[W];
    for (int j = 0; j < W; ++j) z[j] = T(0);
    add_mapped(map, table, e, c, z);
    const T* o = &out(e, c);
    T* result = &y(e, c);
    GNN_HPC_SIMD
    for (int j = 0; j < W; ++j) result[j] = softplus(z[j] + scale(c + j) * o[j] + shift(c + j));
  }
};

template <class T>
GateInput<T> gate_input(const CrystalBatch<T>& b, const typename EdgeLayer<T>::Saved& s, int heads, int width) {
  return {s.key, s.message, s.query, b.mult, b.in_ptr, heads, width, T(1) / std::sqrt(static_cast<T>(width))};
}

template <class T>
void pre_activation(const ChunkExec& exec, const CrystalBatch<T>& b, const Chunk& chunk, View2<T> pre, View2<T> hidden, View2<T> distance_table,
                    View2<T> cosine_table, View2<T> lattice_term) {
  const int begin = chunk.edge_begin, width = pre.extent_int(1) / kSlots;
  const auto edge_graph = b.edge_graph;
  const auto distance = b.distance, cosine = b.cosine;
  Kokkos::parallel_for(
      "gnn_hpc::EdgeLayer::pre_activation", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.num_edges(), team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int e = begin + team.league_rank();
        each_strip(team, width,
                   PreActivation<T>{pre, hidden, distance_table, cosine_table, lattice_term, distance, cosine, e, edge_graph(e), begin, width});
      });
}

template <class T>
void mapped_rows(const Exec& exec, const RowMap<T>& map, View2<T> table, View2<T> y) {
  const int width = y.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::EdgeLayer::mapped_rows", Kokkos::TeamPolicy<Exec>(exec, map.num_items, team_size()), KOKKOS_LAMBDA(const Team& team) {
        each_strip(team, width, Mapped<T>{map, table, y, team.league_rank()});
      });
}

template <class T>
void att_moments(const ChunkExec& exec, const Chunk& chunk, const GateInput<T>& in, const KeyMessage<T>& update, View2<double> partial,
                 bool training) {
  const auto key_bias = update.key.second.bias.value1(), message_bias = update.message.second.bias.value1();
  const int begin = chunk.node_begin, width = in.width;
  Kokkos::parallel_for(
      "gnn_hpc::EdgeLayer::att_moments", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.node_end - begin, team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        each_strip(team, width, AttMoments<T>{in, key_bias, message_bias, partial, begin + team.league_rank(), training});
      });
}

template <class T>
void slot_sum(const ChunkExec& exec, const Chunk& chunk, const GateInput<T>& in, const Gate<T>& gate, View2<T> sum) {
  const int begin = chunk.edge_begin, heads = in.heads, width = in.width;
  Kokkos::parallel_for(
      "gnn_hpc::EdgeLayer::slot_sum", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.num_edges() * heads, team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int e = begin + team.league_rank() / heads, h = team.league_rank() % heads;
        each_strip(team, width, SlotSum<T>{in, gate, sum, e, begin, h});
      });
}

template <class T>
void gate_gradient_sums(const ChunkExec& exec, const Chunk& chunk, const GateInput<T>& in, const Gate<T>& gate, View2<T> dsum,
                        View2<double> partial) {
  const int begin = chunk.node_begin, width = in.width;
  Kokkos::parallel_for(
      "gnn_hpc::EdgeLayer::gate_sums", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.node_end - begin, team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        each_strip(team, width, GateGradientSums<T>{in, gate, dsum, partial, begin + team.league_rank()});
      });
}

template <class T>
void gate_backward(const ChunkExec& exec, const Chunk& chunk, const GateInput<T>& in, const Gate<T>& gate, View2<T> dsum, View2<T> dkm,
                   View2<T> dquery, View2<double> partial) {
  const int begin = chunk.node_begin, first_edge = chunk.edge_begin, width = in.width;
  Kokkos::parallel_for(
      "gnn_hpc::EdgeLayer::gate_backward", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.node_end - begin, team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        each_strip(team, width, GateBackward<T>{in, gate, dsum, dkm, dquery, partial, begin + team.league_rank(), first_edge});
      });
}

template <class T>
void pre_gradient(const ChunkExec& exec, const CrystalBatch<T>& b, const Chunk& chunk, View2<T> pre, View2<T> dhidden, View2<T> slot_sum,
                  View2<T> node_sum) {
  const auto in_ptr = b.in_ptr;
  const int begin = chunk.node_begin, first_edge = chunk.edge_begin, width = slot_sum.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::EdgeLayer::pre_gradient", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.node_end - begin, team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int v = begin + team.league_rank();
        each_strip(team, width, PreGradient<T>{pre, dhidden, slot_sum, node_sum, in_ptr, v, first_edge, width});
      });
}

/// out += 3 b: the bias of lin_concate enters with every slot.
template <class T>
void add_slot_biases(const Exec& exec, View1<T> bias, View2<T> out) {
  const int width = out.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::EdgeLayer::slot_biases", Kokkos::TeamPolicy<Exec>(exec, out.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int e = team.league_rank();
        each_channel(team, width, [&](const int c) { out(e, c) += T(kSlots) * bias(c); });
      });
}

template <class T>
void output(const Exec& exec, const CrystalBatch<T>& b, View2<T> table, const typename EdgeLayer<T>::Saved& s) {
  const auto map = b.distance;
  const auto out = s.out, y = s.y;
  const auto scale = s.norm.scale, shift = s.norm.shift;
  const int width = y.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::EdgeLayer::output", Kokkos::TeamPolicy<Exec>(exec, b.num_edges, team_size()), KOKKOS_LAMBDA(const Team& team) {
        each_strip(team, width, Output<T>{map, table, out, y, scale, shift, team.league_rank()});
      });
}

/// (crystal, slot) rows of x [3G,K] at slot s: a strided window [G,K].
template <class T>
View2<T> slot_rows(View2<T> x, int s) {
  const int width = x.extent_int(1);
  return column_range(reshape(x, x.extent(0) / kSlots, static_cast<std::size_t>(kSlots) * width), s * width, (s + 1) * width);
}

/// a[c] += factor * b[c]
template <class T>
void add_scaled(const Exec& exec, View1<double> b, T factor, View1<T> a) {
  Kokkos::parallel_for(
      "gnn_hpc::EdgeLayer::add_scaled", Rows(exec, 0, a.extent_int(0)), KOKKOS_LAMBDA(const int c) { a(c) += factor * static_cast<T>(b(c)); });
}

/// Weight of a node's partial moments: its edges with multiplicity, three slots and H heads each.
inline View1<double> slot_weights(const Exec& exec, Arena& arena, View1<double> node_mult, int copies) {
  const int rows = node_mult.extent_int(0);
  const auto weights = arena.array<double>(rows);
  Kokkos::parallel_for(
      "gnn_hpc::EdgeLayer::slot_weights", Rows(exec, 0, rows), KOKKOS_LAMBDA(const int v) { weights(v) = node_mult(v) * copies; });
  return weights;
}

}  // namespace gnn_hpc::comformer::edge_kernels
