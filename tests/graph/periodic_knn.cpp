// SPDX-License-Identifier: Apache-2.0
#include "graph/periodic_knn.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <string>
#include <thread>

#include "base/error.hpp"
#include "graph/brute_force_graph.hpp"
#include "support/hdf5_values.hpp"
#include "support/paths.hpp"

namespace gnn_hpc {
namespace {

using Lattice = std::array<double, 9>;

std::map<test::BruteForceGraph::Edge, int> as_map(const CrystalGraph& g) {
  std::map<test::BruteForceGraph::Edge, int> out;
  for (std::int64_t e = 0; e < g.num_edges(); ++e) {
    out[{g.v[e], g.u[e], g.image[3 * e], g.image[3 * e + 1], g.image[3 * e + 2]}] = g.mult[e];
  }
  return out;
}

/// Structure that must hold for every graph: canonical order, no duplicates, CSR, symmetry.
void expect_well_formed(const CrystalGraph& g) {
  const auto key = [&](std::int64_t e) { return std::array<int, 5>{g.v[e], g.u[e], g.image[3 * e], g.image[3 * e + 1], g.image[3 * e + 2]}; };
  ASSERT_EQ(g.row_ptr.size(), static_cast<std::size_t>(g.num_nodes) + 1);
  ASSERT_EQ(g.row_ptr.back(), g.num_edges());
  for (std::int64_t e = 1; e < g.num_edges(); ++e) ASSERT_LT(key(e - 1), key(e)) << "edge " << e;
  for (int v = 0; v < g.num_nodes; ++v) {
    for (int e = g.row_ptr[v]; e < g.row_ptr[v + 1]; ++e) ASSERT_EQ(g.v[e], v);
  }
  const auto edges = as_map(g);
  for (const auto& [k, mult] : edges) {
    const auto reverse = edges.find({k[1], k[0], -k[2], -k[3], -k[4]});
    ASSERT_NE(reverse, edges.end());
    ASSERT_EQ(reverse->second, mult);
    ASSERT_TRUE(mult == 1 || mult == 2);
  }
}

TEST(PeriodicKnn, EqualsEveryReferenceGraph) {
  const std::string path = test::shared_path("reference/fixtures/comformer_graphs.h5").string();
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path << "; set GNN_HPC_SHARED";
  const test::Hdf5Values file(path);
  CrystalGraphWorkspace workspace;  // one for all: nothing of one crystal may leak into the next
  CrystalGraph graph;
  int compared = 0;
  for (const std::string& group : file.groups()) {
    SCOPED_TRACE(group);
    const auto cell = file.dataset(group + "/inputs/lattice"), frac = file.dataset(group + "/inputs/frac");
    const CrystalGraphOptions options{.max_neighbors = static_cast<int>(file.attribute(group, "k")),
                                      .use_lattice = file.attribute(group, "use_lattice") != 0};
    Lattice lattice;
    std::copy_n(cell.begin(), 9, lattice.begin());
    build_crystal_graph(lattice, frac, options, workspace, graph);
    expect_well_formed(graph);
    const auto u = file.dataset(group + "/expected/u"), v = file.dataset(group + "/expected/v"), image = file.dataset(group + "/expected/image"),
               mult = file.dataset(group + "/expected/mult"), vec = file.dataset(group + "/expected/vec"),
               triple = file.dataset(group + "/expected/lattice_images");
    ASSERT_EQ(graph.u.size(), u.size());
    for (std::size_t e = 0; e < u.size(); ++e) {
      ASSERT_EQ(graph.u[e], u[e]);
      ASSERT_EQ(graph.v[e], v[e]);
      ASSERT_EQ(graph.mult[e], mult[e]);
      for (int c = 0; c < 3; ++c) ASSERT_EQ(graph.image[3 * e + c], image[3 * e + c]);
      const auto r = edge_vector(lattice, &workspace.frac[3 * graph.u[e]], &workspace.frac[3 * graph.v[e]], &graph.image[3 * e]);
      for (int c = 0; c < 3; ++c) ASSERT_NEAR(r[c], vec[3 * e + c], 1e-12);
    }
    for (int c = 0; c < 9; ++c) ASSERT_EQ(graph.lattice_images[c], triple[c]);
    ++compared;
  }
  EXPECT_GE(compared, 100);
}

/// Random cells of many kinds; coordinates either anywhere or on a grid of simple fractions, which makes exact ties.
struct RandomCrystals {
  std::mt19937_64 engine{20240611};
  double uniform(double lo, double hi) { return std::uniform_real_distribution<double>(lo, hi)(engine); }
  int integer(int lo, int hi) { return std::uniform_int_distribution<int>(lo, hi)(engine); }

  Lattice cell(int kind) {
    const double a = uniform(2.2, 6), s = std::sqrt(3.0) / 2;
    switch (kind) {
      case 0:
        return {a, 0, 0, 0, a, 0, 0, 0, a};  // cubic
      case 1:
        return {0, a, a, a, 0, a, a, a, 0};  // fcc primitive
      case 2:
        return {-a, a, a, a, -a, a, a, a, -a};  // bcc primitive
      case 3:
        return {a, 0, 0, -a / 2, a * s, 0, 0, 0, uniform(2, 9)};  // hexagonal
      case 4:
        return {a, 0, 0, 0, a, 0, integer(-2, 2) * a, integer(-2, 2) * a, a};  // skewed cubic, left as is
      case 5:
        return {uniform(1.2, 2), 0, 0, 0, uniform(1.2, 2), 0, uniform(-3, 3), 0, uniform(15, 40)};  // needle
      case 6:
        return {uniform(6, 12), 0, 0, uniform(-20, 20), uniform(6, 12), 0, 0, 1, uniform(1.0, 1.6)};  // flat
      case 7:
        return {0.9 * a, 0, 0, 0.88 * a, 0.2 * a, 0, 0.87 * a, 0.1 * a, 0.25 * a};  // three almost parallel vectors
      default: {
        Lattice m;
        do {
          for (double& x : m) x = uniform(-6, 6);
        } while (cell_volume(m) < 8);
        return m;  // both handednesses
      }
    }
  }
  static double cell_volume(const Lattice& m) {
    return std::abs(m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6]));
  }
  std::vector<double> coordinates(int n, bool grid) {
    static const double simple[] = {0, 0.25, 0.5, 0.75, 1.0 / 3, 2.0 / 3, 0.125, -0.5, 1, 1.5, -1e-17};
    std::vector<double> out(3 * n);
    for (double& f : out) f = grid ? simple[integer(0, 10)] : uniform(-1.5, 2.5);
    return out;
  }
};

TEST(PeriodicKnn, EqualsBruteForceOnTenThousandCells) {
  constexpr int kCells = 10000;
  RandomCrystals random;
  CrystalGraphWorkspace workspace;
  CrystalGraph graph;
  int ambiguous = 0, tied = 0;
  for (int t = 0; t < kCells; ++t) {
    SCOPED_TRACE(t);
    const bool grid = t % 3 != 0;
    const Lattice lattice = random.cell(t % 11);
    auto frac = random.coordinates(random.integer(1, t % 50 == 0 ? 12 : 4), grid);
    if (t % 7 == 0) {  // a cluster and one atom far from it: spheres of very different size
      for (std::size_t i = 3; i < frac.size(); ++i) frac[i] = 0.4 + 0.1 * frac[i];
    }
    const int k = random.integer(1, 25);
    const bool use_lattice = random.integer(0, 3) != 0;
    const test::BruteForceGraph expected(lattice, frac, k, use_lattice);
    if (expected.gap < 1e-9) {  // a decision on the edge of a threshold: rounding decides, both answers are right
      ++ambiguous;
      continue;
    }
    build_crystal_graph(lattice, frac, {.max_neighbors = k, .use_lattice = use_lattice}, workspace, graph);
    ASSERT_EQ(graph.lattice_images, expected.triple);
    ASSERT_EQ(as_map(graph), expected.edges);
    expect_well_formed(graph);
    int degree = 0;
    for (const auto mult : graph.mult) degree += mult;
    tied += degree > 2 * k * static_cast<int>(frac.size() / 3) + 6;
  }
  EXPECT_LT(ambiguous, kCells / 100);
  EXPECT_GT(tied, kCells / 10);  // the collection does contain ties
}

/// Cells above `kManyAtoms`, found box by box: compact, long and flat ones, with ties, clusters and vacuum.
TEST(PeriodicKnn, LargeCellsEqualBruteForce) {
  constexpr int kCells = 60;
  RandomCrystals random;
  CrystalGraphWorkspace workspace;
  CrystalGraph graph;
  int compared = 0;
  for (int t = 0; t < kCells; ++t) {
    SCOPED_TRACE(t);
    const int n = random.integer(150, 180);
    Lattice lattice = random.cell(t % 4);
    const double stretch = n * random.uniform(6, 20) / RandomCrystals::cell_volume(lattice);
    const int longest = random.integer(0, 3);  // 3: all alike
    for (int c = 0; c < 9; ++c) {
      const double one = std::cbrt(stretch);
      lattice[c] *= longest == 3 ? one : c / 3 == longest ? 2.25 * one : one / 1.5;
    }
    auto frac = random.coordinates(n, t % 3 == 0);
    if (t % 4 == 1) {  // a slab, and one atom in the vacuum
      for (std::size_t i = 5; i < frac.size(); i += 3) frac[i] = 0.5 * (frac[i] - std::floor(frac[i]));
      frac[2] = 0.75;
    }
    const int k = random.integer(1, 25);
    const test::BruteForceGraph expected(lattice, frac, k, true);
    if (expected.gap < 1e-9) continue;
    build_crystal_graph(lattice, frac, {.max_neighbors = k}, workspace, graph);
    ASSERT_EQ(as_map(graph), expected.edges);
    expect_well_formed(graph);
    ++compared;
  }
  EXPECT_GT(compared, kCells * 3 / 4);
}

/// Work grows with the atoms, not with their square: eight times the atoms, eight times the candidates.
TEST(PeriodicKnn, LargeCellsLookAtNearAtomsOnly) {
  CrystalGraphWorkspace workspace;
  CrystalGraph graph;
  const auto looked_at = [&](int atoms_a_side) {
    RandomCrystals random;
    std::vector<double> frac;
    for (int i = 0; i < atoms_a_side; ++i) {
      for (int j = 0; j < atoms_a_side; ++j) {
        for (int l = 0; l < atoms_a_side; ++l) {
          for (const int x : {i, j, l}) frac.push_back((x + random.uniform(0, 0.3)) / atoms_a_side);
        }
      }
    }
    const double a = 2.7 * atoms_a_side;
    build_crystal_graph(Lattice{a, 0, 0, 0, a, 0, 0, 0, a}, frac, {.max_neighbors = 12}, workspace, graph);
    std::int64_t looked = 0;
    for (std::size_t i = 0; i < frac.size(); i += 3) {
      workspace.cells.visit_rows(&workspace.frac[i], workspace.radius[i / 3], [&](int begin, int end, const auto&) { looked += end - begin; });
    }
    return looked;
  };
  EXPECT_LT(looked_at(16), 9 * looked_at(8));
}

TEST(PeriodicKnn, DoesNotDependOnOrderOriginOrWholeCellShifts) {
  const Lattice lattice{4.1, 0.2, 0, -1.3, 5.2, 0.1, 0.4, 0.3, 6.0};
  const std::vector<double> frac{0.11, 0.22, 0.33, 0.61, 0.72, 0.13, 0.91, 0.42, 0.83, 0.35, 0.05, 0.57};
  CrystalGraphWorkspace workspace;
  CrystalGraph graph;
  const auto lengths = [&](const std::vector<double>& f) {
    build_crystal_graph(lattice, f, {.max_neighbors = 12}, workspace, graph);
    std::vector<double> out;
    for (std::int64_t e = 0; e < graph.num_edges(); ++e) {
      const auto r = edge_vector(lattice, &workspace.frac[3 * graph.u[e]], &workspace.frac[3 * graph.v[e]], &graph.image[3 * e]);
      out.push_back(std::hypot(r[0], r[1], r[2]));
    }
    std::sort(out.begin(), out.end());
    return out;
  };
  const auto expected = lengths(frac);
  auto shifted = frac, moved = frac;
  for (std::size_t i = 0; i < frac.size(); ++i) shifted[i] += 0.377, moved[i] += static_cast<int>(i % 5) - 2;
  std::vector<double> reversed;
  for (int a = 3; a >= 0; --a) reversed.insert(reversed.end(), frac.begin() + 3 * a, frac.begin() + 3 * a + 3);
  for (const auto& f : {shifted, moved, reversed}) {
    const auto got = lengths(f);
    ASSERT_EQ(got.size(), expected.size());
    for (std::size_t e = 0; e < got.size(); ++e) EXPECT_NEAR(got[e], expected[e], 1e-12);
  }
}

TEST(PeriodicKnn, CutoffHasNoEffect) {
  const Lattice lattice{4, 0, 0, 0, 4, 0, 0, 0, 4};
  const std::vector<double> frac{0, 0, 0, 0.5, 0.5, 0.5};
  CrystalGraphWorkspace workspace;
  CrystalGraph a, b;
  build_crystal_graph(lattice, frac, {.max_neighbors = 20, .cutoff = 0.01}, workspace, a);
  build_crystal_graph(lattice, frac, {.max_neighbors = 20, .cutoff = 80}, workspace, b);
  EXPECT_EQ(as_map(a), as_map(b));
}

TEST(PeriodicKnn, ReusesItsMemory) {
  RandomCrystals random;
  CrystalGraphWorkspace workspace;
  CrystalGraph graph;
  const Lattice lattice = random.cell(8);
  const auto frac = random.coordinates(8, false);
  build_crystal_graph(lattice, frac, {}, workspace, graph);
  const auto* u = graph.u.data();
  const auto* image = graph.image.data();
  const auto* squared = workspace.squared.data();
  build_crystal_graph(lattice, frac, {}, workspace, graph);
  EXPECT_EQ(graph.u.data(), u);
  EXPECT_EQ(graph.image.data(), image);
  EXPECT_EQ(workspace.squared.data(), squared);
}

TEST(PeriodicKnn, ThreadsAgreeBitForBit) {
  constexpr int kCrystals = 200;
  const auto build_all = [](int first, int stride, std::vector<CrystalGraph>& out) {
    CrystalGraphWorkspace workspace;
    RandomCrystals random;
    for (int t = 0; t < kCrystals; ++t) {
      const Lattice lattice = random.cell(t % 11);
      const auto frac = random.coordinates(random.integer(1, 6), t % 2 == 0);
      if (t % stride == first) build_crystal_graph(lattice, frac, {.max_neighbors = 12}, workspace, out[t]);
    }
  };
  std::vector<CrystalGraph> one(kCrystals), many(kCrystals);
  build_all(0, 1, one);
  std::vector<std::thread> threads;
  for (int r = 0; r < 4; ++r) threads.emplace_back(build_all, r, 4, std::ref(many));
  for (auto& thread : threads) thread.join();
  for (int t = 0; t < kCrystals; ++t) EXPECT_EQ(as_map(one[t]), as_map(many[t]));
}

TEST(PeriodicKnn, LongNeedleNeedsMoreThanEightBits) {
  const Lattice lattice{1.0, 0, 0, 0, 1.0, 0, 400.5, 0, 200};  // l3 = c - 400 a or - 401 a
  CrystalGraphWorkspace workspace;
  CrystalGraph graph;
  build_crystal_graph(lattice, std::vector<double>{0, 0, 0}, {.max_neighbors = 4}, workspace, graph);
  EXPECT_GT(std::abs(graph.lattice_images[6]), 127);
  expect_well_formed(graph);
}

TEST(PeriodicKnn, RefusesWhatHasNoGraph) {
  CrystalGraphWorkspace workspace;
  CrystalGraph graph;
  const std::vector<double> one{0, 0, 0}, none, bad{0, std::nan(""), 0};
  const Lattice cube{3, 0, 0, 0, 3, 0, 0, 0, 3}, flat{3, 0, 0, 3, 0, 0, 0, 0, 3}, zero{}, tiny{1e-3, 0, 0, 0, 1e-3, 0, 0, 0, 1e-3};
  const auto code = [&](const Lattice& lattice, const std::vector<double>& frac, int k) {
    try {
      build_crystal_graph(lattice, frac, {.max_neighbors = k}, workspace, graph);
    } catch (const Error& error) {
      return error.code();
    }
    return Exit::ok;
  };
  EXPECT_EQ(code(cube, one, 0), Exit::usage);
  EXPECT_EQ(code(cube, none, 4), Exit::data);
  EXPECT_EQ(code(cube, bad, 4), Exit::data);
  EXPECT_EQ(code(flat, one, 4), Exit::data);
  EXPECT_EQ(code(zero, one, 4), Exit::data);
  EXPECT_EQ(code(tiny, one, 4), Exit::data);
  EXPECT_EQ(code(cube, one, 4), Exit::ok);  // and the workspace is still good
}

}  // namespace
}  // namespace gnn_hpc
