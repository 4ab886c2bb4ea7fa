// SPDX-License-Identifier: Apache-2.0
#include "models/protein/golden_inputs.hpp"

#include "graph/residue_graph.hpp"

#include <fmt/format.h>

#include <cmath>

namespace gnn_hpc::verify::protein {

namespace {

/// [N,C,3] -> [N,3,C]
std::vector<double> by_axis(const RealTensor& v) {
  const std::size_t channels = v.shape[1];
  std::vector<double> out(v.values.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i / (3 * channels) * 3 * channels + i % 3 * channels + i / 3 % channels] = v.values[i];
  return out;
}

}  // namespace

MaskShapes mask_shapes(const gnn_hpc::protein::ModelOptions& options, const std::string& layers, int hidden, const ResidueBatch& graphs) {
  const std::int64_t ns = options.encoder.node_scalars, nv = options.encoder.node_vectors;
  MaskShapes out{{"classifier.2", {graphs.num_graphs, 2 * hidden}}, {"classifier.5", {graphs.num_graphs, hidden}}};
  for (int l = 0; l < options.encoder.num_layers; ++l) {
    for (const char* half : {"0", "1"}) {
      out[fmt::format("{}.{}.dropout.{}.sdropout", layers, l, half)] = {graphs.num_nodes, ns};
      out[fmt::format("{}.{}.dropout.{}.vdropout", layers, l, half)] = {graphs.num_nodes, nv};
    }
  }
  return out;
}

std::map<std::string, RealTensor> read_draws(GoldenFile& file, const MaskShapes& shapes) {
  std::map<std::string, RealTensor> out;
  for (const std::string& name : file.names_under("random")) {
    const auto known = shapes.find(name.substr(7));
    if (known == shapes.end()) file.fail(name + ": the model has no dropout of this name");
    const bool uniform = name.find("gumbel") != std::string::npos;
    RealTensor drawn = file.real(name, known->second);
    for (const double x : drawn.values) {
      if (uniform ? !(x >= 0.0 && x < 1.0) : x != 0.0 && x != 1.0)
        file.fail(fmt::format("{} holds {}, allowed are {}", name, x, uniform ? "numbers of [0, 1)" : "0 and 1"));
    }
    out[known->first] = std::move(drawn);
  }
  return out;
}

Trajectory adam_trajectory(const GoldenFile& file) {
  Trajectory t;
  t.options.optimizer = "adam";
  t.options.weight_decay = 0.0;
  t.options.schedule = "none";
  t.options.learning_rate = file.number_attribute("config", "lr");
  t.norms = "param_norms";
  t.stored_rates = false;
  return t;
}

gnn_hpc::protein::ModelOptions read_model_options(GoldenFile& file) {
  gnn_hpc::protein::ModelOptions o;
  constexpr int kWidest = 1 << 16;
  const auto pair = [&](const char* name) { return file.integers_attribute("config", name, 2, 1, kWidest); };
  if (pair("node_in") != std::vector<int>{kResidueScalars, kResidueVectors}) file.fail("config/node_in: only [6, 3] is known");
  if (pair("edge_in") != std::vector<int>{kDistanceGaussians + kPositionWaves, 1}) file.fail("config/edge_in: only [32, 1] is known");
  const std::vector<int> node = pair("node_h"), edge = pair("edge_h");
  o.encoder.node_scalars = node[0];
  o.encoder.node_vectors = node[1];
  o.encoder.edge_scalars = edge[0];
  o.encoder.edge_vectors = edge[1];
  o.encoder.num_layers = static_cast<int>(file.integer_attribute("config", "num_layers", 1, 1000));
  o.encoder.seq_in = file.flag_attribute("config", "seq_in");
  o.encoder.vector_gate = file.has_attribute("config", "vector_gate") && file.flag_attribute("config", "vector_gate");
  o.outputs = static_cast<int>(file.integer_attribute("config", "num_classes", 1, kWidest));
  o.drop_rate = file.number_attribute("config", "drop_rate");
  if (!(o.drop_rate >= 0.0 && o.drop_rate < 1.0)) file.fail(fmt::format("config/drop_rate is {}, allowed are numbers of [0, 1)", o.drop_rate));
  const std::string pooling = file.text_attribute("config", "pooling");
  for (const PoolingKind kind : {PoolingKind::sum, PoolingKind::mean, PoolingKind::max, PoolingKind::attention}) {
    if (pooling == gnn_hpc::protein::name_of(kind)) {
      o.pooling = kind;
      return o;
    }
  }
  file.fail(fmt::format("config/pooling is '{}', allowed are sum, mean, max and attention", pooling));
}

GoldenBatch read_batch(GoldenFile& file, const gnn_hpc::protein::ModelOptions& options) {
  GoldenBatch out;
  ResidueBatch& b = out.graphs;
  const RealTensor node_s = file.real("inputs/node_s", {-1, kResidueScalars});
  const auto nodes = static_cast<std::int64_t>(node_s.shape[0]);
  const RealTensor node_v = file.real("inputs/node_v", {nodes, kResidueVectors, 3});
  const IntegerTensor edges = file.integers("inputs/edge_index", {2, -1});
  const auto count = static_cast<std::int64_t>(edges.shape[1]);
  const RealTensor edge_s = file.real("inputs/edge_s", {count, kDistanceGaussians + kPositionWaves}),
                   edge_v = file.real("inputs/edge_v", {count, 1, 3});
  const IntegerTensor label = file.integers("inputs/y", {-1});
  const auto graphs = static_cast<std::int64_t>(label.values.size());
  const std::vector<int> graph = file.indices("inputs/batch", file.integers("inputs/batch", {nodes}), graphs);
  b.num_graphs = static_cast<int>(graphs);
  b.num_nodes = static_cast<int>(nodes);
  b.num_edges = static_cast<int>(count);
  b.graph_ptr.assign(static_cast<std::size_t>(graphs) + 1, 0);
  for (std::size_t n = 0; n < graph.size(); ++n) {
    if (n > 0 && graph[n] < graph[n - 1]) file.fail("inputs/batch: graphs must follow each other");
    ++b.graph_ptr[static_cast<std::size_t>(graph[n]) + 1];
  }
  for (std::size_t g = 1; g < b.graph_ptr.size(); ++g) b.graph_ptr[g] += b.graph_ptr[g - 1];
  const std::vector<int> ends = file.indices("inputs/edge_index", edges, nodes);
  b.src.assign(ends.begin(), ends.begin() + static_cast<std::ptrdiff_t>(count));
  b.in_ptr.assign(static_cast<std::size_t>(nodes) + 1, 0);
  for (std::size_t e = 0; e < b.src.size(); ++e) {
    const int target = ends[b.src.size() + e];
    if (e > 0 && target < ends[b.src.size() + e - 1]) file.fail("inputs/edge_index: edges must be grouped by target, ascending");
    if (graph[static_cast<std::size_t>(target)] != graph[static_cast<std::size_t>(b.src[e])])
      file.fail("inputs/edge_index: an edge joins two graphs");
    ++b.in_ptr[static_cast<std::size_t>(target) + 1];
  }
  for (std::size_t n = 1; n < b.in_ptr.size(); ++n) b.in_ptr[n] += b.in_ptr[n - 1];
  b.node_s = node_s.values;
  b.node_v = by_axis(node_v);
  b.edge_s = edge_s.values;
  b.edge_v = edge_v.values;
  b.code.assign(static_cast<std::size_t>(nodes), 0);
  if (file.has("inputs/seq"))
    b.code = file.indices("inputs/seq", file.integers("inputs/seq", {nodes}), 20);
  else if (options.encoder.seq_in)
    file.fail("config/seq_in is set, but inputs/seq is missing");
  b.finish();
  for (const int y : file.indices("inputs/y", label, options.outputs)) out.label.push_back(y);
  return out;
}

}  // namespace gnn_hpc::verify::protein
