// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/batch.hpp"

#include "base/error.hpp"
#include "base/random.hpp"
#include "graph/periodic_knn.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>

namespace gnn_hpc::comformer {
namespace {

/// Random crystals as a batch; `compression` < 1 brings atoms close together.
HostCrystalBatch random_batch(int graphs, std::uint64_t seed, double compression = 1.0) {
  HostCrystalBatch b;
  b.graph_ptr = {0};
  CrystalGraphWorkspace workspace;
  CrystalGraph graph;
  for (int g = 0; g < graphs; ++g) {
    const RandomKey key{seed, static_cast<std::uint64_t>(g)};
    std::uint64_t counter = 0;
    const int atoms = 1 + static_cast<int>(key.uniform(counter++) * 6);
    const double edge = compression * 2.5 * std::cbrt(atoms);
    std::array<double, 9> cell{};
    for (int i = 0; i < 9; ++i) cell[static_cast<std::size_t>(i)] = (i % 4 == 0 ? edge : 0.0) + 0.4 * edge * (key.uniform(counter++) - 0.5);
    std::vector<double> frac(3 * static_cast<std::size_t>(atoms));
    for (double& f : frac) f = key.uniform(counter++);
    CrystalGraphOptions options;
    options.max_neighbors = 8;
    build_crystal_graph(cell, frac, options, workspace, graph);
    const int offset = b.graph_ptr.back();
    b.graph_ptr.push_back(offset + atoms);
    for (int n = 0; n < atoms; ++n) {
      b.node_graph.push_back(g);
      b.atom_row.push_back(1 + n);
    }
    for (std::size_t e = 0; e < graph.u.size(); ++e) {
      b.src.push_back(offset + graph.u[e]);
      b.dst.push_back(offset + graph.v[e]);
      b.mult.push_back(graph.mult[e]);
      const auto r =
          edge_vector(cell, &frac[3 * static_cast<std::size_t>(graph.u[e])], &frac[3 * static_cast<std::size_t>(graph.v[e])], &graph.image[3 * e]);
      b.edge_vec.insert(b.edge_vec.end(), r.begin(), r.end());
    }
    for (int s = 0; s < 3; ++s) {
      for (std::size_t c = 0; c < 3; ++c) {
        double x = 0.0;
        for (std::size_t k = 0; k < 3; ++k) x += graph.lattice_images[3 * static_cast<std::size_t>(s) + k] * cell[3 * k + c];
        b.lattice.push_back(x);
      }
    }
  }
  b.num_graphs = graphs;
  b.num_nodes = b.graph_ptr.back();
  b.num_edges = static_cast<int>(b.src.size());
  return b;
}

double length(const double* r) { return std::sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]); }

void check_groups(const HostRowMap& map) {
  ASSERT_EQ(map.group_ptr.size(), map.abscissa.size() + 1);
  ASSERT_EQ(map.group_item.size(), map.first.size());
  std::vector<int> seen(map.first.size(), 0);
  for (std::size_t r = 0; r < map.abscissa.size(); ++r) {
    for (int i = map.group_ptr[r]; i < map.group_ptr[r + 1]; ++i) {
      const int item = map.group_item[static_cast<std::size_t>(i)];
      EXPECT_EQ(map.first[static_cast<std::size_t>(item)], static_cast<int>(r));
      ++seen[static_cast<std::size_t>(item)];
      if (i > map.group_ptr[r]) {
        EXPECT_LT(map.group_item[static_cast<std::size_t>(i) - 1], item) << "stored order";
      }
    }
  }
  for (const int n : seen) EXPECT_EQ(n, 1);
  for (const int f : map.first) {
    EXPECT_GE(f, 0);
    EXPECT_LE(static_cast<std::size_t>(f + map.taps), map.abscissa.size());
  }
}

double apply(const HostRowMap& map, std::size_t item, const std::function<double(double)>& f) {
  double y = 0.0;
  for (int t = 0; t < map.taps; ++t) {
    const double w = map.weight[item * static_cast<std::size_t>(map.taps) + static_cast<std::size_t>(t)];
    if (w != 0.0) y += w * f(map.abscissa[static_cast<std::size_t>(map.first[item] + t)]);
  }
  return y;
}

TEST(FinishBatch, PointersAndReverses) {
  HostCrystalBatch b = random_batch(40, 1);
  finish_batch(b, {});
  ASSERT_EQ(b.in_ptr.size(), static_cast<std::size_t>(b.num_nodes) + 1);
  EXPECT_EQ(b.in_ptr.back(), b.num_edges);
  EXPECT_EQ(b.edge_ptr.back(), b.num_edges);
  for (int e = 0; e < b.num_edges; ++e) {
    const auto k = static_cast<std::size_t>(e), r = static_cast<std::size_t>(b.reverse[k]);
    EXPECT_EQ(b.reverse[r], e);
    EXPECT_NE(b.reverse[k], e);
    EXPECT_EQ(b.src[r], b.dst[k]);
    EXPECT_EQ(b.dst[r], b.src[k]);
    EXPECT_EQ(b.mult[r], b.mult[k]);
    for (std::size_t c = 0; c < 3; ++c) EXPECT_EQ(b.edge_vec[3 * r + c], -b.edge_vec[3 * k + c]);  // exactly
    EXPECT_GE(e, b.in_ptr[static_cast<std::size_t>(b.dst[k])]);
    EXPECT_LT(e, b.in_ptr[static_cast<std::size_t>(b.dst[k]) + 1]);
    EXPECT_EQ(b.edge_graph[k], b.node_graph[static_cast<std::size_t>(b.dst[k])]);
    EXPECT_GE(e, b.edge_ptr[static_cast<std::size_t>(b.edge_graph[k])]);
    EXPECT_LT(e, b.edge_ptr[static_cast<std::size_t>(b.edge_graph[k]) + 1]);
  }
}

TEST(FinishBatch, ReversesDoNotDependOnTheOrderOfImages) {
  HostCrystalBatch b = random_batch(5, 2);
  finish_batch(b, {});
  std::vector<std::size_t> order(b.src.size());  // reversed inside each target: not canonical, still sorted by target
  for (std::size_t v = 0; v + 1 < b.in_ptr.size(); ++v) {
    for (int i = b.in_ptr[v]; i < b.in_ptr[v + 1]; ++i) {
      order[static_cast<std::size_t>(i)] = static_cast<std::size_t>(b.in_ptr[v] + b.in_ptr[v + 1] - 1 - i);
    }
  }
  HostCrystalBatch shuffled = b;
  for (std::size_t e = 0; e < order.size(); ++e) {
    shuffled.src[e] = b.src[order[e]];
    for (std::size_t c = 0; c < 3; ++c) shuffled.edge_vec[3 * e + c] = b.edge_vec[3 * order[e] + c];
  }
  finish_batch(shuffled, {});
  for (std::size_t e = 0; e < order.size(); ++e) {
    EXPECT_EQ(order[static_cast<std::size_t>(shuffled.reverse[e])], static_cast<std::size_t>(b.reverse[order[e]]));
  }
}

TEST(FinishBatch, ExactRowsAreUnorderedPairsAndAllAngles) {
  HostCrystalBatch b = random_batch(20, 3);
  finish_batch(b, {});
  EXPECT_EQ(b.distance.taps, 1);
  EXPECT_EQ(2 * b.distance.abscissa.size(), b.src.size());
  EXPECT_EQ(b.cosine.abscissa.size(), 3 * b.src.size());
  check_groups(b.distance);
  check_groups(b.cosine);
  for (std::size_t e = 0; e < b.src.size(); ++e) {
    const double* r = &b.edge_vec[3 * e];
    EXPECT_DOUBLE_EQ(apply(b.distance, e, [](double s) { return s; }), -0.75 / length(r));
    for (std::size_t s = 0; s < 3; ++s) {
      const double* l = &b.lattice[9 * static_cast<std::size_t>(b.edge_graph[e]) + 3 * s];
      const double cosine = (l[0] * r[0] + l[1] * r[1] + l[2] * r[2]) / (length(l) * length(r));
      EXPECT_NEAR(apply(b.cosine, 3 * e + s, [](double c) { return c; }), cosine, 1e-15);
    }
  }
}

TEST(FinishBatch, TablesInterpolateCubicsExactlyAndSmoothFunctionsToFourthOrder) {
  const auto cubic = [](double x) { return 1.0 + x * (0.5 + x * (-2.0 + 0.25 * x)); };
  const auto smooth = [](double x) { return std::sin(5.0 * x) + std::exp(x); };
  double error[2] = {0.0, 0.0};
  for (int level = 0; level < 2; ++level) {
    HostCrystalBatch b = random_batch(30, 4);
    const int points = level == 0 ? 33 : 65;
    finish_batch(b, {points, points});
    EXPECT_EQ(b.distance.taps, 4);
    EXPECT_GE(b.distance.abscissa.size(), static_cast<std::size_t>(points));
    EXPECT_EQ(b.cosine.abscissa.size(), static_cast<std::size_t>(points));
    check_groups(b.distance);
    check_groups(b.cosine);
    for (std::size_t e = 0; e < b.src.size(); ++e) {
      const double s = -0.75 / length(&b.edge_vec[3 * e]);
      EXPECT_NEAR(apply(b.distance, e, cubic), cubic(s), 1e-13);
      error[level] = std::max(error[level], std::abs(apply(b.distance, e, smooth) - smooth(s)));
    }
    for (std::size_t i = 0; i < 3 * b.src.size(); ++i) {
      const double* r = &b.edge_vec[i / 3 * 3];
      const double* l = &b.lattice[9 * static_cast<std::size_t>(b.edge_graph[i / 3]) + 3 * (i % 3)];
      const double c = std::clamp((l[0] * r[0] + l[1] * r[1] + l[2] * r[2]) / (length(l) * length(r)), -1.0, 1.0);
      EXPECT_NEAR(apply(b.cosine, i, cubic), cubic(c), 1e-13);
      error[level] = std::max(error[level], std::abs(apply(b.cosine, i, smooth) - smooth(c)));
    }
  }
  EXPECT_GT(error[0] / error[1], 11.0);  // 16 in the limit
  EXPECT_LT(error[1], 1e-4);
}

TEST(FinishBatch, CosinesAtTheEndsOfTheGrid) {
  // Self edges along the lattice vectors have cosines of exactly +-1 with themselves.
  HostCrystalBatch b = random_batch(10, 5);
  finish_batch(b, {16, 16});
  int at_ends = 0;
  for (std::size_t i = 0; i < 3 * b.src.size(); ++i) {
    const double c = apply(b.cosine, i, [](double x) { return x; });
    EXPECT_LE(std::abs(c), 1.0 + 1e-12);
    if (std::abs(c) > 1.0 - 1e-12) ++at_ends;
  }
  EXPECT_GT(at_ends, 0);
}

TEST(FinishBatch, DistancesShorterThanTheTableAreExact) {
  HostCrystalBatch b = random_batch(30, 6, 0.35);
  finish_batch(b, {64, 64});
  check_groups(b.distance);
  int outside = 0;
  for (std::size_t e = 0; e < b.src.size(); ++e) {
    const double s = -0.75 / length(&b.edge_vec[3 * e]);
    if (s >= -1.2) continue;
    ++outside;
    EXPECT_EQ(b.distance.weight[4 * e], 1.0);
    for (std::size_t t = 1; t < 4; ++t) EXPECT_EQ(b.distance.weight[4 * e + t], 0.0);
    EXPECT_DOUBLE_EQ(b.distance.abscissa[static_cast<std::size_t>(b.distance.first[e])], s);
  }
  EXPECT_GT(outside, 0);
}

TEST(FinishBatch, StorageIsReusedAndForgotten) {
  HostCrystalBatch b = random_batch(10, 7);
  finish_batch(b, {});
  HostCrystalBatch again = random_batch(3, 8);
  HostCrystalBatch fresh = again;
  b.graph_ptr = again.graph_ptr;
  b.node_graph = again.node_graph;
  b.src = again.src;
  b.dst = again.dst;
  b.mult = again.mult;
  b.edge_vec = again.edge_vec;
  b.lattice = again.lattice;
  b.num_graphs = again.num_graphs;
  b.num_nodes = again.num_nodes;
  b.num_edges = again.num_edges;
  finish_batch(b, {32, 32});
  finish_batch(b, {});
  finish_batch(fresh, {});
  EXPECT_EQ(b.in_ptr, fresh.in_ptr);
  EXPECT_EQ(b.reverse, fresh.reverse);
  EXPECT_EQ(b.edge_ptr, fresh.edge_ptr);
  EXPECT_EQ(b.distance.abscissa, fresh.distance.abscissa);
  EXPECT_EQ(b.distance.group_item, fresh.distance.group_item);
  EXPECT_EQ(b.cosine.first, fresh.cosine.first);
  EXPECT_EQ(b.cosine.weight, fresh.cosine.weight);
}

TEST(FinishBatch, EmptyBatch) {
  HostCrystalBatch b;
  b.graph_ptr = {0};
  finish_batch(b, {});
  EXPECT_EQ(b.in_ptr, std::vector<int>{0});
  EXPECT_TRUE(b.distance.first.empty());
  finish_batch(b, {16, 16});
  EXPECT_EQ(b.cosine.abscissa.size(), 16U);
  check_groups(b.cosine);
}

TEST(FinishBatch, RefusesWhatIsNoCrystalGraph) {
  HostCrystalBatch b = random_batch(3, 9);
  HostCrystalBatch unsorted = b;
  std::reverse(unsorted.dst.begin(), unsorted.dst.end());
  EXPECT_THROW(finish_batch(unsorted, {}), Error);
  HostCrystalBatch lonely = b;
  lonely.edge_vec[0] += 0.5;
  EXPECT_THROW(finish_batch(lonely, {}), Error);
  HostCrystalBatch outside = b;
  outside.src[0] = b.num_nodes;
  EXPECT_THROW(finish_batch(outside, {}), Error);
}

}  // namespace
}  // namespace gnn_hpc::comformer
