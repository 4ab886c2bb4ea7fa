// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/device_batch.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace gnn_hpc::dmpnn {

/// Memory behind the arrays of a batch.
template <class T>
struct MoleculeBatch<T>::Storage {
  struct Layer {
    GrowingArray<int> residual;
    GatherStorage<T> in, out, residual_out;
  };
  std::vector<GrowingArray<int>> node_ptr;
  std::vector<Layer> steps;
  Layer nodes;
  GrowingArray<int> node_graph, dst, bond_type, out_ptr, out_item, h0_atom, h0_bond, node_row;
  GrowingArray<std::uint64_t> graph_key, edge_key, node_key;
  GrowingArray<double> target;
  GrowingArray<T> descriptors;
  GatherStorage<T> by_atom, by_bond, row_nodes, pool, pool_out;
};

namespace {

/// Names of rows for dropout: the molecule and the place in it, the same whatever batch or rank it is in.
std::vector<std::uint64_t> row_keys(const std::vector<std::uint64_t>& graph_key, const std::vector<int>& ptr) {
  std::vector<std::uint64_t> keys;
  for (std::size_t g = 0; g + 1 < ptr.size(); ++g) {
    for (int r = ptr[g]; r < ptr[g + 1]; ++r) keys.push_back((graph_key[g] << 24) + static_cast<std::uint64_t>(r - ptr[g]));
  }
  return keys;
}

}  // namespace

template <class T>
MoleculeBatch<T>::MoleculeBatch() : storage_(std::make_unique<Storage>()) {}
template <class T>
MoleculeBatch<T>::~MoleculeBatch() = default;

template <class T>
void MoleculeBatch<T>::upload(const HostMoleculeBatch& host, const Exec& exec) {
  GNN_HPC_REQUIRE(host.node_row.size() == static_cast<std::size_t>(host.num_nodes) && host.pool.rows() == host.num_graphs,
                  "unfinished batch: {} graphs, {} nodes", host.num_graphs, host.num_nodes);
  exec.fence("gnn_hpc::MoleculeBatch::upload");  // pinned staging of the previous batch may still be read
  Storage& s = *storage_;
  num_graphs = host.num_graphs;
  num_nodes = host.num_nodes;
  num_edges = host.num_edges;
  s.node_ptr.resize(host.node_ptr.size());
  node_ptr.resize(host.node_ptr.size());
  level_nodes.resize(host.node_ptr.size());
  largest_graph.assign(host.node_ptr.size(), 0);
  for (std::size_t l = 0; l < host.node_ptr.size(); ++l) {
    const std::vector<int>& ptr = host.node_ptr[l];
    node_ptr[l] = s.node_ptr[l].assign(exec, ptr);
    level_nodes[l] = ptr.back();
    for (std::size_t g = 0; g + 1 < ptr.size(); ++g) largest_graph[l] = std::max(largest_graph[l], ptr[g + 1] - ptr[g]);
  }
  std::vector<std::uint64_t> keys(static_cast<std::size_t>(num_graphs));
  for (std::size_t g = 0; g < keys.size(); ++g) keys[g] = static_cast<std::uint64_t>(host.samples[g]);
  graph_key = s.graph_key.assign(exec, keys);

  plan.num_h0 = static_cast<int>(host.h0_atom.size());
  plan.num_rows_z = static_cast<int>(host.nodes.residual.size());
  plan.h0_node = s.h0_atom.assign(exec, host.h0_atom);
  plan.h0_edge = s.h0_bond.assign(exec, host.h0_bond);
  plan.by_node = s.by_atom.upload(exec, host.h0_by_atom);
  plan.by_edge = s.by_bond.upload(exec, host.h0_by_bond);
  s.steps.resize(host.steps.size());
  plan.steps.resize(host.steps.size());
  for (std::size_t t = 0; t < host.steps.size(); ++t) {
    const HostMoleculeBatch::Layer& from = host.steps[t];
    typename MessagePlan<T>::Layer& to = plan.steps[t];
    to.num_rows = static_cast<int>(from.residual.size());
    to.residual = s.steps[t].residual.assign(exec, from.residual);
    to.residual_out = s.steps[t].residual_out.upload(exec, from.residual_out);
    to.in.rows = s.steps[t].in.upload(exec, from.in);
    to.out.rows = s.steps[t].out.upload(exec, from.out);
  }
  plan.z_node = s.nodes.residual.assign(exec, host.nodes.residual);
  plan.z_by_node = s.nodes.residual_out.upload(exec, host.nodes.residual_out);
  plan.z_in = s.nodes.in.upload(exec, host.nodes.in);
  plan.z_out = s.nodes.out.upload(exec, host.nodes.out);
  plan.edge_key = plan.z_key = {};
  if (!host.shared) {
    plan.edge_key = s.edge_key.assign(exec, row_keys(keys, host.edge_ptr));
    plan.z_key = s.node_key.assign(exec, row_keys(keys, host.node_ptr[0]));
  }

  level = {};
  level.num_graphs = num_graphs;
  level.num_nodes = num_nodes;
  level.num_edges = num_edges;
  level.node_ptr = node_ptr[0];
  level.node_graph = s.node_graph.assign(exec, host.node_graph);
  level.graph_key = graph_key;
  level.node_row = s.node_row.assign(exec, host.node_row);
  level.row_nodes = s.row_nodes.upload(exec, host.row_nodes);
  level.out_ptr = s.out_ptr.assign(exec, host.edges_out.ptr);
  level.out_item = s.out_item.assign(exec, host.edges_out.item);
  level.dst = s.dst.assign(exec, host.dst);
  level.feature = s.bond_type.assign(exec, host.bond_type);
  if (node_ptr.size() > 1) {
    level.num_clusters = level_nodes[1];
    level.cluster_ptr = node_ptr[1];
  }
  pool = s.pool.upload(exec, host.pool);
  pool_out = s.pool_out.upload(exec, host.pool_out);
  const auto y = s.target.assign(exec, host.target);
  target = View2<double>(y.data(), num_graphs, host.num_targets);
  const auto d = s.descriptors.assign(exec, host.descriptors);
  descriptors = View2<T>(d.data(), num_graphs, host.num_descriptors);
}

template struct MoleculeBatch<float>;
template struct MoleculeBatch<double>;

}  // namespace gnn_hpc::dmpnn
