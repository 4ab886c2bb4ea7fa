// SPDX-License-Identifier: Apache-2.0
#include "nn/hypergraph.hpp"
#include "support/views.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using test::values_of;

MixingOperator operator_of(int nodes, int size, bool paper, bool softplus, int convolutions = 2) {
  MixingOperator o;
  o.init(Hypergraph::all_sets(nodes, size), convolutions, paper, softplus);
  return o;
}

TEST(Hypergraph, SetsInLexicographicOrder) {
  const Hypergraph pairs = Hypergraph::all_sets(4, 2);
  EXPECT_EQ(pairs.num_edges, 6);
  EXPECT_EQ(pairs.edge_node, (std::vector<int>{0, 1, 0, 2, 0, 3, 1, 2, 1, 3, 2, 3}));
  EXPECT_EQ(pairs.node_ptr, (std::vector<int>{0, 3, 6, 9, 12}));
  EXPECT_EQ(pairs.node_edge, (std::vector<int>{0, 1, 2, 0, 3, 4, 1, 3, 5, 2, 4, 5}));
  const Hypergraph triplets = Hypergraph::all_sets(4, 3);
  EXPECT_EQ(triplets.edge_node, (std::vector<int>{0, 1, 2, 0, 1, 3, 0, 2, 3, 1, 2, 3}));
  EXPECT_EQ(Hypergraph::all_sets(3, 0).edge_node, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(Hypergraph::all_sets(16, 3).num_edges, 560);
  EXPECT_EQ(Hypergraph::all_sets(1, 2).num_edges, 0);
  EXPECT_EQ(Hypergraph::all_sets(2, 3).num_edges, 0);
}

TEST(MixingOperator, MatchesTheDefinition) {
  for (const int size : {2, 3, 0}) {
    for (const bool paper : {false, true}) {
      for (const bool softplus : {false, true}) {
        const MixingOperator o = operator_of(5, size, paper, softplus);
        const Hypergraph& g = o.graph;
        const auto raw = test::random_values(static_cast<std::size_t>(g.num_edges), 3);
        o.update(Exec(), test::array_of<double>(raw));
        Kokkos::fence();
        std::vector<double> expected(25, 0.0), degree(5, 0.0);
        for (int e = 0; e < g.num_edges; ++e) {
          const int begin = g.edge_ptr[static_cast<std::size_t>(e)], end = g.edge_ptr[static_cast<std::size_t>(e) + 1];
          const double w = softplus ? std::log1p(std::exp(raw[static_cast<std::size_t>(e)])) : raw[static_cast<std::size_t>(e)];
          for (int i = begin; i < end; ++i) {
            const int v = g.edge_node[static_cast<std::size_t>(i)];
            degree[static_cast<std::size_t>(v)] += w;
            for (int k = begin; k < end; ++k) {
              expected[static_cast<std::size_t>(5 * v + g.edge_node[static_cast<std::size_t>(k)])] += (paper ? w : 1.0) / (end - begin);
            }
          }
        }
        for (std::size_t i = 0; i < 25; ++i) expected[i] /= degree[i / 5];
        EXPECT_LT(test::relative_difference(values_of(o.matrix), expected), 1e-14);
      }
    }
  }
}

// Weights that are all 1 make M doubly stochastic: the mean over experts passes through unchanged.
TEST(MixingOperator, UnitWeightsKeepTheMean) {
  for (const int size : {2, 3, 0}) {
    const MixingOperator o = operator_of(6, size, false, false, 3);
    o.update(Exec(), View1<double>());
    Kokkos::fence();
    for (const double v : values_of(o.power)) EXPECT_NEAR(v, 1.0 / 6.0, 1e-15);
    for (const double s : values_of(o.power_sum)) EXPECT_NEAR(s, 1.0, 1e-14);
  }
}

TEST(MixingOperator, VanishingDegreeGivesAZeroRow) {
  const MixingOperator o = operator_of(3, 2, false, false);
  o.update(Exec(), test::array_of<double>({1.25, -1.25, 0.5}));
  const View2<double> dmatrix = test::random_matrix<double>(3, 3, 2);
  const View1<double> draw("draw", 3);
  o.backward_weights(Exec(), test::array_of<double>({1.25, -1.25, 0.5}), dmatrix, draw);
  Kokkos::fence();
  const auto m = values_of(o.matrix);
  for (int u = 0; u < 3; ++u) EXPECT_EQ(m[static_cast<std::size_t>(u)], 0.0);
  EXPECT_TRUE(test::all_finite(values_of(draw)));
}

// The gradient of <A, M> + <b, v_n> + <c, sums of v> with respect to the weights, through `backward_powers` and `backward_weights`.
TEST(MixingOperator, WeightGradientsMatchDifferences) {
  for (const int size : {2, 3}) {
    for (const bool paper : {false, true}) {
      for (const bool softplus : {false, true}) {
        const int n = 3, nodes = 4;
        const MixingOperator o = operator_of(nodes, size, paper, softplus, n);
        auto raw = test::random_values(static_cast<std::size_t>(o.graph.num_edges), 9);
        for (double& w : raw) w = 0.5 + std::fabs(w);
        const auto b = test::random_values(4, 10), c = test::random_values(static_cast<std::size_t>(n), 11);
        const auto loss = [&](const std::vector<double>& w) {
          o.update(Exec(), test::array_of<double>(w));
          Kokkos::fence();
          const auto power = values_of(o.power), sums = values_of(o.power_sum);
          double out = 0.0;
          for (int v = 0; v < nodes; ++v) out += b[static_cast<std::size_t>(v)] * power[static_cast<std::size_t>(n * nodes + v)];
          for (int l = 1; l <= n; ++l) out += c[static_cast<std::size_t>(l - 1)] * sums[static_cast<std::size_t>(n - l)];
          return out;
        };
        loss(raw);
        std::vector<double> dv(8, 0.0), da(static_cast<std::size_t>(n) + 1, 0.0);
        std::copy(b.begin(), b.end(), dv.begin());
        std::copy(c.begin(), c.end(), da.begin() + 1);
        const View2<double> dmatrix = test::nan_matrix<double>(4, 4);
        const View1<double> draw("draw", raw.size());
        o.backward_powers(Exec(), test::array_of<double>(dv), test::array_of<double>(da), dmatrix);
        o.backward_weights(Exec(), test::array_of<double>(raw), dmatrix, draw);
        Kokkos::fence();
        const auto gradient = values_of(draw);
        for (std::size_t e = 0; e < raw.size(); ++e) {
          const double h = 1e-3;
          const auto at = [&](double shift) {
            auto w = raw;
            w[e] += shift;
            return loss(w);
          };
          const double numeric = (8.0 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12.0 * h);
          EXPECT_NEAR(gradient[e], numeric, 1e-7 * (1.0 + std::fabs(numeric))) << "hyperedge " << e << ", size " << size;
        }
      }
    }
  }
}

}  // namespace
}  // namespace gnn_hpc
