// SPDX-License-Identifier: Apache-2.0
// The equivariant layer: its harmonics, its two tensor products against the published form with weights for every edge, its gradients, and how
// its features turn with the crystal.
#include "models/comformer/equi_layer.hpp"

#include "models/comformer/crystals.hpp"
#include "models/comformer/model.hpp"
#include "models/comformer/rotations.hpp"
#include "models/comformer/spherical_harmonics.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace gnn_hpc::comformer {
namespace {

using test::TestStep;
using test::values_of;

std::vector<double> harmonics_of(const std::array<double, 3>& r) {
  double y[kHarmonics];
  spherical_harmonics(r.data(), y);
  return {y, y + kHarmonics};
}

/// The matrix of l = 2 components: sum_k y_k B_k is a symmetric matrix without trace that turns as R M R', where r r' - |r|^2/3 has the
/// components Y2 of r.
std::array<double, 9> as_matrix(const double* y) {
  const double a = 1.0 / std::sqrt(15.0), b = 1.0 / std::sqrt(5.0);
  // xz, xy, y^2 - (x^2+z^2)/2, yz, (z^2 - x^2)/2 in turn
  const double xz = a * y[0], xy = a * y[1], yy = b * y[2] * 2.0 / 3.0, yz = a * y[3], half = a * y[4];
  const double xx = -0.5 * yy - half, zz = -0.5 * yy + half;
  return {xx, xy, xz, xy, yy, yz, xz, yz, zz};
}

std::array<double, 9> turned(const Rotation& r, const std::array<double, 9>& m) {
  std::array<double, 9> out{};
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      for (std::size_t k = 0; k < 3; ++k) {
        for (std::size_t l = 0; l < 3; ++l) out[3 * i + j] += r[3 * i + k] * m[3 * k + l] * r[3 * j + l];
      }
    }
  }
  return out;
}

TEST(SphericalHarmonics, AreNormalisedByComponentAndEvenOrOdd) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto v = test::random_values(3, seed);
    const auto y = harmonics_of({v[0], v[1], v[2]}), opposite = harmonics_of({-v[0], -v[1], -v[2]}),
               longer = harmonics_of({3 * v[0], 3 * v[1], 3 * v[2]});
    double one = 0.0, two = 0.0;
    for (std::size_t m = 0; m < 8; ++m) {
      (m < 3 ? one : two) += y[m] * y[m];
      EXPECT_NEAR(opposite[m], m < 3 ? -y[m] : y[m], 1e-15);
      EXPECT_NEAR(longer[m], y[m], 1e-14);
    }
    EXPECT_NEAR(one, 3.0, 1e-14);
    EXPECT_NEAR(two, 5.0, 1e-14);
  }
  EXPECT_NEAR(harmonics_of({0, 2, 0})[1], std::sqrt(3.0), 1e-15);  // the order: y is the middle one
  EXPECT_NEAR(harmonics_of({0, 2, 0})[5], std::sqrt(5.0), 1e-15);
  EXPECT_NEAR(harmonics_of({0, 0, 1})[7], 0.5 * std::sqrt(15.0), 1e-15);
}

TEST(SphericalHarmonics, OfDegreeTwoAreTheTracelessSquare) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    auto v = test::random_values(3, 50 + seed);
    const double length = test::norm(v);
    for (double& x : v) x /= length;
    const auto y = harmonics_of({v[0], v[1], v[2]});
    const auto m = as_matrix(&y[3]);
    for (std::size_t i = 0; i < 9; ++i) EXPECT_NEAR(m[i], v[i / 3] * v[i % 3] - (i % 4 == 0 ? 1.0 / 3.0 : 0.0), 1e-14);
  }
}

struct Fixture {
  explicit Fixture(const std::vector<TestCrystal>& crystals, int c = 5, int points = 0, Mode mode = Mode::train)
      : width(static_cast<std::size_t>(c)), layer(store, "equi_update", c), step(mode, std::size_t{1} << 25) {
    store.finalize(3);
    unsettle(store);
    batch.upload(batch_of(crystals, {.neighbors = 5, .tables = {points, points, /*directions=*/true}}), Exec());
    nodes = static_cast<std::size_t>(batch.num_nodes);
    rows = static_cast<std::size_t>(batch.distance.num_rows);
    x = test::random_matrix<double>(nodes, width, 4);
    table = test::random_matrix<double>(rows, width, 5);
  }
  std::size_t width, nodes = 0, rows = 0;
  ParamStore<double> store;
  EquiLayer<double> layer;
  CrystalBatch<double> batch;
  TestStep<double> step;
  View2<double> x, table;
  EquiLayer<double>::Saved saved;
};

std::vector<TestCrystal> crystals_of(const std::vector<int>& atoms) {
  std::vector<TestCrystal> out;
  for (const int n : atoms) {
    out.push_back(random_crystal(std::abs(n), 900 + out.size()));
    out.back().without_edges = n < 0;
  }
  return out;
}

/// As published: weights for every edge, edge by edge (specification 4.3).
TEST(EquiLayer, EqualsTheFormWithWeightsForEveryEdge) {
  Fixture f(crystals_of({2, 1, 4, 3}));
  f.layer.forward(f.step, f.batch, f.x, f.table, f.saved);
  Kokkos::fence();
  const auto s = values_of(f.saved.scalars), y = values_of(f.saved.harmonics);
  const auto src = values_of(f.batch.src), dst = values_of(f.batch.dst);
  const auto mult = values_of(f.batch.mult), node_mult = values_of(f.batch.node_mult);
  const auto weights_of = [&](const WeightNet<double>& net, const std::vector<double>& h, std::size_t e) {
    const auto w = values_of(net.second.weight.value()), b = values_of(net.second.bias.value1());
    std::vector<double> out = b;
    for (std::size_t r = 0; r < out.size(); ++r) {
      for (std::size_t c = 0; c < f.width; ++c) out[r] += w[r * f.width + c] * h[e * f.width + c];
    }
    return out;
  };
  std::vector<double> features(f.nodes * kNodeFeatures, 0.0), mixed(f.nodes * kScalars, 0.0);
  for (std::size_t n = 0; n < f.nodes; ++n)
    std::copy_n(s.begin() + static_cast<std::ptrdiff_t>(n * kScalars), kScalars, features.begin() + static_cast<std::ptrdiff_t>(n * kNodeFeatures));
  const auto h1 = values_of(f.saved.net_1.edges), h2 = values_of(f.saved.net_2.edges);
  for (std::size_t e = 0; e < src.size(); ++e) {
    const auto u = static_cast<std::size_t>(src[e]), v = static_cast<std::size_t>(dst[e]);
    const auto w = weights_of(f.layer.product_1, h1, e);
    const double share = mult[e] / node_mult[u] / 8.0;
    for (std::size_t i = 0; i < kScalars; ++i) {
      const double si = s[v * kScalars + i] * share;
      for (std::size_t o = 0; o < kScalars; ++o) features[u * kNodeFeatures + o] += si * w[i * kScalars + o];
      for (std::size_t o = 0; o < kTensors; ++o) {
        for (std::size_t m = 0; m < 3; ++m) features[u * kNodeFeatures + kScalars + 3 * o + m] += si * w[4096 + i * kTensors + o] * y[8 * e + m];
        for (std::size_t m = 0; m < 5; ++m)
          features[u * kNodeFeatures + kScalars + 24 + 5 * o + m] += si * w[4608 + i * kTensors + o] * y[8 * e + 3 + m];
      }
    }
  }
  for (std::size_t e = 0; e < src.size(); ++e) {
    const auto u = static_cast<std::size_t>(src[e]), v = static_cast<std::size_t>(dst[e]);
    const auto w = weights_of(f.layer.product_2, h2, e);
    const double share = mult[e] / node_mult[u] / std::sqrt(80.0);
    const double* fv = &features[v * kNodeFeatures];
    for (std::size_t o = 0; o < kScalars; ++o) {
      double sum = 0.0;
      for (std::size_t i = 0; i < kScalars; ++i) sum += fv[i] * w[i * kScalars + o];
      for (std::size_t i = 0; i < kTensors; ++i) {
        double one = 0.0, two = 0.0;
        for (std::size_t m = 0; m < 3; ++m) one += fv[kScalars + 3 * i + m] * y[8 * e + m];
        for (std::size_t m = 0; m < 5; ++m) two += fv[kScalars + 24 + 5 * i + m] * y[8 * e + 3 + m];
        sum += one / std::sqrt(3.0) * w[4096 + i * kScalars + o] + two / std::sqrt(5.0) * w[4608 + i * kScalars + o];
      }
      mixed[u * kScalars + o] += share * sum;
    }
  }
  EXPECT_LT(test::relative_difference(values_of(f.saved.features), features), 1e-13);
  EXPECT_LT(test::relative_difference(values_of(f.saved.mixed), mixed), 1e-13);
}

struct LayerCase {
  const char* name;
  int width = 5;
  std::vector<int> atoms{2, 1, 3};
  int points = 0;
  Reduction reduction = Reduction::csr;
  Mode mode = Mode::train;
};
void PrintTo(const LayerCase& c, std::ostream* os) { *os << c.name; }

class EquiLayerGradients : public ::testing::TestWithParam<LayerCase> {};

TEST_P(EquiLayerGradients, MatchDifferences) {
  const LayerCase p = GetParam();
  Fixture f(crystals_of(p.atoms), p.width, p.points, p.mode);
  const auto dx = test::nan_matrix<double>(f.nodes, f.width), dtable = test::random_matrix<double>(f.rows, f.width, 0);
  test::GradientCase c;
  c.forward = [&] { return f.layer.forward(f.step, f.batch, f.x, f.table, f.saved); };
  c.backward = [&](View2<double> dy) { f.layer.backward(f.step, f.batch, p.reduction, f.saved, dy, dx, dtable); };
  c.inputs = {{"x", f.x, dx}, {"table", f.table, dtable, true}};
  c.params = &f.store;
  const auto result = test::check_gradients(f.step, c);
  for (const std::string& failure : result.failures) ADD_FAILURE() << failure;
  RecordProperty("worst", fmt::format("{:.1e}", result.worst));
}

INSTANTIATE_TEST_SUITE_P(Cases, EquiLayerGradients,
                         ::testing::Values(LayerCase{.name = "exact"}, LayerCase{.name = "table", .points = 24},
                                           LayerCase{.name = "strip_and_rest", .width = 37, .atoms = {2, 3}},
                                           LayerCase{.name = "scatter", .points = 24, .reduction = Reduction::scatter},
                                           LayerCase{.name = "evaluate", .mode = Mode::evaluate}, LayerCase{.name = "one_atom", .atoms = {1}},
                                           LayerCase{.name = "one_crystal_without_edges", .atoms = {3, -2, 2}},
                                           LayerCase{.name = "no_edges", .atoms = {-2, -3}}, LayerCase{.name = "no_crystals", .atoms = {}},
                                           LayerCase{.name = "no_crystals_evaluate", .atoms = {}, .mode = Mode::evaluate}),
                         [](const ::testing::TestParamInfo<LayerCase>& tested) { return std::string(tested.param.name); });

/// Features of all nodes of turned crystals are the turned features: scalars stay, vectors turn with R, tensors as R M R'.
TEST(EquiLayer, FeaturesTurnWithTheCrystal) {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    const Rotation r = random_rotation(700 + seed);
    const auto before = crystals_of({2, 1, 4, 3});
    std::vector<TestCrystal> after = before;
    for (TestCrystal& c : after) c.cell = rotated_cell(c.cell, r);
    Fixture a(before), b(after);
    a.layer.forward(a.step, a.batch, a.x, a.table, a.saved);
    b.layer.forward(b.step, b.batch, b.x, b.table, b.saved);
    Kokkos::fence();
    const auto f = values_of(a.saved.features), g = values_of(b.saved.features);
    std::vector<double> expected = f;
    double directed = 0.0;
    for (std::size_t n = 0; n < a.nodes; ++n) {
      for (std::size_t o = 0; o < kTensors; ++o) {
        const std::size_t vector = n * kNodeFeatures + kScalars + 3 * o, tensor = n * kNodeFeatures + kScalars + 24 + 5 * o;
        for (std::size_t i = 0; i < 3; ++i) {
          expected[vector + i] = 0.0;
          for (std::size_t k = 0; k < 3; ++k) expected[vector + i] += r[3 * i + k] * f[vector + k];
          directed = std::max(directed, std::fabs(f[vector + i]));
        }
        const auto m = turned(r, as_matrix(&f[tensor])), got = as_matrix(&g[tensor]);
        for (std::size_t i = 0; i < 9; ++i) EXPECT_NEAR(got[i], m[i], 1e-12);
        for (std::size_t i = 0; i < 5; ++i) expected[tensor + i] = g[tensor + i];
      }
    }
    EXPECT_GT(directed, 1e-3);  // there is something to turn
    EXPECT_LT(test::relative_difference(g, expected), 1e-12);
    EXPECT_LT(test::relative_difference(values_of(b.saved.y), values_of(a.saved.y)), 1e-12);
  }
}

}  // namespace
}  // namespace gnn_hpc::comformer
