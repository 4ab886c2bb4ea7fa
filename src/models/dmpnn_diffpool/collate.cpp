// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"
#include "models/dmpnn_diffpool/batch.hpp"
#include "models/dmpnn_diffpool/messages.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace gnn_hpc::dmpnn {

namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

void clear(HostMoleculeBatch::Layer& layer) {
  layer.residual.clear();
  layer.in.clear();
}

/// Atoms, edges and targets, one molecule after the other.
void append_molecules(std::span<const MoleculeView> views, int num_atom_types, int num_bond_types, HostMoleculeBatch& b) {
  b.num_targets = views.empty() ? b.num_targets : static_cast<int>(views[0].target.size());
  b.num_descriptors = views.empty() ? b.num_descriptors : static_cast<int>(views[0].descriptors.size());
  b.node_ptr[0].assign(1, 0);
  b.edge_ptr.assign(1, 0);
  for (auto* list : {&b.node_graph, &b.src, &b.dst, &b.bond_type}) list->clear();
  b.target.clear();
  b.descriptors.clear();
  for (std::size_t g = 0; g < views.size(); ++g) {
    const MoleculeView& m = views[g];
    if (m.atom_type.empty() || m.target.size() != index(b.num_targets) || m.descriptors.size() != index(b.num_descriptors)) {
      throw Error(Exit::data, fmt::format("molecule {} of a batch has {} atoms, {} targets and {} descriptors; expected at least one atom, {} and {}",
                                          g, m.atom_type.size(), m.target.size(), m.descriptors.size(), b.num_targets, b.num_descriptors));
    }
    const int first = b.node_ptr[0].back();
    for (const std::int32_t type : m.atom_type) {
      if (type < 0 || type >= num_atom_types) throw Error(Exit::data, fmt::format("atom type {} of {}", type, num_atom_types));
    }
    for (std::size_t e = 0; e < m.src.size(); ++e) {
      if (m.bond_type[e] < 0 || m.bond_type[e] >= num_bond_types) {
        throw Error(Exit::data, fmt::format("bond type {} of {}", m.bond_type[e], num_bond_types));
      }
      b.src.push_back(first + m.src[e]);
      b.dst.push_back(first + m.dst[e]);
      b.bond_type.push_back(m.bond_type[e]);
    }
    b.node_graph.insert(b.node_graph.end(), m.atom_type.size(), static_cast<int>(g));
    b.node_ptr[0].push_back(static_cast<int>(b.node_graph.size()));
    b.edge_ptr.push_back(static_cast<int>(b.src.size()));
    b.target.insert(b.target.end(), m.target.begin(), m.target.end());
    b.descriptors.insert(b.descriptors.end(), m.descriptors.begin(), m.descriptors.end());
  }
  b.num_graphs = static_cast<int>(views.size());
  b.num_nodes = static_cast<int>(b.node_graph.size());
  b.num_edges = static_cast<int>(b.src.size());
  b.loss_weight = static_cast<double>(std::count_if(b.target.begin(), b.target.end(), [](double y) { return std::isfinite(y); }));
}

void count_clusters(const ModelOptions& options, HostMoleculeBatch& b) {
  const int limit = options.assign == Assign::shared ? options.head_width : 0;
  for (std::size_t l = 1; l < b.node_ptr.size(); ++l) {
    const std::vector<int>& nodes = b.node_ptr[l - 1];
    b.node_ptr[l].assign(1, 0);
    for (std::size_t g = 0; g + 1 < nodes.size(); ++g) {
      b.node_ptr[l].push_back(b.node_ptr[l].back() + cluster_count(nodes[g + 1] - nodes[g], options.diffpool_ratio, limit));
    }
  }
}

/// Numbers classes in order of first use.
struct Numbering {
  std::vector<int>& row;   ///< of each class, -1: not used
  std::vector<int>& used;  ///< classes in order
  int operator()(int id) {
    int& r = row[index(id)];
    if (r < 0) {
      r = static_cast<int>(used.size());
      used.push_back(id);
    }
    return r;
  }
};

/// The rows of the classes that the batch needs, from the atoms back to the first states.
void rows_of_classes(std::span<const MoleculeView> views, const MoleculeClasses& classes, HostMoleculeBatch& b) {
  const int depth = classes.depth();
  auto& rows = b.class_rows;  // h^0 .. h^(depth-1), z; all -1 between batches
  auto& used = b.class_used;
  rows.resize(index(depth) + 1);
  used.resize(index(depth) + 1);
  const auto size_of = [&](int layer) {
    return layer == 0 ? classes.h0_atom().size() : layer < depth ? classes.step(layer).residual.size() : classes.nodes().residual.size();
  };
  for (int layer = 0; layer <= depth; ++layer) {
    rows[index(layer)].resize(size_of(layer), -1);
    used[index(layer)].clear();
  }
  b.node_row.clear();
  Numbering of_z{rows[index(depth)], used[index(depth)]};
  for (std::size_t g = 0; g < views.size(); ++g) {
    const auto ids = classes.of(b.samples[g]);
    if (ids.size() != views[g].atom_type.size()) {
      throw Error(Exit::internal, fmt::format("molecule {} has {} atoms, its classes {}", b.samples[g], views[g].atom_type.size(), ids.size()));
    }
    for (const std::int32_t id : ids) b.node_row.push_back(of_z(id));
  }
  Numbering of_h0{rows[0], used[0]};
  for (int layer = depth; layer > 0; --layer) {
    const MoleculeClasses::Layer& all = layer == depth ? classes.nodes() : classes.step(layer);
    HostMoleculeBatch::Layer& out = layer == depth ? b.nodes : b.steps[index(layer) - 1];
    Numbering before{rows[index(layer) - 1], used[index(layer) - 1]};
    for (const int id : used[index(layer)]) {
      for (int k = all.in.ptr[index(id)]; k < all.in.ptr[index(id) + 1]; ++k) {
        out.in.item.push_back(before(all.in.item[index(k)]));
        out.in.weight.push_back(all.in.weight[index(k)]);
      }
      out.in.ptr.push_back(static_cast<int>(out.in.item.size()));
      out.residual.push_back(layer == depth ? all.residual[index(id)] : of_h0(all.residual[index(id)]));
    }
  }
  for (const int id : used[0]) {
    b.h0_atom.push_back(classes.h0_atom()[index(id)]);
    b.h0_bond.push_back(classes.h0_bond()[index(id)]);
  }
  for (std::size_t layer = 0; layer < rows.size(); ++layer) {
    for (const int id : used[layer]) rows[layer][index(id)] = -1;
  }
}

/// Every edge and atom a row of its own.
void rows_of_edges(std::span<const MoleculeView> views, bool undirected, HostMoleculeBatch& b) {
  MoleculeMessages messages;
  std::vector<MessageItem> items;
  HostGather in;
  const auto append = [&items](HostGather& out, int shift) {
    for (const MessageItem& item : items) {
      out.item.push_back(shift + item.row);
      out.weight.push_back(item.weight);
    }
    out.ptr.push_back(static_cast<int>(out.item.size()));
  };
  for (std::size_t g = 0; g < views.size(); ++g) {
    const MoleculeView& m = views[g];
    messages.set(m, undirected);
    const int shift = b.edge_ptr[g];
    for (std::size_t e = 0; e < m.src.size(); ++e) {
      b.h0_atom.push_back(m.atom_type[index(m.src[e])]);
      b.h0_bond.push_back(m.bond_type[e]);
      messages.of_edge(static_cast<int>(e), items);
      append(in, shift);
    }
    for (std::size_t v = 0; v < m.atom_type.size(); ++v) {
      b.nodes.residual.push_back(m.atom_type[v]);
      messages.of_atom(static_cast<int>(v), items);
      append(b.nodes.in, shift);
    }
  }
  b.node_row.resize(index(b.num_nodes));
  std::iota(b.node_row.begin(), b.node_row.end(), 0);
  for (HostMoleculeBatch::Layer& step : b.steps) {
    step.in = in;
    step.residual.resize(index(b.num_edges));
    std::iota(step.residual.begin(), step.residual.end(), 0);
  }
}

/// Coefficients of the read-out: rows of z of the only level, or the nodes of the last of several.
void pool_rows(const ModelOptions& options, std::span<const MoleculeView> views, HostMoleculeBatch& b) {
  const int levels = options.levels();
  const std::vector<int>& nodes = b.node_ptr[index(std::max(levels - 1, 0))];
  b.pool.clear();
  std::vector<int>& last = b.row_place;  // of a row among the items of the graph
  last.assign(b.nodes.residual.size(), -1);
  for (std::size_t g = 0; g < views.size(); ++g) {
    const MoleculeView& m = views[g];
    double scale = 1.0, sum = 0.0;
    if (levels > 0) {
      const std::vector<int>& clusters = b.node_ptr.back();
      if (options.use_mean) scale = 1.0 / (clusters[g + 1] - clusters[g]);
    } else if (options.encoder == Encoder::wdmpnn) {
      for (std::size_t v = 0; v < m.atom_type.size(); ++v) sum += m.atom_weight.empty() ? 1.0 : m.atom_weight[v];
      scale = m.degree_of_polymerisation / std::max(sum, 1e-12);
    } else if (options.aggregation != Aggregation::sum) {
      scale = options.aggregation == Aggregation::norm ? 0.01 : 1.0 / static_cast<double>(m.atom_type.size());
    }
    const auto begin = b.pool.item.size();
    for (int n = nodes[g]; n < nodes[g + 1]; ++n) {
      if (levels > 1) {
        b.pool.item.push_back(n);
        b.pool.weight.push_back(scale);
        continue;
      }
      const bool weighted = options.encoder == Encoder::wdmpnn && !m.atom_weight.empty();
      const double w = scale * (weighted ? m.atom_weight[index(n - nodes[g])] : 1.0);
      const int row = b.node_row[index(n)];
      int& place = last[index(row)];
      if (place < static_cast<int>(begin)) {
        place = static_cast<int>(b.pool.item.size());
        b.pool.item.push_back(row);
        b.pool.weight.push_back(0.0);
      }
      b.pool.weight[index(place)] += w;
    }
    b.pool.ptr.push_back(static_cast<int>(b.pool.item.size()));
  }
  transpose(b.pool, levels > 1 ? nodes.back() : static_cast<int>(b.nodes.residual.size()), b.pool_out);
}

}  // namespace

void collate(const ModelOptions& options, std::span<const MoleculeView> views, std::span<const std::int64_t> samples, const MoleculeClasses* classes,
             int num_atom_types, int num_bond_types, HostMoleculeBatch& b) {
  GNN_HPC_REQUIRE(views.size() == samples.size(), "{} molecules, {} samples", views.size(), samples.size());
  b.samples.assign(samples.begin(), samples.end());
  b.shared = classes != nullptr && options.shares();
  GNN_HPC_REQUIRE(!b.shared || classes->depth() == options.depth, "classes of depth {}, model of {}", classes->depth(), options.depth);
  b.node_ptr.resize(index(options.levels()) + 1);
  b.steps.resize(index(options.depth) - 1);
  b.h0_atom.clear();
  b.h0_bond.clear();
  for (HostMoleculeBatch::Layer& step : b.steps) clear(step);
  clear(b.nodes);

  append_molecules(views, num_atom_types, num_bond_types, b);
  count_clusters(options, b);
  transpose(b.src, b.num_nodes, b.edges_out);
  if (b.shared) {
    rows_of_classes(views, *classes, b);
  } else {
    rows_of_edges(views, options.undirected, b);
  }
  int rows_before = static_cast<int>(b.h0_atom.size());
  for (HostMoleculeBatch::Layer& step : b.steps) {
    transpose(step.in, rows_before, step.out);
    transpose(step.residual, static_cast<int>(b.h0_atom.size()), step.residual_out);
    rows_before = static_cast<int>(step.residual.size());
  }
  transpose(b.nodes.in, rows_before, b.nodes.out);
  transpose(b.nodes.residual, num_atom_types, b.nodes.residual_out);
  transpose(b.h0_atom, num_atom_types, b.h0_by_atom);
  transpose(b.h0_bond, num_bond_types, b.h0_by_bond);
  transpose(b.node_row, static_cast<int>(b.nodes.residual.size()), b.row_nodes);
  pool_rows(options, views, b);
}

}  // namespace gnn_hpc::dmpnn
