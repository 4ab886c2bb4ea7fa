// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/edge_layer.hpp"

#include "models/comformer/edge_kernels.hpp"
#include "nn/chunks.hpp"
#include "nn/matmul.hpp"
#include "nn/rows.hpp"

namespace gnn_hpc::comformer {

using namespace edge_kernels;

template <class T>
EdgeLayer<T>::EdgeLayer(ParamStore<T>& store, const std::string& name, int c, int h) : width(c), heads(h) {
  const auto n = static_cast<std::size_t>(c);
  store.add(name + ".lemb.weight", {3, 32}, Init::normal(1.0), false);
  lin_key = Linear<T>(store, name + ".lin_key", c, h * c);
  lin_query = Linear<T>(store, name + ".lin_query", c, h * c);
  lin_value = Linear<T>(store, name + ".lin_value", c, h * c);
  for (int s = 0; s < kSlots; ++s) {
    lin_key_e[s] = Linear<T>(store, name + ".lin_key_e" + std::to_string(s + 1), c, h * c);
    lin_value_e[s] = Linear<T>(store, name + ".lin_value_e" + std::to_string(s + 1), c, h * c);
  }
  lin_edge = Linear<T>(store, name + ".lin_edge", c, h * c, false);
  Linear<T>(store, name + ".lin_edge_len", static_cast<int>(n) + 32, c, true, false);
  lin_concate = Linear<T>(store, name + ".lin_concate", h * c, c);
  update = KeyMessage<T>(store, name, c);
  bn_att = BatchNorm<T>(store, name + ".bn_att", c);
  bn = BatchNorm<T>(store, name + ".bn", c);
}

template <class T>
View2<T> EdgeLayer<T>::forward(Step<T>& step, const CrystalBatch<T>& b, View2<T> table, View2<T> lengths, View2<T> angles, Saved& s) const {
  Arena& arena = step.arena;
  const std::size_t edges = b.num_edges, graphs = b.num_graphs, c = width, hc = static_cast<std::size_t>(heads) * width;
  const auto by_head = [&](View2<T> m, std::size_t columns) { return reshape(m, m.size() / columns, columns); };
  s.table = table;
  s.lengths = lengths;
  s.angles = angles;
  s.distance_fold = update.fold(step, 0, lin_key, lin_value);
  s.cosine_fold = update.fold(step, 2, lin_edge, lin_edge);
  s.length_key = arena.matrix<T>(kSlots * graphs, hc);
  s.length_value = arena.matrix<T>(kSlots * graphs, hc);
  s.query = arena.matrix<T>(edges, hc);
  s.pre = arena.matrix<T>(edges, kSlots * 2 * hc);
  s.key = arena.matrix<T>(edges, kSlots * hc);
  s.message = arena.matrix<T>(edges, kSlots * hc);
  s.out = arena.matrix<T>(edges, c);
  s.y = arena.matrix<T>(edges, c);
  const auto partial = arena.matrix<double>(b.num_nodes, 2 * c);
  {
    ArenaFrame frame(arena);
    const auto query_table = arena.matrix<T>(table.extent(0), hc);
    lin_query.forward(step, table, query_table);
    mapped_rows(step.exec, b.distance, query_table, s.query);

    // Terms of a crystal's lattice vectors, [G, 3 H 2C], with every bias of the first Linears.
    const auto lattice_term = arena.matrix<T>(graphs, kSlots * 2 * hc);
    const auto bias = update.first_bias(step, heads);
    update.add_folded_bias(step, 0, lin_key, lin_value, bias);
    for (int i = 0; i < kSlots; ++i) {
      const auto rows = [&](View2<T> m) { return row_range(m, i * b.num_graphs, (i + 1) * b.num_graphs); };
      lin_key_e[i].forward(step, slot_rows(lengths, i), rows(s.length_key));
      lin_value_e[i].forward(step, slot_rows(lengths, i), rows(s.length_value));
      ArenaFrame slot_frame(arena);
      const auto term = arena.matrix<T>(graphs, 2 * hc);
      update.apply_block(step, 1, by_head(rows(s.length_key), c), by_head(rows(s.length_value), c), by_head(term, 2 * c));
      RowOps<T>::add_bias(step.exec, term, View1<T>(bias.data(), 2 * hc));
      const int begin = i * static_cast<int>(2 * hc);
      Kokkos::deep_copy(step.exec, column_range(lattice_term, begin, begin + static_cast<int>(2 * hc)), term);
    }
    const auto distance_table = arena.matrix<T>(table.extent(0), 2 * hc), cosine_table = arena.matrix<T>(angles.extent(0), 2 * hc);
    Matmul<T>::nt(step.exec, table, s.distance_fold, distance_table);
    Matmul<T>::nt(step.exec, angles, s.cosine_fold, cosine_table);
    const auto in = gate_input<T>(b, s, heads, width);
    const LaneRows<T> hidden_rows(arena, b.max_chunk_edges, kSlots * 2 * hc);
    const bool training = step.training();
    for_each_chunk(step.exec, b.num_chunks(), [&](int lane, const ChunkExec& exec, int i) {
      const Chunk& chunk = b.chunks[static_cast<std::size_t>(i)];
      const auto rows = [&](View2<T> m) { return by_head(row_range(m, chunk.edge_begin, chunk.edge_end), c); };
      const auto hidden = hidden_rows(lane, chunk.num_edges());
      pre_activation(exec, b, chunk, s.pre, hidden, distance_table, cosine_table, lattice_term);
      update.second(exec, by_head(hidden, 2 * c), rows(s.key), rows(s.message));
      att_moments(exec, chunk, in, update, partial, training);
    });
  }
  s.att_norm = bn_att.statistics(step, partial, slot_weights(step.exec, arena, b.node_mult, kSlots * heads));
  const auto in = gate_input<T>(b, s, heads, width);
  const auto gate = gate_of<T>(s.att_norm);
  {
    ArenaFrame frame(arena);
    const LaneRows<T> sum_rows(arena, b.max_chunk_edges, hc);
    for_each_chunk(step.exec, b.num_chunks(), [&](int lane, const ChunkExec& exec, int i) {
      const Chunk& chunk = b.chunks[static_cast<std::size_t>(i)];
      const auto sum = sum_rows(lane, chunk.num_edges());
      slot_sum(exec, chunk, in, gate, sum);
      Matmul<T>::nt(exec, sum, lin_concate.weight.value(), row_range(s.out, chunk.edge_begin, chunk.edge_end));
    });
  }
  add_slot_biases(step.exec, lin_concate.bias.value1(), s.out);
  s.norm = bn.statistics_of(step, s.out, b.mult);
  output(step.exec, b, table, s);
  return s.y;
}

template <class T>
void EdgeLayer<T>::backward(Step<T>& step, const CrystalBatch<T>& b, Reduction reduction, Saved& s, View2<T> dy, View2<T> dtable, View2<T> dlengths,
                            View2<T> dangles) const {
  Arena& arena = step.arena;
  ArenaFrame frame(arena);
  const std::size_t edges = b.num_edges, graphs = b.num_graphs, c = width, hc = static_cast<std::size_t>(heads) * width;
  const auto by_head = [&](View2<T> m, std::size_t columns) { return reshape(m, m.size() / columns, columns); };

  RowOps<T>::softplus_backward(step.exec, s.y, dy);
  b.distance.backward(step, reduction, dy, dtable, true);  // the residual
  bn.backward_of(step, s.out, b.mult, s.norm, dy, dy);
  if (!s.norm.batch_statistics) {  // else zero, as in the node layer
    ArenaFrame bias_frame(arena);
    const auto sums = arena.array<double>(c);
    RowOps<T>::column_sums(step, dy, sums);
    add_scaled(step.exec, sums, T(kSlots), lin_concate.bias.grad1());
  }

  const auto in = gate_input<T>(b, s, heads, width);
  auto gate = gate_of<T>(s.att_norm);
  const auto dsum = arena.matrix<T>(edges, hc), dquery = arena.matrix<T>(edges, hc), dpre_sum = arena.matrix<T>(edges, 2 * hc);
  const auto partial = arena.matrix<double>(b.num_nodes, 2 * c);
  {
    ArenaFrame lane_frame(arena);
    const LaneRows<T> sum_rows(arena, b.max_chunk_edges, hc);
    const LaneSums<T> dconcate(step, lin_concate.weight.grad());
    for_each_chunk(step.exec, b.num_chunks(), [&](int lane, const ChunkExec& exec, int i) {
      const Chunk& chunk = b.chunks[static_cast<std::size_t>(i)];
      const auto dout = row_range(dy, chunk.edge_begin, chunk.edge_end);
      const auto sum = sum_rows(lane, chunk.num_edges());
      slot_sum(exec, chunk, in, gate, sum);
      Matmul<T>::tn(exec, dout, sum, dconcate(lane));
      Matmul<T>::nn(exec, dout, lin_concate.weight.value(), row_range(dsum, chunk.edge_begin, chunk.edge_end));
      gate_gradient_sums(exec, chunk, in, gate, dsum, partial);
    });
    dconcate.finish(step);
  }
  const auto k = bn_att.backward_sums(step, partial, s.att_norm);
  gate.from_beta = k.from_beta;
  gate.from_gamma = k.from_gamma;
  const auto node_sum = arena.matrix<T>(b.num_nodes, kSlots * 2 * hc);
  {
    ArenaFrame lane_frame(arena);
    const LaneRows<T> hidden_rows(arena, b.max_chunk_edges, kSlots * 2 * hc), dhidden_rows(arena, b.max_chunk_edges, kSlots * 2 * hc);
    const LaneRows<T> dkm_rows(arena, b.max_chunk_edges * kSlots * heads, 2 * c);
    const LaneSums<T> dkey_weight(step, update.key.second.weight.grad()), dmessage_weight(step, update.message.second.weight.grad());
    for_each_chunk(step.exec, b.num_chunks(), [&](int lane, const ChunkExec& exec, int i) {
      const Chunk& chunk = b.chunks[static_cast<std::size_t>(i)];
      const int n = chunk.num_edges();
      const auto hidden = hidden_rows(lane, n), dhidden = dhidden_rows(lane, n), dkm = dkm_rows(lane, n * kSlots * heads);
      gate_backward(exec, chunk, in, gate, dsum, dkm, dquery, partial);
      hidden_of(exec, row_range(s.pre, chunk.edge_begin, chunk.edge_end), hidden);
      update.second_backward(exec, by_head(hidden, 2 * c), dkm, by_head(dhidden, 2 * c), dkey_weight(lane), dmessage_weight(lane));
      pre_gradient(exec, b, chunk, s.pre, dhidden, dpre_sum, node_sum);  // s.pre now holds da
    });
    dkey_weight.finish(step);
    dmessage_weight.finish(step);
  }
  add_bias_sums(step, partial, update);

  // Cosine branch: rows of the cosine table.
  const auto dfold = arena.matrix<T>(2 * hc, c);
  {
    ArenaFrame branch(arena);
    const auto dcosine = arena.matrix<T>(s.angles.extent(0), 2 * hc);
    b.cosine.backward(step, reduction, reshape(s.pre, kSlots * edges, 2 * hc), dcosine, false);
    Matmul<T>::tn(step.exec, dcosine, s.angles, dfold, T(0));
    Matmul<T>::nn(step.exec, dcosine, s.cosine_fold, dangles);
    update.fold_backward(step, 2, lin_edge, lin_edge, dfold, {});
  }
  // Lattice branch: crystals.
  const auto dlattice = arena.matrix<T>(graphs, kSlots * 2 * hc);
  SegmentSum<T>::forward(step.exec, reduction, b.nodes_of_graph(), node_sum, dlattice);
  const auto dbias = arena.matrix<T>(1, 2 * hc);
  Kokkos::deep_copy(step.exec, dbias, T(0));
  for (int i = 0; i < kSlots; ++i) {
    ArenaFrame slot_frame(arena);
    const auto rows = [&](View2<T> m) { return row_range(m, i * b.num_graphs, (i + 1) * b.num_graphs); };
    const auto dterm = arena.matrix<T>(graphs, 2 * hc);
    const int begin = i * static_cast<int>(2 * hc);
    Kokkos::deep_copy(step.exec, dterm, column_range(dlattice, begin, begin + static_cast<int>(2 * hc)));
    RowOps<T>::add_column_sums(step, dterm, View1<T>(dbias.data(), 2 * hc));
    const auto dkey = arena.matrix<T>(graphs, hc), dvalue = arena.matrix<T>(graphs, hc);
    update.apply_block_backward(step, 1, by_head(rows(s.length_key), c), by_head(rows(s.length_value), c), by_head(dterm, 2 * c), by_head(dkey, c),
                                by_head(dvalue, c), T(0));
    lin_key_e[i].backward(step, slot_rows(s.lengths, i), dkey, slot_rows(dlengths, i));
    lin_value_e[i].backward(step, slot_rows(s.lengths, i), dvalue, slot_rows(dlengths, i), T(1));
  }
  const auto dbias_by_head = reshape(dbias, heads, 2 * c);
  update.first_bias_backward(step, dbias_by_head);
  // Distance branch: rows of the distance table.
  {
    ArenaFrame branch(arena);
    const auto dquery_table = arena.matrix<T>(s.table.extent(0), hc), ddistance = arena.matrix<T>(s.table.extent(0), 2 * hc);
    b.distance.backward(step, reduction, dquery, dquery_table, false);
    lin_query.backward(step, s.table, dquery_table, dtable, T(1));
    b.distance.backward(step, reduction, dpre_sum, ddistance, false);
    Matmul<T>::tn(step.exec, ddistance, s.table, dfold, T(0));
    Matmul<T>::nn(step.exec, ddistance, s.distance_fold, dtable, T(1));
    update.fold_backward(step, 0, lin_key, lin_value, dfold, dbias_by_head);
  }
}

template struct EdgeLayer<float>;
template struct EdgeLayer<double>;

}  // namespace gnn_hpc::comformer
