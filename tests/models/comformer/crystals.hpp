// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/random.hpp"
#include "graph/periodic_knn.hpp"
#include "models/comformer/batch.hpp"
#include "nn/param.hpp"
#include "support/views.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace gnn_hpc::comformer {

/// A made-up crystal; rows of the cell are the lattice vectors.
struct TestCrystal {
  std::array<double, 9> cell{};
  std::vector<double> frac;  ///< [3N]
  std::vector<int> z;
  bool without_edges = false;  ///< no graph has this; layers must bear it
};

inline TestCrystal random_crystal(int atoms, std::uint64_t seed) {
  const RandomKey key{seed, fnv1a64("crystal")};
  std::uint64_t counter = 0;
  TestCrystal c;
  const double edge = 2.6 * std::cbrt(atoms);
  for (std::size_t i = 0; i < 9; ++i) c.cell[i] = (i % 4 == 0 ? edge : 0.0) + 0.5 * edge * (key.uniform(counter++) - 0.5);
  for (int i = 0; i < 3 * atoms; ++i) c.frac.push_back(key.uniform(counter++));
  for (int i = 0; i < atoms; ++i) c.z.push_back(1 + static_cast<int>(90 * key.uniform(counter++)));
  return c;
}

/// Crystals of 1 to 5 atoms.
inline std::vector<TestCrystal> random_crystals(int count, std::uint64_t seed) {
  std::vector<TestCrystal> out;
  for (int i = 0; i < count; ++i) out.push_back(random_crystal(1 + (i * 3 + 1) % 5, seed + 100 * static_cast<std::uint64_t>(i)));
  return out;
}

struct BatchSettings {
  int neighbors = 4;
  TableOptions tables{};
  int targets = 1;
  bool missing_targets = false;  ///< every third
};

inline HostCrystalBatch batch_of(const std::vector<TestCrystal>& crystals, const BatchSettings& settings = {}) {
  HostCrystalBatch b;
  CrystalGraphWorkspace workspace;
  CrystalGraphOptions options;
  options.max_neighbors = settings.neighbors;
  b.graph_ptr = {0};
  for (std::size_t g = 0; g < crystals.size(); ++g) {
    const TestCrystal& c = crystals[g];
    CrystalGraph graph;
    build_crystal_graph(c.cell, c.frac, options, workspace, graph);
    const int offset = b.graph_ptr.back();
    b.graph_ptr.push_back(offset + static_cast<int>(c.z.size()));
    b.node_graph.insert(b.node_graph.end(), c.z.size(), static_cast<int>(g));
    b.atom_row.insert(b.atom_row.end(), c.z.begin(), c.z.end());
    std::vector<double> wrapped;
    for (const double f : c.frac) wrapped.push_back(wrap_fraction(f));
    for (std::size_t e = 0; e < graph.u.size() && !c.without_edges; ++e) {
      b.src.push_back(offset + graph.u[e]);
      b.dst.push_back(offset + graph.v[e]);
      b.mult.push_back(graph.mult[e]);
      const auto r = edge_vector(c.cell, &wrapped[3 * static_cast<std::size_t>(graph.u[e])], &wrapped[3 * static_cast<std::size_t>(graph.v[e])],
                                 &graph.image[3 * e]);
      b.edge_vec.insert(b.edge_vec.end(), r.begin(), r.end());
    }
    for (std::size_t i = 0; i < 9; ++i) {
      double x = 0.0;
      for (std::size_t k = 0; k < 3; ++k) x += graph.lattice_images[i / 3 * 3 + k] * c.cell[3 * k + i % 3];
      b.lattice.push_back(x);
    }
    b.samples.push_back(static_cast<std::int64_t>(g));
  }
  b.num_graphs = static_cast<int>(crystals.size());
  b.num_nodes = b.graph_ptr.back();
  b.num_edges = static_cast<int>(b.src.size());
  b.num_targets = settings.targets;
  b.target = test::random_values(crystals.size() * static_cast<std::size_t>(settings.targets), 77);
  for (std::size_t i = 0; i < b.target.size(); ++i) {
    if (settings.missing_targets && i % 3 == 1) b.target[i] = std::numeric_limits<double>::quiet_NaN();
    if (std::isfinite(b.target[i])) b.loss_weight += 1.0;
  }
  finish_batch(b, settings.tables);
  return b;
}

/// Norms and running statistics that are not 1 and 0, as after some training.
template <class T>
void unsettle(ParamStore<T>& store) {
  const auto ends = [](const std::string& name, const std::string& end) { return name.ends_with(end); };
  for (const TensorInfo& t : store.tensors()) {
    if (t.name.find("bn") == std::string::npos) continue;
    auto v = test::random_values(t.size, fnv1a64(t.name));
    for (double& x : v) x = ends(t.name, "weight") ? 1.0 + 0.3 * x : 0.3 * x;
    store.set(t, v);
  }
  for (const TensorInfo& t : store.buffer_tensors()) {
    auto v = test::random_values(t.size, fnv1a64(t.name));
    for (double& x : v) x = ends(t.name, "running_var") ? 0.5 + x * x : 0.2 * x;
    store.set_buffer(t, v);
  }
}

}  // namespace gnn_hpc::comformer
