// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/model.hpp"

#include "nn/activation.hpp"
#include "nn/channels.hpp"

namespace gnn_hpc::comformer {

namespace {

template <class T>
void gather_rows(const Exec& exec, View2<T> table, View1<int> row, View2<T> out) {
  const int width = table.extent_int(1), last = table.extent_int(0) - 1;
  Kokkos::parallel_for(
      "gnn_hpc::Model::atom_features", Kokkos::TeamPolicy<Exec>(exec, out.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int n = team.league_rank();
        const int r = row(n) < last ? row(n) : last;  // elements beyond the table share its last row
        each_channel(team, width, [&](const int c) { out(n, c) = table(r, c); });
      });
}

template <class T>
void silu_rows(const Exec& exec, View2<T> x, View2<T> y) {
  Kokkos::parallel_for(
      "gnn_hpc::Model::silu", RowMajor2(exec, {0, 0}, {x.extent_int(0), x.extent_int(1)}),
      KOKKOS_LAMBDA(const int g, const int c) { y(g, c) = silu(x(g, c)); });
}

template <class T>
void silu_rows_backward(const Exec& exec, View2<T> x, View2<T> dy) {
  Kokkos::parallel_for(
      "gnn_hpc::Model::silu_backward", RowMajor2(exec, {0, 0}, {x.extent_int(0), x.extent_int(1)}),
      KOKKOS_LAMBDA(const int g, const int c) { dy(g, c) *= silu_derivative(x(g, c)); });
}

}  // namespace

template <class T>
Model<T>::Model(ParamStore<T>& store, const ModelOptions& o, const std::vector<double>& element_table)
    : options_(o),
      atom_embedding_(store, "atom_embedding", o.atom_input_features, o.node_features),
      rbf_(store, "rbf", -4.0, 0.0, o.edge_features, o.node_features) {
  const auto columns = static_cast<std::size_t>(o.atom_input_features);
  GNN_HPC_REQUIRE(columns > 0 && element_table.size() % columns == 0, "element table of {} numbers, {} a row", element_table.size(), columns);
  element_table_ = View2<T>("gnn_hpc::Model::element_table", element_table.size() / columns, columns);
  const auto host = Kokkos::create_mirror_view(element_table_);
  for (std::size_t i = 0; i < element_table.size(); ++i) host.data()[i] = static_cast<T>(element_table[i]);
  Kokkos::deep_copy(element_table_, host);
  if (!equivariant()) rbf_angle_ = RadialBasis<T>(store, "rbf_angle", -1.0, 1.0, o.triplet_input_features, o.node_features);
  for (int l = 0; l < o.num_layers(); ++l) {
    att_layers_[l] = NodeLayer<T>(store, "att_layers." + std::to_string(l), o.node_features, o.node_layer_head);
  }
  if (equivariant())
    equi_update_ = EquiLayer<T>(store, "equi_update", o.node_features);
  else
    edge_update_layer_ = EdgeLayer<T>(store, "edge_update_layer", o.node_features, o.node_layer_head);
  fc_ = Linear<T>(store, "fc.0", o.node_features, o.fc_features);
  fc_out_ = Linear<T>(store, "fc_out", o.fc_features, o.output_features);
}

template <class T>
View2<T> Model<T>::forward_invariant(Step<T>& step, const CrystalBatch<T>& b) {
  Saved& s = saved_;
  const auto table = row_range(s.distance.y, 0, b.distance.num_rows);
  const auto lengths = row_range(s.distance.y, b.distance.num_rows, s.distance.y.extent_int(0));
  s.angle = rbf_angle_.forward(step, b.cosine_argument);
  const EdgeFeatures<T> first{{}, table, &b.distance};
  View2<T> x = att_layers_[0].forward(step, b, options_.reduction, s.x_embed, first, s.nodes[0]);
  const auto e = edge_update_layer_.forward(step, b, table, lengths, s.angle.y, s.edge);
  const EdgeFeatures<T> updated{e, {}, nullptr};
  for (int l = 1; l < options_.num_layers(); ++l) x = att_layers_[l].forward(step, b, options_.reduction, x, updated, s.nodes[l]);
  return x;
}

template <class T>
View2<T> Model<T>::forward_equivariant(Step<T>& step, const CrystalBatch<T>& b) {
  GNN_HPC_REQUIRE(b.edge_vec.extent_int(0) == b.num_edges, "a batch of {} edges with {} directions", b.num_edges, b.edge_vec.extent(0));
  Saved& s = saved_;
  const auto table = row_range(s.distance.y, 0, b.distance.num_rows);
  const EdgeFeatures<T> edges{{}, table, &b.distance};
  View2<T> x = att_layers_[0].forward(step, b, options_.reduction, s.x_embed, edges, s.nodes[0]);
  x = equi_update_.forward(step, b, x, table, s.equi);
  for (int l = 1; l < options_.num_layers(); ++l) x = att_layers_[l].forward(step, b, options_.reduction, x, edges, s.nodes[l]);
  return x;
}

template <class T>
View2<T> Model<T>::forward(Step<T>& step, const CrystalBatch<T>& b) {
  Arena& arena = step.arena;
  const std::size_t c = options_.node_features;
  Saved& s = saved_;
  s.features = arena.matrix<T>(b.num_nodes, options_.atom_input_features);
  s.x_embed = arena.matrix<T>(b.num_nodes, c);
  gather_rows(step.exec, element_table_, b.atom_row, s.features);
  atom_embedding_.forward(step, s.features, s.x_embed);

  // Rows of the distance table, then the lattice vectors of every crystal: the same expansion serves both.
  s.distance = rbf_.forward(step, b.length_argument);
  const View2<T> x = equivariant() ? forward_equivariant(step, b) : forward_invariant(step, b);

  s.pooled = arena.matrix<T>(b.num_graphs, c);
  s.hidden = arena.matrix<T>(b.num_graphs, options_.fc_features);
  s.activated = arena.matrix<T>(b.num_graphs, options_.fc_features);
  s.out = arena.matrix<T>(b.num_graphs, options_.output_features);
  SegmentMean<T>::forward(step.exec, b.graph_ptr, x, s.pooled);
  fc_.forward(step, s.pooled, s.hidden);
  silu_rows(step.exec, s.hidden, s.activated);
  fc_out_.forward(step, s.activated, s.out);
  return s.out;
}

template <class T>
void Model<T>::backward_invariant(Step<T>& step, const CrystalBatch<T>& b, View2<T> dx, View2<T> dx_below, View2<T> dlength_rows) {
  Arena& arena = step.arena;
  const std::size_t c = options_.node_features;
  Saved& s = saved_;
  const View2<T> of_embedding = dx_below;
  const auto de = arena.matrix<T>(b.num_edges, c);
  const int last = options_.num_layers() - 1;
  for (int l = last; l >= 1; --l) {
    att_layers_[l].backward(step, b, options_.reduction, s.nodes[l], dx, dx_below, de, l < last);
    std::swap(dx, dx_below);
  }
  const auto dtable = row_range(dlength_rows, 0, b.distance.num_rows);
  const auto dlengths = row_range(dlength_rows, b.distance.num_rows, s.distance.y.extent_int(0));
  const auto dangles = arena.matrix<T>(s.angle.y.extent(0), c);
  Kokkos::deep_copy(step.exec, dtable, T(0));
  edge_update_layer_.backward(step, b, options_.reduction, s.edge, de, dtable, dlengths, dangles);
  att_layers_[0].backward(step, b, options_.reduction, s.nodes[0], dx, dx_below, dtable, true);
  rbf_angle_.backward(step, s.angle, dangles);
  if (dx_below.data() != of_embedding.data()) Kokkos::deep_copy(step.exec, of_embedding, dx_below);
}

template <class T>
void Model<T>::backward_equivariant(Step<T>& step, const CrystalBatch<T>& b, View2<T> dx, View2<T> dx_below, View2<T> dlength_rows) {
  Saved& s = saved_;
  const View2<T> of_embedding = dx_below;
  Kokkos::deep_copy(step.exec, dlength_rows, T(0));  // no lattice vector is asked for its length
  const auto dtable = row_range(dlength_rows, 0, b.distance.num_rows);
  for (int l = options_.num_layers() - 1; l >= 1; --l) {
    att_layers_[l].backward(step, b, options_.reduction, s.nodes[l], dx, dx_below, dtable, true);
    std::swap(dx, dx_below);
  }
  equi_update_.backward(step, b, options_.reduction, s.equi, dx, dx_below, dtable);
  std::swap(dx, dx_below);
  att_layers_[0].backward(step, b, options_.reduction, s.nodes[0], dx, dx_below, dtable, true);
  if (dx_below.data() != of_embedding.data()) Kokkos::deep_copy(step.exec, of_embedding, dx_below);
}

template <class T>
void Model<T>::backward(Step<T>& step, const CrystalBatch<T>& b, View2<T> dprediction) {
  Arena& arena = step.arena;
  ArenaFrame frame(arena);
  const std::size_t c = options_.node_features;
  Saved& s = saved_;
  const auto dactivated = arena.matrix<T>(b.num_graphs, options_.fc_features), dpooled = arena.matrix<T>(b.num_graphs, c);
  fc_out_.backward(step, s.activated, dprediction, dactivated);
  silu_rows_backward(step.exec, s.hidden, dactivated);
  fc_.backward(step, s.pooled, dactivated, dpooled);
  const View2<T> dx = arena.matrix<T>(b.num_nodes, c), dx_below = arena.matrix<T>(b.num_nodes, c);
  SegmentMean<T>::backward(step.exec, b.graph_ptr, dpooled, dx);

  const auto dlength_rows = arena.matrix<T>(s.distance.y.extent(0), c);
  if (equivariant())
    backward_equivariant(step, b, dx, dx_below, dlength_rows);
  else
    backward_invariant(step, b, dx, dx_below, dlength_rows);
  rbf_.backward(step, s.distance, dlength_rows);
  atom_embedding_.backward_parameters(step, s.features, dx_below);
}

template class Model<float>;
template class Model<double>;

}  // namespace gnn_hpc::comformer
