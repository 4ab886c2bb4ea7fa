// SPDX-License-Identifier: Apache-2.0
// Pooling against dense matrices and the published triple loop, and its gradients.
#include "nn/diff_pool.hpp"

#include "nn/molecular_graphs.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace gnn_hpc {
namespace {

using test::random_matrix;
using test::TestGraphs;
using test::TestStep;
using test::values_of;

struct PoolCase {
  const char* name;
  std::vector<int> sizes{9, 1, 14};
  double ratio = 0.5;
  PoolOptions options{};
  bool shared = false;  ///< nodes share rows of z
};
void PrintTo(const PoolCase& c, std::ostream* os) { *os << c.name; }

/// Graphs of a level with z [R,4], logits [R,head] and features of edges [M,3].
struct Pooled {
  static constexpr std::size_t kWidth = 4, kFeatures = 3;
  TestGraphs graphs;
  std::vector<int> cluster_ptr{0}, row;
  test::Gathers gathers;
  PoolLevel<double> level;
  DiffPool<double> pool;
  View2<double> z, logits, features;
  int largest = 0;

  explicit Pooled(const PoolCase& c) : graphs(test::random_graphs(c.sizes, 5)), pool{c.options} {
    const TestGraphs& g = graphs;
    std::vector<int> node_graph;
    for (int i = 0; i < g.graphs(); ++i) {
      const int n = size(i), clusters = std::max(1, static_cast<int>(std::ceil(c.ratio * n)));
      node_graph.insert(node_graph.end(), static_cast<std::size_t>(n), i);
      cluster_ptr.push_back(cluster_ptr.back() + clusters);
      largest = std::max(largest, clusters);
    }
    row.resize(static_cast<std::size_t>(g.nodes()));
    std::iota(row.begin(), row.end(), 0);
    const int rows = c.shared ? std::min(4, g.nodes()) : g.nodes();
    if (c.shared) {
      for (int& r : row) r %= 4;
    }
    level.num_graphs = g.graphs();
    level.num_nodes = g.nodes();
    level.num_clusters = cluster_ptr.back();
    level.num_edges = g.edges();
    level.node_ptr = test::device_ints(g.node_ptr);
    level.cluster_ptr = test::device_ints(cluster_ptr);
    level.node_graph = test::device_ints(node_graph);
    level.graph_key = View1<std::uint64_t>("keys", static_cast<std::size_t>(g.graphs()));
    if (c.shared) level.node_row = test::device_ints(row);
    level.row_nodes = gathers.groups(row, rows);
    const Gather<double> out = gathers.groups(g.src, g.nodes());
    level.out_ptr = out.ptr;
    level.out_item = out.item;
    level.dst = test::device_ints(g.dst);
    z = random_matrix<double>(static_cast<std::size_t>(rows), kWidth, 1);
    logits =
        random_matrix<double>(static_cast<std::size_t>(rows), static_cast<std::size_t>(c.options.batch_columns ? cluster_ptr.back() : largest), 2);
    features = random_matrix<double>(static_cast<std::size_t>(g.edges()), kFeatures, 3);
  }
  int size(int g) const { return graphs.node_ptr[static_cast<std::size_t>(g) + 1] - graphs.node_ptr[static_cast<std::size_t>(g)]; }
  int clusters(int g) const { return cluster_ptr[static_cast<std::size_t>(g) + 1] - cluster_ptr[static_cast<std::size_t>(g)]; }

  /// S of one graph, dense, by the definition.
  std::vector<std::vector<double>> dense_s(int g) const {
    const auto all = values_of(logits);
    std::vector<std::vector<double>> s;
    for (int n = 0; n < size(g); ++n) {
      const auto r = static_cast<std::size_t>(row[static_cast<std::size_t>(graphs.node_ptr[static_cast<std::size_t>(g)] + n)]);
      const std::size_t first =
          r * logits.extent(1) + static_cast<std::size_t>(pool.options.batch_columns ? cluster_ptr[static_cast<std::size_t>(g)] : 0);
      const auto c = static_cast<std::size_t>(clusters(g));
      std::vector<std::size_t> order(c);
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return all[first + a] > all[first + b]; });
      if (pool.options.topk > 0) order.resize(std::min(c, static_cast<std::size_t>(pool.options.topk)));
      std::vector<double> s_n(c, 0.0);
      double sum = 0.0;
      for (const std::size_t p : order) sum += s_n[p] = std::exp(all[first + p]);
      for (double& v : s_n) v /= sum;
      s.push_back(s_n);
    }
    return s;
  }
};

class Pooling : public ::testing::TestWithParam<PoolCase> {};

/// V', the coarse edges with their features, and the losses: for every pair of clusters and every edge, as the published loop had it.
TEST_P(Pooling, IsTheTripleLoop) {
  const PoolCase p = GetParam();
  const Pooled t(p);
  TestStep<double> step(Mode::train);
  step.poison();
  const Assignment s = t.pool.assign(step, t.level, t.logits, t.largest);
  const auto v = step.arena.matrix<double>(static_cast<std::size_t>(t.level.num_clusters), Pooled::kWidth);
  t.pool.pool(step, t.level, s, t.z, v);
  const CoarseEdges<double> edges = t.pool.coarsen(step, t.level, s, t.features);
  const auto losses = step.arena.matrix<double>(static_cast<std::size_t>(t.level.num_graphs), 2);
  t.pool.auxiliary(step, t.level, s, 0.0, losses);
  step.exec.fence();

  const auto z = values_of(t.z), x = values_of(t.features);
  const PoolOptions& o = p.options;
  std::vector<double> expected_v, expected_w, expected_e, expected_losses, begin, end, reverse;
  for (int g = 0; g < t.level.num_graphs; ++g) {
    const auto dense = t.dense_s(g);
    const int n = t.size(g), c = t.clusters(g), first = t.graphs.node_ptr[static_cast<std::size_t>(g)],
              cluster = t.cluster_ptr[static_cast<std::size_t>(g)];
    std::vector<std::vector<double>> a(static_cast<std::size_t>(n), std::vector<double>(static_cast<std::size_t>(n)));
    const std::size_t pairs_before = begin.size();
    for (int i = 0; i < c; ++i) {
      for (std::size_t k = 0; k < Pooled::kWidth; ++k) {
        double sum = 0.0;
        for (int u = 0; u < n; ++u) {
          sum += dense[static_cast<std::size_t>(u)][static_cast<std::size_t>(i)] *
                 z[static_cast<std::size_t>(t.row[static_cast<std::size_t>(first + u)]) * Pooled::kWidth + k];
        }
        expected_v.push_back(sum);
      }
      for (int j = 0; j < c; ++j) {
        if (i == j) continue;
        double w = 0.0;
        std::vector<double> sum(Pooled::kFeatures, 0.0);
        for (std::size_t e = 0; e < t.graphs.src.size(); ++e) {
          const int u = t.graphs.src[e] - first, d = t.graphs.dst[e] - first;
          if (u < 0 || u >= n) continue;
          a[static_cast<std::size_t>(u)][static_cast<std::size_t>(d)] = o.scale;
          const double share =
              dense[static_cast<std::size_t>(u)][static_cast<std::size_t>(i)] * dense[static_cast<std::size_t>(d)][static_cast<std::size_t>(j)];
          w += share;
          for (std::size_t k = 0; k < Pooled::kFeatures; ++k) sum[k] += share * x[e * Pooled::kFeatures + k];
        }
        if (w == 0.0) continue;
        begin.push_back(cluster + i);
        end.push_back(cluster + j);
        expected_w.push_back(w);
        if (o.adjacency) expected_e.push_back(o.scale * w);
        for (std::size_t k = 0; k < Pooled::kFeatures && !o.adjacency; ++k) expected_e.push_back(sum[k] / std::max(w, 1e-8));
      }
    }
    for (std::size_t r = pairs_before; r < begin.size(); ++r) {
      std::size_t back = pairs_before;
      while (begin[back] != end[r] || end[back] != begin[r]) ++back;
      reverse.push_back(static_cast<double>(back));
    }
    for (std::size_t e = 0; e < t.graphs.src.size() && c == 1; ++e) {  // one cluster: no pairs above
      const int u = t.graphs.src[e] - first, d = t.graphs.dst[e] - first;
      if (u >= 0 && u < n) a[static_cast<std::size_t>(u)][static_cast<std::size_t>(d)] = o.scale;
    }
    double square = 0.0, entropy = 0.0;
    for (std::size_t u = 0; u < dense.size(); ++u) {
      for (std::size_t d = 0; d < dense.size(); ++d) {
        const double r = a[u][d] - std::inner_product(dense[u].begin(), dense[u].end(), dense[d].begin(), 0.0);
        square += r * r;
      }
      for (const double share : dense[u]) entropy -= std::max(share, 1e-8) * std::log(std::max(share, 1e-8));
    }
    expected_losses.push_back(o.lp_max_nodes > 0 && n > o.lp_max_nodes ? 0.0 : o.lambda_lp * std::sqrt(square));
    expected_losses.push_back(o.lambda_ent * entropy / n);
  }
  EXPECT_LT(test::relative_difference(values_of(v), expected_v), 1e-14);
  ASSERT_EQ(edges.num_pairs, static_cast<int>(begin.size()));
  EXPECT_EQ(values_of(edges.begin), begin);
  EXPECT_EQ(values_of(edges.end), end);
  EXPECT_EQ(values_of(edges.reverse), reverse);
  EXPECT_LT(test::relative_difference(values_of(edges.weight), expected_w), 1e-14);
  EXPECT_LT(test::relative_difference(values_of(edges.feature), expected_e), 1e-13);
  EXPECT_LT(test::relative_difference(values_of(losses), expected_losses), 1e-13);
}

/// From V', E' and the losses to z, the logits and the features of edges.
TEST_P(Pooling, HasItsGradients) {
  const PoolCase p = GetParam();
  const Pooled t(p);
  TestStep<double> step(Mode::train);
  const auto gradient_of = [](const View2<double>& x) { return test::nan_matrix<double>(x.extent(0), x.extent(1)); };
  const auto dz = gradient_of(t.z), dlogits = gradient_of(t.logits), dfeatures = gradient_of(t.features);
  Assignment s;
  CoarseEdges<double> edges;
  const std::size_t clusters = static_cast<std::size_t>(t.level.num_clusters);
  test::GradientCase c;
  c.forward = [&] {
    s = t.pool.assign(step, t.level, t.logits, t.largest);
    const auto v = step.arena.matrix<double>(clusters, Pooled::kWidth);
    t.pool.pool(step, t.level, s, t.z, v);
    edges = t.pool.coarsen(step, t.level, s, t.features);
    const auto losses = step.arena.matrix<double>(static_cast<std::size_t>(t.level.num_graphs), 2);
    t.pool.auxiliary(step, t.level, s, 0.0, losses);
    step.exec.fence();
    auto all = values_of(v);
    const auto e = values_of(edges.feature), l = values_of(losses);
    all.insert(all.end(), e.begin(), e.end());
    all.push_back(std::accumulate(l.begin(), l.end(), 0.0));
    return test::matrix_of<double>(1, all.size(), all);
  };
  c.backward = [&](View2<double> dy) {
    const auto all = values_of(dy);
    const std::size_t first = clusters * Pooled::kWidth;
    const auto dv = test::matrix_of<double>(clusters, Pooled::kWidth, {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(first)});
    const auto de =
        test::matrix_of<double>(edges.feature.extent(0), edges.feature.extent(1), {all.begin() + static_cast<std::ptrdiff_t>(first), all.end() - 1});
    const auto losses = step.arena.matrix<double>(static_cast<std::size_t>(t.level.num_graphs), 2);
    Kokkos::deep_copy(s.dvalue, 0.0);
    t.pool.pool_backward(step, t.level, s, t.z, dv, dz);
    t.pool.coarsen_backward(step, t.level, s, edges, t.features, de, dfeatures);
    t.pool.auxiliary(step, t.level, s, all.back(), losses);
    t.pool.assign_backward(step, t.level, s, dlogits);
  };
  c.inputs = {{"z", t.z, dz}, {"logits", t.logits, dlogits}, {"features", t.features, dfeatures}};
  c.h = 2e-5;
  const auto result = test::check_gradients(step, c);
  for (const std::string& failure : result.failures) ADD_FAILURE() << failure;
  RecordProperty("worst", fmt::format("{:.1e}", result.worst));
}

std::string name_of(const ::testing::TestParamInfo<PoolCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Cases, Pooling,
                         ::testing::Values(PoolCase{.name = "three_clusters_a_node"}, PoolCase{.name = "dense", .options = {.topk = 0}},
                                           PoolCase{.name = "one_cluster_a_node", .options = {.topk = 1}},
                                           PoolCase{.name = "long_rows", .sizes = {70}, .ratio = 0.9, .options = {.topk = 2}},
                                           PoolCase{.name = "all_clusters", .ratio = 1.0, .options = {.topk = 0}},
                                           PoolCase{.name = "few_clusters", .ratio = 0.1},
                                           PoolCase{.name = "weights_as_features", .options = {.adjacency = true, .scale = 2.0}},
                                           PoolCase{.name = "own_columns", .options = {.batch_columns = true, .lp_max_nodes = 10}},
                                           PoolCase{.name = "shared_rows", .options = {.topk = 2}, .shared = true},
                                           PoolCase{.name = "shared_rows_own_columns", .options = {.topk = 2, .batch_columns = true}, .shared = true},
                                           PoolCase{.name = "single_nodes", .sizes = {1, 1}}, PoolCase{.name = "no_edges", .sizes = {-4, -1}},
                                           PoolCase{.name = "no_graphs", .sizes = {}}),
                         name_of);

TEST(DiffPool, TiesGoToTheSmallerColumn) {
  PoolCase p{.name = "ties", .sizes = {8}, .ratio = 1.0};
  const Pooled t(p);
  Kokkos::deep_copy(t.logits, 1.5);
  TestStep<double> step(Mode::train);
  const Assignment s = t.pool.assign(step, t.level, t.logits, t.largest);
  step.exec.fence();
  const auto share = values_of(s.value);
  const auto cluster = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), s.cluster);
  for (int n = 0; n < 8; ++n) {
    for (int k = 0; k < 3; ++k) {
      EXPECT_EQ(cluster(n, k), k);
      EXPECT_NEAR(share[static_cast<std::size_t>(3 * n + k)], 1.0 / 3.0, 1e-15);
    }
  }
}

}  // namespace
}  // namespace gnn_hpc
