// SPDX-License-Identifier: Apache-2.0
#include "models/protein/options.hpp"

#include <array>
#include <utility>

namespace gnn_hpc::protein {

namespace {

constexpr std::array<std::pair<PoolingKind, const char*>, 4> kPoolings{
    {{PoolingKind::sum, "sum"}, {PoolingKind::mean, "mean"}, {PoolingKind::max, "max"}, {PoolingKind::attention, "attention"}}};

/// Two widths, scalars and vectors.
void widths(Config& node, const char* key, int& scalars, int& vectors, const char* doc) {
  std::vector<std::int64_t> both{scalars, vectors};
  node.list(key, both, Range{1.0, 4096.0}, doc);
  if (both.size() != 2) return node.problem(key, fmt::format("{} numbers; needed are two, [scalars, vectors]", both.size()));
  scalars = static_cast<int>(both[0]);
  vectors = static_cast<int>(both[1]);
}

}  // namespace

std::string name_of(PoolingKind kind) {
  for (const auto& [known, name] : kPoolings) {
    if (known == kind) return name;
  }
  return "?";
}

ModelOptions ModelOptions::parse(Config& node) {
  ModelOptions o;
  std::string pooling = name_of(o.pooling);
  widths(node, "node_h", o.encoder.node_scalars, o.encoder.node_vectors, "widths of residues: [scalars, vectors]");
  widths(node, "edge_h", o.encoder.edge_scalars, o.encoder.edge_vectors, "widths of embedded edges: [scalars, vectors]");
  node.number("num_layers", o.encoder.num_layers, at_least_one, "layers of message passing");
  node.number("drop_rate", o.drop_rate, Range{0.0, 1.0, false, true}, "dropout in layers (vectors whole) and head");
  node.choice("pooling", pooling, {"sum", "mean", "max", "attention"}, "residues to chain; attention: softmax within the chain");
  node.flag("seq_in", o.encoder.seq_in, "residue types as input, too");
  node.flag("vector_gate", o.encoder.vector_gate, "gates of vectors from scalars instead of their own norms");
  node.choice("class_weights", o.class_weights, {"none", "balanced"},
              "of the loss of a multiclass target; balanced: rare classes of the training part count as much as frequent ones");
  for (const auto& [kind, name] : kPoolings) {
    if (pooling == name) o.pooling = kind;
  }
  return o;
}

}  // namespace gnn_hpc::protein
