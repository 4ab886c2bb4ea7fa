// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/model.hpp"

#include <cmath>

namespace gnn_hpc::comformer {

namespace {

using Values = std::vector<double>;

/// Rows of a table at the items of a map.
template <class T>
Values map_rows(const RowMap<T>& map, const Values& table, std::size_t width) {
  const auto first = host_ints(map.first);
  const auto weight = host_values(map.weight);
  Values out(first.size() * width, 0.0);
  for (std::size_t i = 0; i < first.size(); ++i) {
    for (int t = 0; t < map.taps; ++t) {
      const double w = weight[i * static_cast<std::size_t>(map.taps) + static_cast<std::size_t>(t)];
      const double* row = &table[static_cast<std::size_t>(first[i] + t) * width];
      for (std::size_t c = 0; c < width; ++c) out[i * width + c] += w * row[c];
    }
  }
  return out;
}

/// att = q key / sqrt(C) and gate = sigmoid(bn(att)) for rows [R,C]; query_row(r) says which row of q belongs to row r.
template <class T, class QueryRow>
void add_gate(std::vector<TracedTensor>& out, const std::string& prefix, const std::vector<std::size_t>& shape, const Values& query,
              const Values& key, const typename BatchNorm<T>::Saved& norm, QueryRow query_row) {
  const std::size_t c = shape.back();
  const auto scale = host_values(norm.scale), shift = host_values(norm.shift);
  Values att(key.size()), gate(key.size());
  for (std::size_t i = 0; i < key.size(); ++i) {
    att[i] = query[query_row(i / c) * c + i % c] * key[i] / std::sqrt(static_cast<double>(c));
    gate[i] = 1.0 / (1.0 + std::exp(-(scale[i % c] * att[i] + shift[i % c])));
  }
  out.push_back({prefix + "/att", shape, std::move(att), true});
  out.push_back({prefix + "/gate", shape, std::move(gate), true});
}

}  // namespace

template <class T>
std::vector<TracedTensor> trace(const Model<T>& model, const CrystalBatch<T>& b) {
  const auto& s = model.saved();
  const auto& o = model.options();
  const std::size_t c = o.node_features, h = o.node_layer_head;
  const std::size_t nodes = b.num_nodes, edges = b.num_edges, graphs = b.num_graphs;
  std::vector<TracedTensor> out;
  const auto add = [&](const std::string& name, std::vector<std::size_t> shape, Values values, bool per_edge = false) {
    out.push_back({name, std::move(shape), std::move(values), per_edge});
  };
  add("top/x_embed", {nodes, c}, host_values(s.x_embed));
  Values lengths = host_values(s.distance.y);
  const Values table(lengths.begin(), lengths.begin() + static_cast<std::ptrdiff_t>(b.distance.num_rows * c));
  lengths.erase(lengths.begin(), lengths.begin() + static_cast<std::ptrdiff_t>(table.size()));
  add("top/e_dist", {edges, c}, map_rows(b.distance, table, c), true);
  const bool equivariant = o.network == Network::ecomformer;
  if (!equivariant) {
    add("top/lat_feat", {graphs, 3, c}, lengths);
    add("top/cosine", {edges, 3}, map_rows(b.cosine, host_values(b.cosine_argument), 1), true);
    add("top/ang_feat", {edges, 3, c}, map_rows(b.cosine, host_values(s.angle.y), c), true);
  }
  const auto dst = host_ints(b.dst);
  for (int l = 0; l < o.num_layers(); ++l) {
    const auto& n = s.nodes[l];
    const std::string prefix = "att" + std::to_string(l);
    const std::vector<std::size_t> shape{edges, h, c};
    const Values key = host_values(n.key);
    add_gate<T>(out, prefix, shape, host_values(n.query), key, n.att_norm,
                [&](std::size_t r) { return static_cast<std::size_t>(dst[r / h]) * h + r % h; });
    add(prefix + "/key", shape, key, true);
    add(prefix + "/msg", shape, host_values(n.message), true);
    add(prefix + "/agg", {nodes, h, c}, host_values(n.agg));
    add("top/x" + std::to_string(l), {nodes, c}, host_values(n.y));
  }
  if (equivariant) {
    const Values features = host_values(s.equi.features);
    const auto columns = [&](std::size_t begin, std::size_t end) {
      Values part;
      for (std::size_t n = 0; n < nodes; ++n) {
        const auto row = features.begin() + static_cast<std::ptrdiff_t>(n * kNodeFeatures);
        part.insert(part.end(), row + static_cast<std::ptrdiff_t>(begin), row + static_cast<std::ptrdiff_t>(end));
      }
      return part;
    };
    add("equi/f0", {nodes, kScalars}, columns(0, kScalars));
    add("equi/f1", {nodes, kTensors, 3}, columns(kScalars, kScalars + 3 * kTensors));
    add("equi/f2", {nodes, kTensors, 5}, columns(kScalars + 3 * kTensors, kNodeFeatures));
    add("equi/s2", {nodes, kScalars}, host_values(s.equi.mixed));
    add("top/x_equi", {nodes, c}, host_values(s.equi.y));
  } else {
    const std::vector<std::size_t> shape{edges, 3, h, c};
    const Values key = host_values(s.edge.key);
    add_gate<T>(out, "edge", shape, host_values(s.edge.query), key, s.edge.att_norm, [&](std::size_t r) { return r / (3 * h) * h + r % h; });
    add("edge/key", shape, key, true);
    add("edge/msg", shape, host_values(s.edge.message), true);
    add("edge/sum", {edges, c}, host_values(s.edge.out), true);
    add("top/e_updated", {edges, c}, host_values(s.edge.y), true);
  }
  add("top/pooled", {graphs, c}, host_values(s.pooled));
  add("top/out", {graphs, static_cast<std::size_t>(o.output_features)}, host_values(s.out));
  return out;
}

template std::vector<TracedTensor> trace(const Model<float>&, const CrystalBatch<float>&);
template std::vector<TracedTensor> trace(const Model<double>&, const CrystalBatch<double>&);

}  // namespace gnn_hpc::comformer
