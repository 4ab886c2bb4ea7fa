// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/golden_inputs.hpp"

#include "base/error.hpp"
#include "graph/periodic_knn.hpp"
#include "models/comformer/element_features.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace gnn_hpc::verify::comformer {

namespace {

struct Structure {
  RealTensor lattice, frac;
  std::vector<int> z;
};

std::vector<Structure> read_structures(GoldenFile& file) {
  std::vector<Structure> out(file.groups_in("inputs/structures").size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::string group = "inputs/structures/" + std::to_string(i);
    out[i].lattice = file.real(group + "/lattice", {3, 3});
    out[i].frac = file.real(group + "/frac", {-1, 3});
    const IntegerTensor z = file.integers(group + "/Z", {static_cast<std::int64_t>(out[i].frac.shape[0])});
    for (const std::int64_t value : z.values) {
      if (value < 1 || value > 103) file.fail(fmt::format("{}/Z holds {}, allowed are 1 to 103", group, value));
      out[i].z.push_back(static_cast<int>(value));
    }
  }
  return out;
}

/// The graphs of the structures, duplicates written out, against the stored edges.
void check_edges(GoldenFile& file, const std::vector<Structure>& structures, Report& report) {
  CrystalGraphOptions options;
  options.max_neighbors = static_cast<int>(file.integer_attribute("config", "k", 1, 1000000));
  options.cutoff = file.number_attribute("config", "cutoff");
  options.use_lattice = file.flag_attribute("config", "use_lattice");
  CrystalGraphWorkspace workspace;
  CrystalGraph graph;
  std::vector<std::int64_t> source, target, edge_graph;
  std::vector<double> vec, triples;
  std::int64_t first_node = 0;
  for (std::size_t g = 0; g < structures.size(); ++g) {
    const std::span<const double, 9> cell(structures[g].lattice.values.data(), 9);
    build_crystal_graph(cell, structures[g].frac.values, options, workspace, graph);
    std::vector<double> wrapped = structures[g].frac.values;
    for (double& f : wrapped) f = wrap_fraction(f);
    for (std::size_t e = 0; e < graph.u.size(); ++e) {
      const auto r = edge_vector(cell, &wrapped[3 * static_cast<std::size_t>(graph.u[e])], &wrapped[3 * static_cast<std::size_t>(graph.v[e])],
                                 &graph.image[3 * e]);
      for (int copy = 0; copy < graph.mult[e]; ++copy) {
        source.push_back(first_node + graph.u[e]);
        target.push_back(first_node + graph.v[e]);
        edge_graph.push_back(static_cast<std::int64_t>(g));
        vec.insert(vec.end(), r.begin(), r.end());
      }
    }
    for (std::size_t row = 0; row < 3; ++row) {
      for (std::size_t x = 0; x < 3; ++x) {
        double sum = 0.0;
        for (std::size_t j = 0; j < 3; ++j) sum += graph.lattice_images[3 * row + j] * cell[3 * j + x];
        triples.push_back(sum);
      }
    }
    first_node += graph.num_nodes;
  }
  const std::size_t edges = source.size();
  std::vector<std::int64_t> index(source);
  index.insert(index.end(), target.begin(), target.end());
  const double allowed = Tolerances().input;
  report.compare_exact("inputs/edge_index", file.integers("inputs/edge_index"), {{2, edges}, index});
  report.compare_exact("inputs/edge_graph", file.integers("inputs/edge_graph"), {{edges}, edge_graph});
  report.compare("inputs/edge_vec", file.real("inputs/edge_vec"), {{edges, 3}, vec}, allowed);
  report.compare("inputs/lattice", file.real("inputs/lattice"), {{structures.size(), 3, 3}, triples}, allowed);
}

/// Rows of our own table for the atomic numbers, in the width the file uses.
RealTensor features_of(const std::vector<int>& z, std::size_t width) {
  using gnn_hpc::comformer::AtomFeatures;
  const AtomFeatures kind = width == 1 ? AtomFeatures::atomic_number : AtomFeatures::cgcnn;
  const std::vector<double> table = gnn_hpc::comformer::atom_feature_table(kind);
  const auto columns = static_cast<std::size_t>(gnn_hpc::comformer::num_atom_features(kind));
  RealTensor out{{z.size(), columns}, {}};
  for (const int number : z) {
    const auto row = table.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(number) * columns);
    out.values.insert(out.values.end(), row, row + static_cast<std::ptrdiff_t>(columns));
  }
  return out;
}

/// Merges equal edges: sorted by (target, source), copies and images in the order of the file.
void merge_edges(GoldenFile& file, const std::vector<int>& source, const std::vector<int>& target, const std::vector<double>& vec, GoldenBatch& out) {
  auto& host = out.host;
  const auto key = [&](std::size_t e) { return std::make_tuple(target[e], source[e], vec[3 * e], vec[3 * e + 1], vec[3 * e + 2]); };
  const std::size_t edges = source.size();
  std::vector<std::size_t> order(edges), first_copy(edges);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
  for (std::size_t i = 0; i < edges; ++i) {
    const bool repeated = i > 0 && key(order[i]) == key(order[i - 1]);
    first_copy[order[i]] = repeated ? first_copy[order[i - 1]] : order[i];
  }
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::make_tuple(target[a], source[a], first_copy[a]) < std::make_tuple(target[b], source[b], first_copy[b]);
  });
  out.unique_edge.assign(edges, 0);
  for (const std::size_t e : order) {
    if (first_copy[e] == e) {
      host.src.push_back(source[e]);
      host.dst.push_back(target[e]);
      host.mult.push_back(0.0);
      host.edge_vec.insert(host.edge_vec.end(), {vec[3 * e], vec[3 * e + 1], vec[3 * e + 2]});
    }
    out.unique_edge[e] = host.src.size() - 1;
    host.mult.back() += 1.0;
  }
  for (const double m : host.mult) {
    if (m > 2.0) file.fail(fmt::format("inputs/edge_index repeats an edge {} times, allowed are 1 and 2", m));
  }
  host.num_edges = static_cast<int>(host.src.size());
}

}  // namespace

GoldenBatch read_batch(GoldenFile& file, bool directions, Report& report) {
  GoldenBatch out;
  auto& host = out.host;
  const RealTensor lattice = file.real("inputs/lattice", {-1, 3, 3});
  const IntegerTensor edge_index = file.integers("inputs/edge_index", {2, -1});
  const auto edges = static_cast<std::int64_t>(edge_index.shape[1]);
  const RealTensor edge_vec = file.real("inputs/edge_vec", {edges, 3});
  const RealTensor x = file.real("inputs/x", {-1, -1});
  const auto graphs = static_cast<std::int64_t>(lattice.shape[0]), nodes = static_cast<std::int64_t>(x.shape[0]);
  if (graphs < 1 || nodes < 1) file.fail("inputs: the batch is empty");
  host.num_graphs = static_cast<int>(graphs);
  host.num_nodes = static_cast<int>(nodes);
  host.node_graph = file.indices("inputs/batch", file.integers("inputs/batch", {nodes}), graphs);
  host.graph_ptr.assign(static_cast<std::size_t>(graphs) + 1, 0);
  for (const int g : host.node_graph) ++host.graph_ptr[static_cast<std::size_t>(g) + 1];
  std::partial_sum(host.graph_ptr.begin(), host.graph_ptr.end(), host.graph_ptr.begin());
  if (!std::is_sorted(host.node_graph.begin(), host.node_graph.end())) file.fail("inputs/batch is not sorted by crystal");

  const std::vector<int> ends = file.indices("inputs/edge_index", edge_index, nodes);
  const std::vector<int> source(ends.begin(), ends.begin() + edges), target(ends.begin() + edges, ends.end());
  const std::vector<int> edge_graph = file.indices("inputs/edge_graph", file.integers("inputs/edge_graph", {edges}), graphs);
  for (std::size_t e = 0; e < source.size(); ++e) {
    if (host.node_graph[static_cast<std::size_t>(source[e])] != edge_graph[e] ||
        host.node_graph[static_cast<std::size_t>(target[e])] != edge_graph[e]) {
      file.fail(fmt::format("inputs/edge_index: edge {} leaves its crystal", e));
    }
  }
  merge_edges(file, source, target, edge_vec.values, out);
  host.lattice = lattice.values;

  const RealTensor y = file.real("inputs/y");
  if (y.shape.empty() || y.shape.size() > 2 || y.shape[0] != lattice.shape[0]) {
    file.fail(fmt::format("inputs/y has shape {} for {} crystals", shape_text(y.shape), graphs));
  }
  host.num_targets = y.shape.size() == 2 ? static_cast<int>(y.shape[1]) : 1;
  host.target = y.values;

  const std::vector<Structure> structures = read_structures(file);
  for (const Structure& s : structures) host.atom_row.insert(host.atom_row.end(), s.z.begin(), s.z.end());
  if (static_cast<std::int64_t>(structures.size()) != graphs || static_cast<std::int64_t>(host.atom_row.size()) != nodes) {
    file.fail(fmt::format("inputs/structures holds {} crystals with {} atoms, the batch {} with {}", structures.size(), host.atom_row.size(), graphs,
                          nodes));
  }
  check_edges(file, structures, report);
  report.compare("inputs/x", x, features_of(host.atom_row, x.shape[1]), Tolerances().input);
  host.samples.resize(static_cast<std::size_t>(graphs));
  std::iota(host.samples.begin(), host.samples.end(), std::int64_t{0});
  finish_batch(host, {.directions = directions});
  return out;
}

}  // namespace gnn_hpc::verify::comformer
