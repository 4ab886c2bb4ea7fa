// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/random.hpp"
#include "models/dmpnn_diffpool/batch.hpp"
#include "support/views.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

namespace gnn_hpc::dmpnn {

inline constexpr int kAtomTypes = 4, kBondTypes = 3, kAtomWidth = 5, kBondWidth = 3;

/// Feature rows with random entries.
inline FeatureTable table_of(int rows, int width, std::uint64_t seed) {
  return {width, test::random_values(static_cast<std::size_t>(rows * width), seed)};
}

struct TestMolecule {
  std::vector<std::int32_t> atom_type, bond_type, src, dst;
  std::vector<double> edge_weight, atom_weight, target, descriptors;
  double dop = 1.0;
  MoleculeView view() const { return {atom_type, bond_type, src, dst, edge_weight, atom_weight, dop, target, descriptors}; }
};

/// A tree with some rings closed and few kinds of atoms and bonds, so that equal states occur. atoms < 0: without bonds.
inline TestMolecule random_molecule(int atoms, std::uint64_t seed, int targets = 1, int descriptors = 0, bool polymer = false) {
  const RandomKey key{seed, fnv1a64("random_molecule")};
  std::uint64_t at = 0;
  const auto below = [&](int n) { return static_cast<std::int32_t>(key.uniform(at++) * n) % n; };
  TestMolecule m;
  const int n = std::abs(atoms);
  for (int v = 0; v < n; ++v) m.atom_type.push_back(below(kAtomTypes));
  const auto bond = [&](std::int32_t u, std::int32_t v) {
    m.src.insert(m.src.end(), {u, v});
    m.dst.insert(m.dst.end(), {v, u});
    m.bond_type.insert(m.bond_type.end(), 2, below(kBondTypes));
  };
  for (std::int32_t v = 1; v < atoms; ++v) bond(v - 1 - below(std::min(v, 2)), v);
  for (int i = 0; i < atoms / 6; ++i) {
    const std::int32_t u = below(n), v = below(n);
    if (std::abs(u - v) > 2) bond(u, v);
  }
  if (polymer) {
    m.edge_weight.assign(m.src.size(), 1.0);
    bond(0, n - 1);
    bond(n / 2, n / 2);  // a copy of itself
    m.edge_weight.insert(m.edge_weight.end(), {0.25, 0.5, 0.125, 0.375});
    for (int v = 0; v < n; ++v) m.atom_weight.push_back(v < n / 2 ? 0.25 : 0.75);
    m.dop = 2.5;
  }
  m.target = test::random_values(static_cast<std::size_t>(targets), seed + 1);
  if (targets > 1) m.target[seed % static_cast<std::uint64_t>(targets)] = std::nan("");
  m.descriptors = test::random_values(static_cast<std::size_t>(descriptors), seed + 2);
  return m;
}

/// The same molecule with other numbers of atoms and bonds.
inline TestMolecule renumbered(const TestMolecule& m, std::uint64_t seed) {
  const auto shuffled = [seed](std::size_t n) {
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto key = test::random_values(n, seed);
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return key[a] < key[b]; });
    return order;
  };
  const auto atoms = shuffled(m.atom_type.size()), bonds = shuffled(m.src.size() / 2);
  TestMolecule out = m;
  std::vector<std::int32_t> place(atoms.size());
  for (std::size_t v = 0; v < atoms.size(); ++v) {
    out.atom_type[v] = m.atom_type[atoms[v]];
    if (!m.atom_weight.empty()) out.atom_weight[v] = m.atom_weight[atoms[v]];
    place[atoms[v]] = static_cast<std::int32_t>(v);
  }
  for (std::size_t k = 0; k < bonds.size(); ++k) {
    for (std::size_t i = 0; i < 2; ++i) {
      const std::size_t to = 2 * k + i, from = 2 * bonds[k] + (i ^ (k & 1U));
      out.src[to] = place[static_cast<std::size_t>(m.src[from])];
      out.dst[to] = place[static_cast<std::size_t>(m.dst[from])];
      out.bond_type[to] = m.bond_type[from];
      if (!m.edge_weight.empty()) out.edge_weight[to] = m.edge_weight[from];
    }
  }
  return out;
}

inline std::vector<MoleculeView> views_of(const std::vector<TestMolecule>& molecules) {
  std::vector<MoleculeView> out;
  for (const TestMolecule& m : molecules) out.push_back(m.view());
  return out;
}

/// A batch of all molecules, with classes if the options share.
inline HostMoleculeBatch batch_of(const ModelOptions& options, const std::vector<TestMolecule>& molecules) {
  const auto views = views_of(molecules);
  std::vector<std::int64_t> samples(views.size());
  std::iota(samples.begin(), samples.end(), std::int64_t{0});
  const MoleculeClasses classes = options.shares() ? MoleculeClasses(views, options.depth, options.undirected) : MoleculeClasses();
  HostMoleculeBatch batch;
  batch.num_descriptors = options.descriptors;
  collate(options, views, samples, options.shares() ? &classes : nullptr, kAtomTypes, kBondTypes, batch);
  return batch;
}

}  // namespace gnn_hpc::dmpnn
