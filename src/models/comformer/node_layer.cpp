// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/node_layer.hpp"

#include "models/comformer/node_kernels.hpp"
#include "nn/chunks.hpp"
#include "nn/matmul.hpp"
#include "nn/rows.hpp"

namespace gnn_hpc::comformer {

using namespace node_kernels;

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
View2<T> NodeLayer<T>::forward(Step<T>& step, const CrystalBatch<T>& b, Reduction reduction, View2<T> x, const EdgeFeatures<T>& edges,
                               Saved& s) const {
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
void NodeLayer<T>::backward(Step<T>& step, const CrystalBatch<T>& b, Reduction reduction, Saved& s, View2<T> dy, View2<T> dx, View2<T> dedges,
                            bool accumulate) const {
  Arena& arena = step.arena;
  ArenaFrame frame(arena);
  const std::size_t nodes = b.num_nodes, hc = static_cast<std::size_t>(heads) * width;
  const auto by_head = [&](View2<T> m, int columns) { return reshape(m, m.size() / columns, columns); };

  RowOps<T>::softplus_backward(step.exec, s.y, dy);
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
      update.second_backward(exec, by_head(hidden, 2 * width), dkm, by_head(dhidden, 2 * width), dkey_weight(lane), dmessage_weight(lane));
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
  update.apply_block_backward(step, 0, key_rows, value_rows, by_head(dtarget, 2 * width), by_head(dkey_in, width), by_head(dvalue, width), T(0));
  update.apply_block_backward(step, 1, key_rows, value_rows, by_head(dsource, 2 * width), by_head(dkey_in, width), by_head(dvalue, width), T(1));
  lin_query.backward(step, s.x, dquery, dx, T(1));
  lin_key.backward(step, s.x, dkey_in, dx, T(1));
  lin_value.backward(step, s.x, dvalue, dx, T(1));
}

template struct NodeLayer<float>;
template struct NodeLayer<double>;

}  // namespace gnn_hpc::comformer
