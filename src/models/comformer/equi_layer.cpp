// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/equi_layer.hpp"

#include "models/comformer/equi_kernels.hpp"
#include "nn/chunks.hpp"
#include "nn/rows.hpp"

#include <algorithm>

namespace gnn_hpc::comformer {

using namespace equi_kernels;

namespace {

/// Nodes whose matrices exist at a time: 40 MB in float at width 256.
constexpr int kBlockNodes = kExecIsHost ? 512 : 4096;

/// The paths of the first product: rows of fc.2, columns of the products.
struct Path {
  int row, outputs, column;
};
constexpr Path kPaths[] = {
    {0, kScalars, 0}, {kScalars * kScalars, kTensors, kScalars}, {kScalars * (kScalars + kTensors), kTensors, kScalars + kTensors}};

/// W of a path as [64 inputs, outputs C].
template <class T>
View2<T> path_weight(const View2<T>& weight, const Path& path) {
  return reshape(row_range(weight, path.row, path.row + kScalars * path.outputs), kScalars, path.outputs * weight.extent(1));
}
/// The bias of a path as [64 inputs, outputs].
template <class T>
View2<T> path_bias(const View1<T>& bias, const Path& path) {
  return View2<T>(bias.data() + path.row, kScalars, static_cast<std::size_t>(path.outputs));
}

/// G of the nodes of a block.
template <class T>
void node_weights(Step<T>& step, const WeightNet<T>& net, View2<T> s, View2<T> g) {
  const int c = net.first.weight.value().extent_int(1);
  for (const Path& path : kPaths) {
    Matmul<T>::nn(step.exec, s, path_weight(net.second.weight.value(), path), column_range(g, path.column * c, (path.column + path.outputs) * c));
  }
}

/// sum_i s_i b[i,o]: what the bias of fc.2 adds to every edge that enters a node.
template <class T>
void node_biases(Step<T>& step, const WeightNet<T>& net, View2<T> s, View2<T> out) {
  for (const Path& path : kPaths) {
    Matmul<T>::nn(step.exec, s, path_bias(net.second.bias.value1(), path), column_range(out, path.column, path.column + path.outputs));
  }
}

}  // namespace

template <class T>
WeightNet<T>::WeightNet(ParamStore<T>& store, const std::string& name, int c)
    : first(store, name + ".fc.0", c, c), second(store, name + ".fc.2", c, kWeights) {}

template <class T>
typename WeightNet<T>::Saved WeightNet<T>::forward(Step<T>& step, const CrystalBatch<T>& b, View2<T> table) const {
  Saved s;
  s.rows = step.arena.template matrix<T>(table.extent(0), table.extent(1));
  s.edges = step.arena.template matrix<T>(b.num_edges, table.extent(1));
  Matmul<T>::nt(step.exec, table, first.weight.value(), s.rows);
  softplus_bias(step.exec, s.rows, first.bias.value1());
  rows_of_edges(step.exec, b.distance, s.rows, s.edges);
  return s;
}

template <class T>
void WeightNet<T>::backward(Step<T>& step, const CrystalBatch<T>& b, Reduction reduction, View2<T> table, const Saved& s, View2<T> dedges,
                            View2<T> dtable) const {
  ArenaFrame frame(step.arena);
  const auto drows = step.arena.template matrix<T>(s.rows.extent(0), s.rows.extent(1));
  b.distance.backward(step, reduction, dedges, drows, false);
  RowOps<T>::softplus_backward(step.exec, s.rows, drows);
  first.backward(step, table, drows, dtable, T(1));
}

template <class T>
EquiLayer<T>::EquiLayer(ParamStore<T>& store, const std::string& name, int c)
    : node_linear(store, name + ".node_linear", c, kScalars),
      skip_linear(store, name + ".skip_linear", c, c),
      node_linear_2(store, name + ".node_linear_2", kScalars, c),
      product_1(store, name + ".nlayer_1", c),
      product_2(store, name + ".nlayer_2", c),
      bn(store, name + ".bn", kScalars),
      width(c) {}

template <class T>
View2<T> EquiLayer<T>::forward(Step<T>& step, const CrystalBatch<T>& b, View2<T> x, View2<T> table, Saved& s) const {
  Arena& arena = step.arena;
  const std::size_t nodes = b.num_nodes, edges = b.num_edges, c = width;
  s.x = x;
  s.table = table;
  s.harmonics = arena.matrix<T>(edges, kHarmonics);
  harmonics_of_edges(step.exec, b.edge_vec, s.harmonics);
  s.scalars = arena.matrix<T>(nodes, kScalars);
  node_linear.forward(step, x, s.scalars);
  s.net_1 = product_1.forward(step, b, table);
  s.net_2 = product_2.forward(step, b, table);
  s.features = arena.matrix<T>(nodes, kNodeFeatures);
  s.inputs = arena.matrix<T>(edges, kProducts);
  s.mixed = arena.matrix<T>(nodes, kScalars);
  s.activated = arena.matrix<T>(nodes, kScalars);
  s.shifted = arena.matrix<T>(nodes, c);
  s.y = arena.matrix<T>(nodes, c);
  const Leaving<T> leaving(b, s.harmonics);
  {
    ArenaFrame frame(arena);
    const auto blocks = make_blocks(b.chunks, kBlockNodes);
    std::size_t most = 0;
    for (const Block& block : blocks) most = std::max(most, static_cast<std::size_t>(block.num_nodes()));
    const auto matrices = arena.matrix<T>(most, kProducts * c);
    const auto products = arena.matrix<T>(edges, kProducts), sums = arena.matrix<T>(nodes, kProducts);
    const auto for_chunks = [&](const Block& block, const auto& body) {
      for_each_chunk(step.exec, block.last_chunk - block.first_chunk,
                     [&](int, const ChunkExec& exec, int i) { body(exec, b.chunks[static_cast<std::size_t>(block.first_chunk + i)]); });
    };
    for (const Block& block : blocks) {
      const NodeProducts<T> g{b, row_range(matrices, 0, block.num_nodes()), block.node_begin, width};
      node_weights(step, product_1, row_range(s.scalars, block.node_begin, block.node_end), g.nodes);
      for_chunks(block, [&](const ChunkExec& exec, const Chunk& chunk) { g.apply(exec, chunk, s.net_1.edges, products); });
    }
    node_biases(step, product_1, s.scalars, sums);
    node_features(step.exec, leaving, s.scalars, products, sums, s.features);

    product_inputs(step.exec, leaving, s.features, s.inputs);
    const auto turned = arena.matrix<T>(kProducts * c, kScalars);
    turn_weights(step.exec, product_2.second.weight.value(), turned);
    for (const Block& block : blocks) {
      const NodeProducts<T> a{b, row_range(matrices, 0, block.num_nodes()), block.node_begin, width};
      for_chunks(block, [&](const ChunkExec& exec, const Chunk& chunk) { a.collect(exec, chunk, s.inputs, s.net_2.edges); });
      Matmul<T>::nn(step.exec, a.nodes, turned, row_range(s.mixed, block.node_begin, block.node_end));
    }
    sums_of_nodes(step.exec, b.in_ptr, s.inputs, sums);
    Matmul<T>::nn(step.exec, sums, View2<T>(product_2.second.bias.value1().data(), kProducts, kScalars), s.mixed, T(1));
  }
  s.norm = bn.statistics_of(step, s.mixed, {});
  normalised_softplus(step.exec, s.mixed, s.norm.scale, s.norm.shift, s.activated);
  Matmul<T>::nt(step.exec, s.activated, node_linear_2.weight.value(), s.shifted);
  softplus_bias(step.exec, s.shifted, node_linear_2.bias.value1());
  skip_linear.forward(step, x, s.y);
  RowOps<T>::add(step.exec, s.shifted, s.y);
  return s.y;
}

template <class T>
void EquiLayer<T>::backward(Step<T>& step, const CrystalBatch<T>& b, Reduction reduction, const Saved& s, View2<T> dy, View2<T> dx,
                            View2<T> dtable) const {
  Arena& arena = step.arena;
  ArenaFrame frame(arena);
  const std::size_t nodes = b.num_nodes, edges = b.num_edges, c = width;
  skip_linear.backward(step, s.x, dy, dx);
  const auto dshifted = arena.matrix<T>(nodes, c), dmixed = arena.matrix<T>(nodes, kScalars);
  Kokkos::deep_copy(step.exec, dshifted, dy);
  RowOps<T>::softplus_backward(step.exec, s.shifted, dshifted);
  node_linear_2.backward(step, s.activated, dshifted, dmixed);
  RowOps<T>::softplus_backward(step.exec, s.activated, dmixed);
  bn.backward_of(step, s.mixed, {}, s.norm, dmixed, dmixed);

  const Leaving<T> leaving(b, s.harmonics);
  const auto blocks = make_blocks(b.chunks, kBlockNodes);
  std::size_t most = 0;
  for (const Block& block : blocks) most = std::max(most, static_cast<std::size_t>(block.num_nodes()));
  const auto matrices = arena.matrix<T>(most, kProducts * c), dmatrices = arena.matrix<T>(most, kProducts * c);
  const auto dproducts = arena.matrix<T>(edges, kProducts), sums = arena.matrix<T>(nodes, kProducts), dhidden = arena.matrix<T>(edges, c);
  const auto dfeatures = arena.matrix<T>(nodes, kNodeFeatures), dscalars = arena.matrix<T>(nodes, kScalars);
  const auto for_chunks = [&](const Block& block, const auto& body) {
    for_each_chunk(step.exec, block.last_chunk - block.first_chunk,
                   [&](int, const ChunkExec& exec, int i) { body(exec, b.chunks[static_cast<std::size_t>(block.first_chunk + i)]); });
  };

  // Second product: t = A W + sum(q) b.
  {
    ArenaFrame turned_frame(arena);
    const auto turned = arena.matrix<T>(kProducts * c, kScalars), dturned = arena.matrix<T>(kProducts * c, kScalars);
    turn_weights(step.exec, product_2.second.weight.value(), turned);
    Kokkos::deep_copy(step.exec, dturned, T(0));
    for (const Block& block : blocks) {
      const NodeProducts<T> a{b, row_range(matrices, 0, block.num_nodes()), block.node_begin, width};
      const NodeProducts<T> da{b, row_range(dmatrices, 0, block.num_nodes()), block.node_begin, width};
      const auto dt = row_range(dmixed, block.node_begin, block.node_end);
      Matmul<T>::nt(step.exec, dt, turned, da.nodes);
      for_chunks(block, [&](const ChunkExec& exec, const Chunk& chunk) {
        a.collect(exec, chunk, s.inputs, s.net_2.edges);
        da.apply(exec, chunk, s.net_2.edges, dproducts);
        da.apply_backward(exec, chunk, s.inputs, dhidden);
      });
      Matmul<T>::tn(step.exec, a.nodes, dt, dturned);
    }
    turn_gradient(step.exec, dturned, product_2.second.weight.grad());
  }
  sums_of_nodes(step.exec, b.in_ptr, s.inputs, sums);
  const View2<T> bias_2(product_2.second.bias.value1().data(), kProducts, kScalars),
      dbias_2(product_2.second.bias.grad1().data(), kProducts, kScalars);
  Matmul<T>::tn(step.exec, sums, dmixed, dbias_2);
  Matmul<T>::nt(step.exec, dmixed, bias_2, sums);
  product_2.backward(step, b, reduction, s.table, s.net_2, dhidden, dtable);
  product_inputs_backward(step.exec, leaving, dproducts, sums, dfeatures);

  // First product: p = G h + s b.
  node_features_backward(step.exec, leaving, dfeatures, dproducts);
  Kokkos::deep_copy(step.exec, dscalars, column_range(dfeatures, 0, kScalars));
  sums_of_nodes(step.exec, b.in_ptr, dproducts, sums);
  for (const Path& path : kPaths) {
    const auto dsum = column_range(sums, path.column, path.column + path.outputs);
    Matmul<T>::tn(step.exec, s.scalars, dsum, path_bias(product_1.second.bias.grad1(), path));
    Matmul<T>::nt(step.exec, dsum, path_bias(product_1.second.bias.value1(), path), dscalars, T(1));
  }
  for (const Block& block : blocks) {
    const NodeProducts<T> g{b, row_range(matrices, 0, block.num_nodes()), block.node_begin, width};
    const NodeProducts<T> dg{b, row_range(dmatrices, 0, block.num_nodes()), block.node_begin, width};
    const auto scalars = row_range(s.scalars, block.node_begin, block.node_end), dblock = row_range(dscalars, block.node_begin, block.node_end);
    node_weights(step, product_1, scalars, g.nodes);
    for_chunks(block, [&](const ChunkExec& exec, const Chunk& chunk) {
      dg.collect(exec, chunk, dproducts, s.net_1.edges);
      g.apply_backward(exec, chunk, dproducts, dhidden);
    });
    for (const Path& path : kPaths) {
      const auto part = column_range(dg.nodes, path.column * width, (path.column + path.outputs) * width);
      Matmul<T>::tn(step.exec, scalars, part, path_weight(product_1.second.weight.grad(), path));
      Matmul<T>::nt(step.exec, part, path_weight(product_1.second.weight.value(), path), dblock, T(1));
    }
  }
  product_1.backward(step, b, reduction, s.table, s.net_1, dhidden, dtable);
  node_linear.backward(step, s.x, dscalars, dx, T(1));
}

template struct WeightNet<float>;
template struct WeightNet<double>;
template struct EquiLayer<float>;
template struct EquiLayer<double>;

}  // namespace gnn_hpc::comformer
