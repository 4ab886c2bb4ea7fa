// SPDX-License-Identifier: Apache-2.0
// Colour refinement: which states are equal, and batches of their classes.
#include "models/dmpnn_diffpool/classes.hpp"

#include "base/error.hpp"
#include "models/dmpnn_diffpool/molecules.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace gnn_hpc::dmpnn {
namespace {

/// A chain or ring of equal atoms and bonds.
TestMolecule chain(int atoms, bool ring) {
  TestMolecule m;
  m.atom_type.assign(static_cast<std::size_t>(atoms), 1);
  for (int v = 0; v + (ring ? 0 : 1) < atoms; ++v) {
    const int u = (v + 1) % atoms;
    m.src.insert(m.src.end(), {v, u});
    m.dst.insert(m.dst.end(), {u, v});
    m.bond_type.insert(m.bond_type.end(), 2, 2);
  }
  m.target = {0.0};
  return m;
}

TEST(MoleculeClasses, OfChainsAndRings) {
  const std::vector<TestMolecule> molecules{chain(6, true), chain(9, true), chain(7, false), chain(1, false)};
  const MoleculeClasses classes(views_of(molecules), 3, false);
  EXPECT_EQ(classes.depth(), 3);
  EXPECT_EQ(classes.num_molecules(), 4);
  EXPECT_EQ(classes.h0_atom(), std::vector<int>{1});
  EXPECT_EQ(classes.h0_bond(), std::vector<int>{2});
  // h^1: something comes in, or nothing does, at the end of a chain. h^2: rings and inner bonds, second bonds, first bonds.
  EXPECT_EQ(classes.step(1).size(), 2);
  EXPECT_EQ(classes.step(2).size(), 3);
  // Rings are one atom, whatever their size, and it is that in the middle of the chain.
  const auto six = classes.of(0), nine = classes.of(1), seven = classes.of(2), one = classes.of(3);
  EXPECT_EQ(std::set<int>(six.begin(), six.end()).size(), 1U);
  EXPECT_EQ(six[0], nine[8]);
  EXPECT_EQ(seven[3], six[0]);
  for (std::size_t v = 0; v < 3; ++v) EXPECT_EQ(seven[v], seven[6 - v]);
  EXPECT_EQ(std::set<int>(seven.begin(), seven.end()).size(), 4U);
  EXPECT_EQ(std::count(seven.begin(), seven.end(), one[0]), 0);
  EXPECT_EQ(classes.nodes().size(), 5);
}

TEST(MoleculeClasses, DoNotDependOnTheOrderOfAtoms) {
  for (const bool undirected : {false, true}) {
    for (const bool polymer : {false, true}) {
      const TestMolecule m = random_molecule(17, 5, 1, 0, polymer);
      const std::vector<TestMolecule> both{m, renumbered(m, 8)};
      const MoleculeClasses one(views_of({m}), 4, undirected), two(views_of(both), 4, undirected);
      EXPECT_EQ(one.nodes().size(), two.nodes().size());
      for (int t = 1; t < 4; ++t) EXPECT_EQ(one.step(t).size(), two.step(t).size());
      std::multiset<int> first(two.of(0).begin(), two.of(0).end()), second(two.of(1).begin(), two.of(1).end());
      EXPECT_EQ(first, second);
    }
  }
}

/// Numbers that stand for states: sums of random functions of what enters. Atoms of one class have equal ones, of different classes different ones.
TEST(MoleculeClasses, AreEqualWhereStatesAre) {
  std::vector<TestMolecule> molecules;
  for (int i = 0; i < 60; ++i) molecules.push_back(random_molecule(1 + i % 6, static_cast<std::uint64_t>(i), 1, 0, i % 4 == 3));
  for (TestMolecule& m : molecules) {  // fewer kinds, so that states repeat
    for (auto& type : m.atom_type) type %= 2;
    for (auto& type : m.bond_type) type = 0;
  }
  const int depth = 3;
  const MoleculeClasses classes(views_of(molecules), depth, false);
  std::map<int, double> state_of;
  std::map<double, int> class_of;
  for (std::size_t i = 0; i < molecules.size(); ++i) {
    const TestMolecule& m = molecules[i];
    const auto weight = [&](std::size_t e) { return m.edge_weight.empty() ? 1.0 : m.edge_weight[e]; };
    std::vector<double> h0(m.src.size()), h, next(m.src.size());
    for (std::size_t e = 0; e < h0.size(); ++e) h0[e] = std::sin(1.0 + 3.0 * m.atom_type[static_cast<std::size_t>(m.src[e])] + 17.0 * m.bond_type[e]);
    h = h0;
    for (int t = 1; t < depth; ++t) {
      for (std::size_t e = 0; e < h.size(); ++e) {
        double sum = -h[e ^ 1U];
        for (std::size_t k = 0; k < h.size(); ++k) sum += m.dst[k] == m.src[e] ? weight(k) * h[k] : 0.0;
        next[e] = std::sin(5.0 * h0[e] + 3.0 * sum + t);
      }
      h = next;
    }
    for (std::size_t v = 0; v < m.atom_type.size(); ++v) {
      double sum = 11.0 * m.atom_type[v];
      for (std::size_t k = 0; k < h.size(); ++k) sum += m.dst[k] == static_cast<int>(v) ? weight(k) * h[k] : 0.0;
      const double rounded = std::round(1e9 * sum) / 1e9;
      const int id = classes.of(static_cast<std::int64_t>(i))[v];
      EXPECT_NEAR(state_of.emplace(id, sum).first->second, sum, 1e-10);
      EXPECT_EQ(class_of.emplace(rounded, id).first->second, id);
    }
  }
  EXPECT_LT(classes.nodes().size(), 200);  // of 210 atoms
}

TEST(MoleculeClasses, BatchesNumberOnlyWhatTheyUse) {
  ModelOptions o;
  o.encoder = Encoder::dmpnn;
  std::vector<TestMolecule> molecules;
  for (int i = 0; i < 12; ++i) molecules.push_back(random_molecule(5 + i, static_cast<std::uint64_t>(i)));
  const auto views = views_of(molecules);
  const MoleculeClasses classes(views, o.depth, false);
  HostMoleculeBatch one, again;
  const std::vector<std::int64_t> other{0, 3, 11}, sample{7};
  const std::vector<MoleculeView> many{views[0], views[3], views[11]}, single{views[7]};
  collate(o, single, sample, &classes, kAtomTypes, kBondTypes, one);
  EXPECT_LE(one.h0_atom.size(), static_cast<std::size_t>(one.num_edges));
  EXPECT_LE(one.nodes.residual.size(), static_cast<std::size_t>(one.num_nodes));
  collate(o, many, other, &classes, kAtomTypes, kBondTypes, again);
  collate(o, single, sample, &classes, kAtomTypes, kBondTypes, again);  // nothing of the batch before is left
  EXPECT_EQ(again.h0_atom, one.h0_atom);
  EXPECT_EQ(again.node_row, one.node_row);
  EXPECT_EQ(again.pool.weight, one.pool.weight);
  for (std::size_t t = 0; t < one.steps.size(); ++t) EXPECT_EQ(again.steps[t].in.item, one.steps[t].in.item);
  collate(o, {}, {}, &classes, kAtomTypes, kBondTypes, again);
  EXPECT_EQ(again.num_nodes, 0);
  EXPECT_EQ(again.loss_weight, 0.0);
}

TEST(MoleculeClasses, MoleculesThatDoNotFitAreRefused) {
  ModelOptions o;
  o.encoder = Encoder::dmpnn;
  const std::vector<std::int64_t> sample{0};
  HostMoleculeBatch batch;
  const auto refused = [&](auto&& spoil) {
    TestMolecule m = random_molecule(6, 1);
    spoil(m);
    const std::vector<MoleculeView> views{m.view()};
    EXPECT_THROW(collate(o, views, sample, nullptr, kAtomTypes, kBondTypes, batch), Error);
  };
  refused([](TestMolecule& m) { m.atom_type[2] = kAtomTypes; });
  refused([](TestMolecule& m) { m.bond_type[1] = -1; });
  refused([](TestMolecule& m) { m.dst[0] = 6; });
  refused([](TestMolecule& m) { std::swap(m.src[1], m.dst[1]); });
  refused([](TestMolecule& m) { m.atom_type.clear(); });
  refused([](TestMolecule& m) { m.src.pop_back(); });
}

}  // namespace
}  // namespace gnn_hpc::dmpnn
