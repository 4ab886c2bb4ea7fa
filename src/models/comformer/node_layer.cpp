// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/node_layer.hpp"

#include "models/comformer/gate_kernels.hpp"
#include "nn/chunks.hpp"
#include "nn/matmul.hpp"
#include "nn/rows.hpp"

#include <cmath>

namespace gnn_hpc::comformer {

namespace {

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

/// da = dhidden silu'(pre), in place of the derivative that `hidden_of` left in pre, and its sum over the edges that enter v: the gradient of the node's target term.
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
void pre_activation(const ChunkExec& exec, const CrystalBatch<T>& b, const Chunk& chunk, const typename NodeLayer<T>::Saved& s,
                    View2<T> target_term, View2<T> source_term, View2<T> table, View2<T> hidden) {
  const auto pre = s.pre;
  const auto in_ptr = b.in_ptr, src = b.src;
  const bool mapped = s.edges.map != nullptr;
  const RowMap<T> map = mapped ? *s.edges.map : RowMap<T>{};
  const int begin = chunk.node_begin, first_edge = chunk.edge_begin, width = pre.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::pre_activation", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.node_end - begin, Kokkos::AUTO),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int v = begin + team.league_rank();
        each_strip(team, width,
                   PreActivation<T>{pre, hidden, target_term, source_term, table, map, in_ptr, src, mapped, v, first_edge});
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
      "gnn_hpc::NodeLayer::att_moments", Kokkos::TeamPolicy<ChunkExec>(exec, (chunk.node_end - begin) * heads, Kokkos::AUTO),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int v = begin + team.league_rank() / heads, h = team.league_rank() % heads;
        each_strip(team, width, AttMoments<T>{key, message, query, key_bias, message_bias, mult, partial, in_ptr, v, h, heads,
                                              width, root, training});
      });
}

/// y = softplus(x + bn(mixed))
template <class T>
void residual_softplus(const Exec& exec, View2<T> x, View2<T> mixed, View1<T> scale, View1<T> shift, View2<T> y) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::output", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0), Kokkos::AUTO),
      KOKKOS_LAMBDA(const Team& team) {
        const int n = team.league_rank();
        each_channel(team, width, [&](const int c) { y(n, c) = softplus(x(n, c) + scale(c) * mixed(n, c) + shift(c)); });
      });
}

template <class T>
void softplus_backward(const Exec& exec, View2<T> y, View2<T> dy) {
  const int width = y.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::output_backward", Kokkos::TeamPolicy<Exec>(exec, y.extent_int(0), Kokkos::AUTO),
      KOKKOS_LAMBDA(const Team& team) {
        const int n = team.league_rank();
        each_channel(team, width, [&](const int c) { dy(n, c) *= softplus_derivative_from_value(y(n, c)); });
      });
}

template <class T>
void pre_gradient(const ChunkExec& exec, const CrystalBatch<T>& b, const Chunk& chunk, View2<T> pre, View2<T> dhidden,
                  View2<T> dtarget) {
  const auto in_ptr = b.in_ptr;
  const int begin = chunk.node_begin, first_edge = chunk.edge_begin, width = pre.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::pre_gradient", Kokkos::TeamPolicy<ChunkExec>(exec, chunk.node_end - begin, Kokkos::AUTO),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int v = begin + team.league_rank();
        each_strip(team, width, PreGradient<T>{pre, dhidden, dtarget, in_ptr, v, first_edge});
      });
}

template <class T>
void gate_gradient_sums(const Exec& exec, const CrystalBatch<T>& b, const typename NodeLayer<T>::Saved& s, View2<T> dagg,
                        const Gate<T>& gate, View2<double> partial, int heads, int width) {
  const auto key = s.key, message = s.message, query = s.query;
  const auto mult = b.mult;
  const auto in_ptr = b.in_ptr;
  const T root = T(1) / std::sqrt(static_cast<T>(width));
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::gate_sums", Kokkos::TeamPolicy<Exec>(exec, b.num_nodes * heads, Kokkos::AUTO),
      KOKKOS_LAMBDA(const Team& team) {
        const int v = team.league_rank() / heads, h = team.league_rank() % heads;
        each_strip(team, width, GateGradientSums<T>{key, message, query, dagg, mult, in_ptr, partial, gate, v, h, heads, width,
                                                    root});
      });
}

template <class T>
void gate_backward(const ChunkExec& exec, const CrystalBatch<T>& b, const Chunk& chunk, const typename NodeLayer<T>::Saved& s,
                   View2<T> dagg, const Gate<T>& gate, View2<T> dkm, View2<T> dquery, View2<double> partial, int heads,
                   int width) {
  const auto key = s.key, message = s.message, query = s.query;
  const auto mult = b.mult;
  const auto in_ptr = b.in_ptr;
  const int begin = chunk.node_begin, first_edge = chunk.edge_begin;
  const T root = T(1) / std::sqrt(static_cast<T>(width));
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::gate_backward", Kokkos::TeamPolicy<ChunkExec>(exec, (chunk.node_end - begin) * heads, Kokkos::AUTO),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int v = begin + team.league_rank() / heads, h = team.league_rank() % heads;
        each_strip(team, width, GateBackward<T>{key, message, query, dagg, dkm, dquery, mult, in_ptr, partial, gate, v, h, heads,
                                                width, first_edge, root});
      });
}

template <class T>
void aggregate_csr(const Exec& exec, const CrystalBatch<T>& b, const typename NodeLayer<T>::Saved& s, const Gate<T>& gate,
                   int heads, int width) {
  const auto key = s.key, message = s.message, query = s.query, agg = s.agg;
  const auto mult = b.mult;
  const auto in_ptr = b.in_ptr;
  const T root = T(1) / std::sqrt(static_cast<T>(width));
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::aggregate", Kokkos::TeamPolicy<Exec>(exec, b.num_nodes * heads, Kokkos::AUTO),
      KOKKOS_LAMBDA(const Team& team) {
        const int v = team.league_rank() / heads, h = team.league_rank() % heads;
        each_strip(team, width, Aggregate<T>{key, message, query, agg, mult, in_ptr, gate, v, h, width, root});
      });
}

/// mult msg gate of every edge, for the sum through ScatterView.
template <class T>
void gated_messages(const Exec& exec, const CrystalBatch<T>& b, const typename NodeLayer<T>::Saved& s, const Gate<T>& gate,
                    int heads, int width, View2<T> out) {
  const auto key = s.key, message = s.message, query = s.query;
  const auto mult = b.mult;
  const auto dst = b.dst;
  const T root = T(1) / std::sqrt(static_cast<T>(width));
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::gated_messages", Kokkos::TeamPolicy<Exec>(exec, b.num_edges * heads, Kokkos::AUTO),
      KOKKOS_LAMBDA(const Team& team) {
        const int e = team.league_rank() / heads, at = team.league_rank() % heads * width;
        each_channel(team, width, [&](const int c) {
          out(e, at + c) = mult(e) * message(e, at + c) * gate.value(query(dst(e), at + c) * key(e, at + c) * root, c);
        });
      });
}

/// Weight of a (node, head) row of partial moments: the node's edges with multiplicity.
View1<double> head_weights(const Exec& exec, Arena& arena, View1<double> node_mult, int heads) {
  const int rows = node_mult.extent_int(0) * heads;
  const auto weights = arena.array<double>(rows);
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::head_weights", Rows(exec, 0, rows), KOKKOS_LAMBDA(const int r) { weights(r) = node_mult(r / heads); });
  return weights;
}

template <class T>
Gate<T> gate_of(const typename BatchNorm<T>::Saved& norm) {
  return {norm.scale, norm.shift, norm.mean, norm.rstd, {}, {}};
}

template <class T>
void add_bias_sums(Step<T>& step, View2<double> partial, const KeyMessage<T>& update) {
  const int width = update.width;
  ArenaFrame frame(step.arena);
  const auto sums = step.arena.template array<double>(2 * static_cast<std::size_t>(width));
  sum_partials(step, partial, sums);
  const auto dkey = update.key.second.bias.grad1(), dmessage = update.message.second.bias.grad1();
  Kokkos::parallel_for(
      "gnn_hpc::NodeLayer::bias_sums", Rows(step.exec, 0, width), KOKKOS_LAMBDA(const int c) {
        dkey(c) += static_cast<T>(sums(c));
        dmessage(c) += static_cast<T>(sums(width + c));
      });
}

}  // namespace

template <class T>
NodeLayer<T>::NodeLayer(ParamStore<T>& store, const std::string& name, int c, int h)
    : lin_key(store, name + ".lin_key", c, h * c),
      lin_query(store, name + ".lin_query", c, h * c),
      lin_value(store, name + ".lin_value", c, h * c),
      lin_edge(store, name + ".lin_edge", c, h * c),
      lin_concate(store, name + ".lin_concate", h * c, c),
      update(store, name, c),
      bn(store, name + ".bn", c),
      bn_att(store, name + ".bn_att", c),
      width(c),
      heads(h) {}

template <class T>
void NodeLayer<T>::aggregate(Step<T>& step, const CrystalBatch<T>& b, Reduction reduction, const Saved& s) const {
  const Gate<T> gate = gate_of<T>(s.att_norm);
  if (reduction == Reduction::csr) {
    aggregate_csr(step.exec, b, s, gate, heads, width);
    return;
  }
  ArenaFrame frame(step.arena);
  const auto gated = step.arena.template matrix<T>(b.num_edges, static_cast<std::size_t>(heads) * width);
  gated_messages(step.exec, b, s, gate, heads, width, gated);
  SegmentSum<T>::forward(step.exec, reduction, b.edges_into_node(), gated, s.agg);
}

template <class T>
View2<T> NodeLayer<T>::forward(Step<T>& step, const CrystalBatch<T>& b, Reduction reduction, View2<T> x,
                               const EdgeFeatures<T>& edges, Saved& s) const {
  Arena& arena = step.arena;
  const std::size_t nodes = b.num_nodes, num_edges = b.num_edges, hc = static_cast<std::size_t>(heads) * width;
  s.x = x;
  s.edges = edges;
  s.query = arena.matrix<T>(nodes, hc);
  s.key_in = arena.matrix<T>(nodes, hc);
  s.value = arena.matrix<T>(nodes, hc);
  lin_query.forward(step, x, s.query);
  lin_key.forward(step, x, s.key_in);
  lin_value.forward(step, x, s.value);
  s.fold = update.fold(step, 2, lin_edge, lin_edge);
  s.pre = arena.matrix<T>(num_edges, 2 * hc);
  s.key = arena.matrix<T>(num_edges, hc);
  s.message = arena.matrix<T>(num_edges, hc);
  s.agg = arena.matrix<T>(nodes, hc);
  s.mixed = arena.matrix<T>(nodes, width);
  s.y = arena.matrix<T>(nodes, width);

  const auto att_partial = arena.matrix<double>(nodes * heads, 2 * static_cast<std::size_t>(width));
  {
    ArenaFrame frame(arena);
    const auto target_term = arena.matrix<T>(nodes, 2 * hc), source_term = arena.matrix<T>(nodes, 2 * hc);
    const auto by_head = [&](View2<T> m, int columns) { return reshape(m, m.size() / columns, columns); };
    update.apply_block(step, 0, by_head(s.key_in, width), by_head(s.value, width), by_head(target_term, 2 * width));
    update.apply_block(step, 1, by_head(s.key_in, width), by_head(s.value, width), by_head(source_term, 2 * width));
    const auto bias = update.first_bias(step, heads);
    update.add_folded_bias(step, 2, lin_edge, lin_edge, bias);
    RowOps<T>::add_bias(step.exec, target_term, View1<T>(bias.data(), 2 * hc));
    View2<T> table;
    if (edges.map) {
      table = arena.matrix<T>(edges.table.extent(0), 2 * hc);
      Matmul<T>::nt(step.exec, edges.table, s.fold, table);
    }
    const LaneRows<T> hidden_rows(arena, b.max_chunk_edges, 2 * hc);
    const bool training = step.training();
    for_each_chunk(step.exec, b.num_chunks(), [&](int lane, const ChunkExec& exec, int i) {
      const Chunk& chunk = b.chunks[static_cast<std::size_t>(i)];
      const auto rows = [&](View2<T> m) { return row_range(m, chunk.edge_begin, chunk.edge_end); };
      const auto hidden = hidden_rows(lane, chunk.num_edges());
      if (!edges.map) Matmul<T>::nt(exec, rows(edges.dense), s.fold, rows(s.pre));
      pre_activation(exec, b, chunk, s, target_term, source_term, table, hidden);
      update.second(exec, by_head(hidden, 2 * width), by_head(rows(s.key), width), by_head(rows(s.message), width));
      att_moments(exec, b, chunk, *this, s, att_partial, training);
    });
  }
  const auto weights = head_weights(step.exec, arena, b.node_mult, heads);
  s.att_norm = bn_att.statistics(step, att_partial, weights);
  aggregate(step, b, reduction, s);
  lin_concate.forward(step, s.agg, s.mixed);
  s.norm = bn.statistics_of(step, s.mixed, {});
  residual_softplus(step.exec, x, s.mixed, s.norm.scale, s.norm.shift, s.y);
  return s.y;
}

template <class T>
void NodeLayer<T>::backward(Step<T>& step, const CrystalBatch<T>& b, Reduction reduction, Saved& s, View2<T> dy, View2<T> dx,
                            View2<T> dedges, bool accumulate) const {
  Arena& arena = step.arena;
  ArenaFrame frame(arena);
  const std::size_t nodes = b.num_nodes, hc = static_cast<std::size_t>(heads) * width;
  const auto by_head = [&](View2<T> m, int columns) { return reshape(m, m.size() / columns, columns); };

  softplus_backward(step.exec, s.y, dy);
  Kokkos::deep_copy(step.exec, dx, dy);  // the residual
  bn.backward_of(step, s.mixed, {}, s.norm, dy, dy);
  const auto dagg = arena.matrix<T>(nodes, hc);
  Matmul<T>::tn(step.exec, dy, s.agg, lin_concate.weight.grad());
  Matmul<T>::nn(step.exec, dy, lin_concate.weight.value(), dagg);
  // Batch statistics take off any bias in front of them: its gradient is zero, and AdamW must not turn rounding noise into steps.
  if (!s.norm.batch_statistics) RowOps<T>::add_column_sums(step, dy, lin_concate.bias.grad1());

  Gate<T> gate = gate_of<T>(s.att_norm);
  const auto partial = arena.matrix<double>(nodes * heads, 2 * static_cast<std::size_t>(width));
  gate_gradient_sums(step.exec, b, s, dagg, gate, partial, heads, width);
  const auto k = bn_att.backward_sums(step, partial, s.att_norm);
  gate.from_beta = k.from_beta;
  gate.from_gamma = k.from_gamma;

  const auto dquery = arena.matrix<T>(nodes, hc);
  const auto dfold = arena.matrix<T>(s.fold.extent(0), s.fold.extent(1));
  Kokkos::deep_copy(step.exec, dfold, T(0));
  const auto dtarget = arena.matrix<T>(nodes, 2 * hc), dsource = arena.matrix<T>(nodes, 2 * hc);
  {
    ArenaFrame lane_frame(arena);
    const LaneRows<T> hidden_rows(arena, b.max_chunk_edges, 2 * hc), dhidden_rows(arena, b.max_chunk_edges, 2 * hc);
    const LaneRows<T> dkm_rows(arena, b.max_chunk_edges * heads, 2 * static_cast<std::size_t>(width));
    const LaneSums<T> dkey_weight(step, update.key.second.weight.grad()), dmessage_weight(step, update.message.second.weight.grad());
    const LaneSums<T> dfold_sum(step, dfold);
    for_each_chunk(step.exec, b.num_chunks(), [&](int lane, const ChunkExec& exec, int i) {
      const Chunk& chunk = b.chunks[static_cast<std::size_t>(i)];
      const auto rows = [&](View2<T> m) { return row_range(m, chunk.edge_begin, chunk.edge_end); };
      const auto hidden = hidden_rows(lane, chunk.num_edges()), dhidden = dhidden_rows(lane, chunk.num_edges());
      const auto dkm = dkm_rows(lane, chunk.num_edges() * heads);
      gate_backward(exec, b, chunk, s, dagg, gate, dkm, dquery, partial, heads, width);
      hidden_of(exec, rows(s.pre), hidden);
      update.second_backward(exec, by_head(hidden, 2 * width), dkm, by_head(dhidden, 2 * width), dkey_weight(lane),
                             dmessage_weight(lane));
      pre_gradient(exec, b, chunk, s.pre, dhidden, dtarget);  // s.pre now holds da
      if (!s.edges.map) {
        Matmul<T>::tn(exec, rows(s.pre), rows(s.edges.dense), dfold_sum(lane));
        Matmul<T>::nn(exec, rows(s.pre), s.fold, rows(dedges), accumulate ? T(1) : T(0));
      }
    });
    dkey_weight.finish(step);
    dmessage_weight.finish(step);
    dfold_sum.finish(step);
  }
  add_bias_sums(step, partial, update);
  if (s.edges.map) {
    ArenaFrame table_frame(arena);
    const auto dtable = arena.matrix<T>(s.edges.table.extent(0), 2 * hc);
    s.edges.map->backward(step, reduction, s.pre, dtable, false);
    Matmul<T>::tn(step.exec, dtable, s.edges.table, dfold);
    Matmul<T>::nn(step.exec, dtable, s.fold, dedges, accumulate ? T(1) : T(0));
  }

  if (reduction == Reduction::scatter) SegmentSum<T>::forward(step.exec, reduction, b.edges_into_node(), s.pre, dtarget);
  SegmentSum<T>::forward(step.exec, reduction, b.edges_out_of_node(), s.pre, dsource);
  const auto dbias = arena.matrix<T>(1, 2 * hc);
  Kokkos::deep_copy(step.exec, dbias, T(0));
  RowOps<T>::add_column_sums(step, dtarget, View1<T>(dbias.data(), 2 * hc));
  const auto dbias_by_head = reshape(dbias, heads, 2 * static_cast<std::size_t>(width));
  update.first_bias_backward(step, dbias_by_head);
  update.fold_backward(step, 2, lin_edge, lin_edge, dfold, dbias_by_head);

  const auto dkey_in = arena.matrix<T>(nodes, hc), dvalue = arena.matrix<T>(nodes, hc);
  const auto key_rows = by_head(s.key_in, width), value_rows = by_head(s.value, width);
  update.apply_block_backward(step, 0, key_rows, value_rows, by_head(dtarget, 2 * width), by_head(dkey_in, width),
                              by_head(dvalue, width), T(0));
  update.apply_block_backward(step, 1, key_rows, value_rows, by_head(dsource, 2 * width), by_head(dkey_in, width),
                              by_head(dvalue, width), T(1));
  lin_query.backward(step, s.x, dquery, dx, T(1));
  lin_key.backward(step, s.x, dkey_in, dx, T(1));
  lin_value.backward(step, s.x, dvalue, dx, T(1));
}

template struct NodeLayer<float>;
template struct NodeLayer<double>;

}  // namespace gnn_hpc::comformer
