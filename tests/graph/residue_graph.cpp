// SPDX-License-Identifier: Apache-2.0
#include "graph/residue_graph.hpp"

#include "base/error.hpp"
#include "support/protein_goldens.hpp"
#include "support/views.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace gnn_hpc {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

/// Residues whose CA stand at `alpha` [3N], the other atoms beside them.
std::vector<double> residues_at(const std::vector<double>& alpha) {
  std::vector<double> out;
  for (std::size_t i = 0; i < alpha.size() / 3; ++i) {
    for (const std::array<double, 3>& shift : {std::array{-1.2, 0.5, 0.1}, {0.0, 0.0, 0.0}, {1.1, 0.7, -0.3}, {1.4, 1.8, 0.2}}) {
      for (std::size_t c = 0; c < 3; ++c) out.push_back(alpha[3 * i + c] + shift[c]);
    }
  }
  return out;
}

std::vector<int> all_pairs(const ResidueGraph& g, int top_k) {
  std::vector<int> out;
  for (int i = 0; i < g.num_nodes; ++i) {
    if (!g.complete[static_cast<std::size_t>(i)]) continue;
    std::vector<std::pair<double, int>> others;
    for (int j = 0; j < g.num_nodes; ++j) {
      if (j == i || !g.complete[static_cast<std::size_t>(j)]) continue;
      double d[3];
      for (std::size_t c = 0; c < 3; ++c) d[c] = g.position[3 * static_cast<std::size_t>(j) + c] - g.position[3 * static_cast<std::size_t>(i) + c];
      others.emplace_back(d[0] * d[0] + d[1] * d[1] + d[2] * d[2], j);
    }
    std::sort(others.begin(), others.end());
    for (std::size_t n = 0; n < std::min(others.size(), static_cast<std::size_t>(top_k)); ++n) out.push_back(others[n].second);
  }
  return out;
}

void expect_near(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance) << i;
}

TEST(ResidueGraph, NearestEqualBruteForceTiesIncluded) {
  for (const int n : {2, 3, 7, 40, 300, 900}) {
    for (const int kind : {0, 1, 2, 3}) {  // even, on a grid (all ties), a line, two far clusters
      auto alpha = test::random_values(3 * static_cast<std::size_t>(n), static_cast<std::uint64_t>(100 * n + kind));
      for (std::size_t i = 0; i < alpha.size(); ++i) {
        alpha[i] *= kind == 2 && i % 3 != 0 ? 0.0 : 4.0 * std::cbrt(n);
        if (kind == 1) alpha[i] = std::round(alpha[i] / 3.8);
        if (kind == 3 && i > alpha.size() / 2) alpha[i] += 5000.0;
      }
      auto coords = residues_at(alpha);
      for (std::size_t r = 5; r < static_cast<std::size_t>(n); r += 11) coords[12 * r + 9] = kMissing;
      for (const int k : {1, 30}) {
        const ResidueGraph g = build_residue_graph(coords, k);
        EXPECT_EQ(g.src, all_pairs(g, k)) << n << " residues, kind " << kind;
        EXPECT_EQ(g.in_ptr.back(), g.num_edges());
      }
    }
  }
}

TEST(ResidueGraph, WhatIsMissingHasNoEdgesAndNoDirections) {
  EXPECT_EQ(build_residue_graph({}, 30).num_nodes, 0);
  const auto one = build_residue_graph(residues_at({1, 2, 3}), 30);
  EXPECT_EQ(one.num_edges(), 0);
  EXPECT_EQ(one.node_s, (std::vector<double>{1, 1, 1, 0, 0, 0}));

  auto coords = residues_at({0, 0, 0, 3.8, 0, 0, 7.6, 1, 0});
  coords[12 + 11] = kMissing;  // an O alone masks its residue
  const auto g = build_residue_graph(coords, 30);
  EXPECT_EQ(g.complete, (std::vector<std::uint8_t>{1, 0, 1}));
  EXPECT_EQ(g.src, (std::vector<int>{2, 0}));
  EXPECT_EQ(g.in_ptr, (std::vector<int>{0, 1, 1, 2}));
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(g.node_v[9 + i], 0.0);
  EXPECT_EQ(g.position[3], 0.0);
  EXPECT_THROW(build_residue_graph(coords, 0), Error);
}

/// An atom written as 1e308 is a number: nothing overflows into an index.
TEST(ResidueGraph, AbsurdCoordinatesAreHarmless) {
  const auto g = build_residue_graph(residues_at({0, 0, 0, 1e308, 0, 0, -1e308, 1, 0, 5, 5, 5}), 2);
  EXPECT_EQ(g.num_edges(), 8);
}

TEST(ResidueGraph, EqualsEveryStructureOfTheReference) {
  test::for_each_golden_structure([](const test::Hdf5Values& values, const std::string& name) {
    const auto set = [&](const char* what) { return values.dataset("structures/" + name + "/" + what); };
    const auto coords = set("coords"), edges = set("edge_index"), node_s = set("node_s"), node_v = set("node_v"), edge_s = set("edge_s"),
               edge_v = set("edge_v");
    const ResidueGraph g = build_residue_graph(coords, 30);
    ASSERT_EQ(2 * g.src.size(), edges.size());
    for (std::size_t e = 0; e < g.src.size(); ++e) ASSERT_EQ(g.src[e], edges[e]) << e;
    expect_near(g.node_s, node_s, 1e-10);
    std::vector<double> channels_first(g.node_v.size());
    for (std::size_t i = 0; i < g.node_v.size(); ++i) channels_first[i / 9 * 9 + i % 3 * 3 + i % 9 / 3] = g.node_v[i];
    expect_near(channels_first, node_v, 1e-10);

    const ResidueEdgeFeatures features = residue_edge_features(g);
    const std::size_t step = g.num_nodes > 60 ? 8 : 1;  // of a long chain the file has every eighth edge
    std::vector<double> some_s, some_v;
    for (std::size_t e = 0; e < g.src.size(); e += step) {
      some_s.insert(some_s.end(), features.edge_s.begin() + static_cast<std::ptrdiff_t>(32 * e),
                    features.edge_s.begin() + static_cast<std::ptrdiff_t>(32 * (e + 1)));
      some_v.insert(some_v.end(), features.edge_v.begin() + static_cast<std::ptrdiff_t>(3 * e),
                    features.edge_v.begin() + static_cast<std::ptrdiff_t>(3 * (e + 1)));
    }
    expect_near(some_s, edge_s, 1e-10);
    expect_near(some_v, edge_v, 1e-10);
  });
}

}  // namespace
}  // namespace gnn_hpc
