// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/golden.hpp"

#include "graph/periodic_knn.hpp"
#include "verify/manifest.hpp"

namespace gnn_hpc::verify::comformer {

namespace {

template <class Container>
IntegerTensor to_tensor(const Container& values, std::vector<std::size_t> shape) {
  return {std::move(shape), {values.begin(), values.end()}};
}

void check_structure(GoldenFile& file, const std::string& name, CrystalGraphWorkspace& workspace, Report& report) {
  const RealTensor lattice = file.real(name + "/inputs/lattice", {3, 3});
  const RealTensor frac = file.real(name + "/inputs/frac", {-1, 3});
  file.integers(name + "/inputs/Z", {static_cast<std::int64_t>(frac.shape[0])});
  CrystalGraphOptions options;
  options.max_neighbors = static_cast<int>(file.integer_attribute(name, "k", 1, 1000000));
  options.cutoff = file.number_attribute(name, "cutoff");
  options.use_lattice = file.flag_attribute(name, "use_lattice");

  CrystalGraph graph;
  const std::span<const double, 9> cell(lattice.values.data(), 9);
  build_crystal_graph(cell, frac.values, options, workspace, graph);

  const std::size_t edges = graph.u.size();
  std::vector<double> wrapped(frac.values), vec;
  for (double& f : wrapped) f = wrap_fraction(f);
  for (std::size_t e = 0; e < edges; ++e) {
    const auto r = edge_vector(cell, &wrapped[3 * static_cast<std::size_t>(graph.u[e])], &wrapped[3 * static_cast<std::size_t>(graph.v[e])],
                               &graph.image[3 * e]);
    vec.insert(vec.end(), r.begin(), r.end());
  }
  std::vector<double> triple(9, 0.0);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      for (std::size_t x = 0; x < 3; ++x) triple[3 * i + x] += graph.lattice_images[3 * i + j] * lattice.values[3 * j + x];
    }
  }
  const double allowed = Tolerances().input;
  const std::string expected = name + "/expected/";
  const auto exact = [&](const char* what, IntegerTensor actual) { report.compare_exact(expected + what, file.integers(expected + what), actual); };
  exact("u", to_tensor(graph.u, {edges}));
  exact("v", to_tensor(graph.v, {edges}));
  exact("image", to_tensor(graph.image, {edges, 3}));
  exact("mult", to_tensor(graph.mult, {edges}));
  exact("lattice_images", to_tensor(graph.lattice_images, {3, 3}));
  report.compare(expected + "vec", file.real(expected + "vec"), {{edges, 3}, vec}, allowed);
  report.compare(expected + "lattice_vectors", file.real(expected + "lattice_vectors"), {{3, 3}, triple}, allowed);
}

}  // namespace

void check_graphs(GoldenFile& file, bool /*single_precision: graphs are built in double*/, Report& report) {
  Manifest manifest(file);
  for (const std::string& name : file.groups_in("")) {
    manifest.data({"lattice", "frac", "Z"}, name + "/inputs/");
    manifest.data({"u", "v", "image", "vec", "mult", "lattice_images", "lattice_vectors"}, name + "/expected/");
  }
  if (file.groups_in("").empty()) manifest.missing("a group per structure");
  manifest.finish();
  CrystalGraphWorkspace workspace;
  for (const std::string& name : file.groups_in("")) check_structure(file, name, workspace, report);
}

}  // namespace gnn_hpc::verify::comformer
