// SPDX-License-Identifier: Apache-2.0
#include "nn/gvp_encoder.hpp"

#include "graph/residue_graph.hpp"
#include "nn/lane_work.hpp"
#include "nn/matmul.hpp"

namespace gnn_hpc {

namespace {

constexpr int kEdgeScalars = kDistanceGaussians + kPositionWaves, kEdgeVectors = 1;
constexpr int kTypes = 20, kTypeWidth = 20;

std::size_t size(int n) { return static_cast<std::size_t>(n); }

int node_inputs(const GvpEncoderOptions& o) { return kResidueScalars + (o.seq_in ? kTypeWidth : 0); }

/// s = [node_s ; row of the table for the residue's type]; an empty table: node_s alone.
template <class T>
void node_scalars(const Exec& exec, View2<T> node_s, View1<int> code, View2<T> table, View2<T> s) {
  const int given = node_s.extent_int(1), width = s.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::GvpEncoder::node_scalars", Kokkos::TeamPolicy<Exec>(exec, s.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int n = team.league_rank();
        each_channel(team, given, [&](const int c) { s(n, c) = node_s(n, c); });
        each_channel(team, width - given, [&](const int c) { s(n, given + c) = table(code(n), c); });
      });
}

}  // namespace

template <class T>
GvpEncoder<T>::GvpEncoder(ParamStore<T>& store, const GvpEncoderOptions& o, const GvpEncoderNames& names) : options_(o) {
  const int ns = o.node_scalars, nv = o.node_vectors;
  if (o.seq_in) residue_type_ = Embedding<T>(store, names.residue_type, kTypes, kTypeWidth, 1.0);
  node_ = Read(store, names.nodes, {node_inputs(o), kResidueVectors, ns, nv, false, false});
  edge_ = Read(store, names.edges, {kEdgeScalars, kEdgeVectors, o.edge_scalars, o.edge_vectors, false, false});
  for (int l = 0; l < o.num_layers; ++l) {
    layers_.emplace_back(store, names.layers + "." + std::to_string(l), ns, nv, o.edge_scalars, o.edge_vectors, o.vector_gate);
  }
  out_ = Read(store, names.read_out, {ns, nv, ns, 0, true, false});
}

template <class T>
typename GvpEncoder<T>::ReadSaved GvpEncoder<T>::allocate(Step<T>& step, const Read& layer, std::size_t rows) const {
  const GvpShape& o = layer.gvp.shape;
  ReadSaved s;
  s.norm = GvpNorm<T>::Saved::allocate(step.arena, rows, o.si, o.vi);
  s.out = GvpState<T>::allocate(step.arena, rows, o.so, o.vo);
  s.gvp = layer.gvp.allocate(step.arena, rows, s.out.v);
  s.gvp.v = step.arena.template matrix<T>(3 * rows, size(o.vi));
  s.gvp.s = s.out.s;
  return s;
}

template <class T>
void GvpEncoder<T>::read(Step<T>& step, const Read& layer, const ReadSaved& s, int rows) const {
  for_each_row_chunk(step.exec, rows, [&](int, const ChunkExec& exec, int begin, int end) {
    const ReadSaved part = s.rows(begin, end);
    layer.norm.forward(exec, part.norm, {column_range(part.gvp.joined, 0, layer.gvp.shape.si), part.gvp.v});
    layer.gvp.forward(exec, part.gvp, row_range(s.out.v, 3 * begin, 3 * end));
  });
}

template <class T>
void GvpEncoder<T>::read_backward(Step<T>& step, const Read& layer, const ReadSaved& s, const GvpState<T>& dout, const GvpState<T>& din) const {
  ArenaFrame frame(step.arena);
  const GvpShape& o = layer.gvp.shape;
  const RowChunks chunks(dout.s.extent_int(0));
  const typename GvpNorm<T>::Gradients norm_sums(step.arena, layer.norm, chunks.count);
  const typename Gvp<T>::Gradients sums(step, layer.gvp, chunks.count);
  const typename Gvp<T>::Scratch scratch(step.arena, layer.gvp, chunks.longest());
  const LaneRows<T> djoined_rows(step.arena, chunks.longest(), size(o.joined())), dv_rows(step.arena, 3 * chunks.longest(), size(o.vi));
  for_each_chunk(step.exec, chunks.count, [&](int lane, const ChunkExec& exec, int i) {
    const int begin = chunks.begin(i), end = chunks.end(i);
    const ReadSaved part = s.rows(begin, end);
    const View2<T> djoined = djoined_rows(lane, end - begin), dv = dv_rows(lane, 3 * (end - begin));
    const GvpState<T> dy = dout.rows(begin, end);
    layer.gvp.backward(exec, lane, i, part.gvp, dy.s, dy.v, djoined, dv, sums, scratch);
    layer.norm.backward(exec, i, part.norm, {column_range(djoined, 0, o.si), dv}, din.rows(begin, end), norm_sums);
  });
  sums.finish(step);
  layer.norm.finish(step, norm_sums);
}

template <class T>
void GvpEncoder<T>::embed_nodes(Step<T>& step, const ResidueInput<T>& graph) {
  ReadSaved& s = saved_.node = allocate(step, node_, size(graph.num_nodes));
  node_scalars(step.exec, graph.node_s, graph.code, options_.seq_in ? residue_type_.weight.value() : View2<T>(), s.norm.hat);
  Kokkos::deep_copy(step.exec, s.norm.v, graph.node_v);
  read(step, node_, s, graph.num_nodes);
}

template <class T>
void GvpEncoder<T>::embed_edges(Step<T>& step, const ResidueInput<T>& graph) {
  const std::size_t edges = size(graph.num_edges);
  Saved& s = saved_;
  s.edge_norm = GvpNorm<T>::Saved::allocate(step.arena, edges, kEdgeScalars, kEdgeVectors);
  s.edge_input.v = step.arena.template matrix<T>(3 * edges, kEdgeVectors);
  s.edges = GvpState<T>::allocate(step.arena, edges, options_.edge_scalars, options_.edge_vectors);
  ArenaFrame frame(step.arena);
  const GvpShape& o = edge_.gvp.shape;
  const int longest = RowChunks(graph.num_edges).longest();
  const LaneRows<T> joined(step.arena, longest, size(o.joined())), hidden(step.arena, 3 * longest, size(o.hidden()));
  for_each_row_chunk(step.exec, graph.num_edges, [&](int lane, const ChunkExec& exec, int begin, int end) {
    const int n = end - begin;
    const typename GvpNorm<T>::Saved norm = s.edge_norm.rows(begin, end);
    graph.edge_features(exec, begin, end, norm.hat, norm.v);
    const GvpState<T> out = s.edges.rows(begin, end);
    typename Gvp<T>::Saved gvp;
    gvp.joined = joined(lane, n);
    gvp.v = row_range(s.edge_input.v, 3 * begin, 3 * end);
    gvp.hidden = hidden(lane, 3 * n);
    gvp.u = out.v;
    gvp.s = out.s;
    edge_.norm.forward(exec, norm, {column_range(gvp.joined, 0, o.si), gvp.v});
    edge_.gvp.forward(exec, gvp, out.v);
  });
}

template <class T>
void GvpEncoder<T>::embed_edges_backward(Step<T>& step, const ResidueInput<T>& graph, const GvpState<T>& dedges) {
  ArenaFrame frame(step.arena);
  const Saved& s = saved_;
  const GvpShape& o = edge_.gvp.shape;
  const RowChunks chunks(graph.num_edges);
  const int longest = chunks.longest();
  const typename GvpNorm<T>::Gradients norm_sums(step.arena, edge_.norm, chunks.count);
  const typename Gvp<T>::Gradients sums(step, edge_.gvp, chunks.count);
  const typename Gvp<T>::Scratch scratch(step.arena, edge_.gvp, longest);
  const LaneRows<T> joined(step.arena, longest, size(o.joined())), hidden(step.arena, 3 * longest, size(o.hidden()));
  const LaneRows<T> djoined_rows(step.arena, longest, size(o.joined())), dv_rows(step.arena, 3 * longest, size(o.vi));
  const LaneRows<T> dinput(step.arena, longest, size(o.si));
  for_each_chunk(step.exec, chunks.count, [&](int lane, const ChunkExec& exec, int i) {
    const int begin = chunks.begin(i), end = chunks.end(i), n = end - begin;
    const typename GvpNorm<T>::Saved norm = s.edge_norm.rows(begin, end);
    typename Gvp<T>::Saved gvp;
    gvp.joined = joined(lane, n);
    gvp.v = row_range(s.edge_input.v, 3 * begin, 3 * end);
    gvp.hidden = hidden(lane, 3 * n);
    gvp.s = row_range(s.edges.s, begin, end);
    edge_.norm.scalar.affine(exec, norm.hat, column_range(gvp.joined, 0, o.si));  // made again: 132 bytes an edge
    Matmul<T>::nt(exec, gvp.v, edge_.gvp.wh.value(), gvp.hidden);
    vector_norms(exec, gvp.hidden, gvp.joined, o.si);
    const View2<T> djoined = djoined_rows(lane, n), dv = dv_rows(lane, 3 * n);
    const GvpState<T> dy = dedges.rows(begin, end);
    edge_.gvp.backward(exec, lane, i, gvp, dy.s, dy.v, djoined, dv, sums, scratch);
    edge_.norm.backward_parameters(exec, i, norm, column_range(djoined, 0, o.si), dinput(lane, n), norm_sums);
  });
  sums.finish(step);
  edge_.norm.finish(step, norm_sums);
}

template <class T>
View2<T> GvpEncoder<T>::forward(Step<T>& step, const ResidueInput<T>& graph, const RowDropout<T>& dropout) {
  Saved& s = saved_;
  embed_nodes(step, graph);
  embed_edges(step, graph);
  end_part(clock_, step.exec, "encoding");
  s.layers.resize(layers_.size());
  GvpState<T> x = s.node.out;
  for (std::size_t l = 0; l < layers_.size(); ++l) x = layers_[l].forward(step, graph, dropout, x, s.edges, s.layers[l]);
  end_part(clock_, step.exec, "GVP layers");
  s.read_out = allocate(step, out_, size(graph.num_nodes));
  Kokkos::deep_copy(step.exec, s.read_out.norm.hat, x.s);
  Kokkos::deep_copy(step.exec, s.read_out.norm.v, x.v);
  read(step, out_, s.read_out, graph.num_nodes);
  end_part(clock_, step.exec, "output projection");
  return s.read_out.out.s;
}

template <class T>
void GvpEncoder<T>::backward(Step<T>& step, const ResidueInput<T>& graph, View2<T> dout) {
  ArenaFrame frame(step.arena);
  const std::size_t nodes = size(graph.num_nodes), edges = size(graph.num_edges);
  const Saved& s = saved_;
  const auto dx = GvpState<T>::allocate(step.arena, nodes, options_.node_scalars, options_.node_vectors);
  read_backward(step, out_, s.read_out, {dout, step.arena.template matrix<T>(3 * nodes, 0)}, dx);
  const auto dedges = GvpState<T>::allocate(step.arena, edges, options_.edge_scalars, options_.edge_vectors);
  Kokkos::deep_copy(step.exec, dedges.s, T(0));
  Kokkos::deep_copy(step.exec, dedges.v, T(0));
  for (std::size_t l = layers_.size(); l-- > 0;) layers_[l].backward(step, graph, s.layers[l], dx, dedges);
  embed_edges_backward(step, graph, dedges);
  const auto dinput = GvpState<T>::allocate(step.arena, nodes, node_inputs(options_), kResidueVectors);
  read_backward(step, node_, s.node, dx, dinput);
  if (!options_.seq_in) return;
  residue_type_.backward(step, graph.type_id, graph.type_ptr, graph.type_node, column_range(dinput.s, kResidueScalars, node_inputs(options_)));
}

template class GvpEncoder<float>;
template class GvpEncoder<double>;

}  // namespace gnn_hpc
