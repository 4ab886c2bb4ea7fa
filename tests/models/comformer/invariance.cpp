// SPDX-License-Identifier: Apache-2.0
// What a prediction must not depend on: rotation of the crystal, order of its atoms, origin, which periodic image of an atom is
// given, and, in evaluation mode, the rest of the batch. (The lattice triple ties the network to the given cell, so supercells are
// not promised.)
#include "models/comformer/crystals.hpp"
#include "models/comformer/model.hpp"
#include "models/comformer/rotations.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>

namespace gnn_hpc::comformer {
namespace {

using test::values_of;

constexpr double kTolerance = 1e-10, kSingleTolerance = 1e-4;
constexpr Network kNetworks[] = {Network::icomformer, Network::ecomformer};
const char* name_of(Network network) { return network == Network::ecomformer ? "eComFormer" : "iComFormer"; }

/// Two cubic and one hexagonal cell, where many distances and angles are equal, besides crystals without symmetry.
std::vector<TestCrystal> crystals() {
  std::vector<TestCrystal> out = random_crystals(7, 60);
  const double a = 4.12, h = 3.2, root = std::sqrt(3.0) / 2.0;
  out.push_back({{a, 0, 0, 0, a, 0, 0, 0, a}, {0, 0, 0, 0.5, 0.5, 0.5}, {55, 17}});
  out.push_back({{0, a, a, a, 0, a, a, a, 0}, {0.1, 0.1, 0.1, 0.6, 0.6, 0.6}, {11, 17}});
  out.push_back({{h, 0, 0, -0.5 * h, root * h, 0, 0, 0, 5.2}, {1.0 / 3, 2.0 / 3, 0.25, 2.0 / 3, 1.0 / 3, 0.75}, {30, 30}});
  return out;
}

template <class T>
class Predictor {
 public:
  explicit Predictor(Network network) : network_(network) {
    ModelOptions o;
    o.network = network;
    o.node_features = 16;
    o.edge_features = 24;
    o.triplet_input_features = 24;
    o.fc_features = 8;
    o.output_features = 2;
    o.node_layer_head = 2;
    o.atom_input_features = 6;
    model_ = std::make_unique<Model<T>>(store_, o, test::random_values(104 * 6, 9));
    store_.finalize(7);
    unsettle(store_);
  }

  /// @param points of the tables; 0: exact
  std::vector<double> operator()(const std::vector<TestCrystal>& crystals, Mode mode, int points = 0) {
    test::TestStep<T> step(mode, std::size_t{1} << 25);
    CrystalBatch<T> batch;
    batch.upload(batch_of(crystals, {.neighbors = 8, .tables = {points, points, network_ == Network::ecomformer}}), Exec());
    const auto out = model_->forward(step, batch);
    Kokkos::fence();
    return values_of(out);
  }

 private:
  Network network_;
  ParamStore<T> store_;
  std::unique_ptr<Model<T>> model_;
};

/// Predictions before and after each crystal was changed, in both modes and with and without tables.
void expect_same(const std::function<TestCrystal(const TestCrystal&, std::uint64_t)>& change) {
  const auto before = crystals();
  std::vector<TestCrystal> after;
  for (std::size_t g = 0; g < before.size(); ++g) after.push_back(change(before[g], g));
  for (const Network kind : kNetworks) {
    Predictor<double> network(kind);
    Predictor<float> single(kind);
    for (const Mode mode : {Mode::evaluate, Mode::train}) {
      for (const int points : {0, 256}) {
        SCOPED_TRACE(fmt::format("{}, {}, {} grid points", name_of(kind), mode == Mode::train ? "train" : "evaluate", points));
        const auto a = network(before, mode, points), b = network(after, mode, points);
        EXPECT_LT(test::relative_difference(b, a), kTolerance);
        const auto [low, high] = std::minmax_element(a.begin(), a.end());
        EXPECT_GT(*high - *low, 1e-3);  // the network does tell the crystals apart
        EXPECT_LT(test::relative_difference(single(after, mode, points), single(before, mode, points)), kSingleTolerance);
      }
    }
  }
}

TEST(Invariance, Rotation) {
  expect_same([](TestCrystal c, std::uint64_t seed) {
    c.cell = rotated_cell(c.cell, random_rotation(seed + 500));
    return c;
  });
}

TEST(Invariance, OrderOfAtoms) {
  expect_same([](const TestCrystal& c, std::uint64_t seed) {
    TestCrystal out = c;
    const std::size_t n = c.z.size();
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t from = (i + 1 + seed % std::max<std::size_t>(n - 1, 1)) % n;
      out.z[n - 1 - i] = c.z[from];
      for (std::size_t k = 0; k < 3; ++k) out.frac[3 * (n - 1 - i) + k] = c.frac[3 * from + k];
    }
    return out;
  });
}

TEST(Invariance, Origin) {
  expect_same([](TestCrystal c, std::uint64_t seed) {
    const auto shift = test::random_values(3, seed + 600);
    for (std::size_t i = 0; i < c.frac.size(); ++i) c.frac[i] += shift[i % 3];
    return c;
  });
}

TEST(Invariance, WholeCellShiftsOfAtoms) {
  expect_same([](TestCrystal c, std::uint64_t seed) {
    for (std::size_t i = 0; i < c.frac.size(); ++i) c.frac[i] += static_cast<double>((i * 5 + seed) % 7) - 3.0;
    return c;
  });
}

TEST(Invariance, TheRestOfTheBatchInEvaluationMode) {
  const auto all = crystals();
  for (const Network kind : kNetworks)
    for (const int points : {0, 256}) {
      Predictor<double> network(kind);
      const auto together = network(all, Mode::evaluate, points);
      std::vector<double> alone, backwards;
      for (const TestCrystal& c : all) {
        const auto one = network({c}, Mode::evaluate, points);
        alone.insert(alone.end(), one.begin(), one.end());
      }
      EXPECT_LT(test::relative_difference(alone, together), kTolerance);
      const auto reversed = network({all.rbegin(), all.rend()}, Mode::evaluate, points);
      for (std::size_t g = all.size(); g-- > 0;) {
        backwards.insert(backwards.end(), reversed.begin() + static_cast<std::ptrdiff_t>(2 * g),
                         reversed.begin() + static_cast<std::ptrdiff_t>(2 * g + 2));
      }
      EXPECT_LT(test::relative_difference(backwards, together), kTolerance);
    }
}

TEST(Invariance, TheOrderOfTheBatchInTrainingMode) {
  const auto all = crystals();
  for (const Network kind : kNetworks) {
    Predictor<double> network(kind);
    const auto forwards = network(all, Mode::train), reversed = network({all.rbegin(), all.rend()}, Mode::train);
    std::vector<double> backwards;
    for (std::size_t g = all.size(); g-- > 0;) {
      backwards.insert(backwards.end(), reversed.begin() + static_cast<std::ptrdiff_t>(2 * g),
                       reversed.begin() + static_cast<std::ptrdiff_t>(2 * g + 2));
    }
    EXPECT_LT(test::relative_difference(backwards, forwards), kTolerance);
  }
}

// The tests above would hold for a network that ignores the geometry.
TEST(Invariance, ThePredictionDependsOnGeometryAndElements) {
  const auto all = crystals();
  auto strained = all, replaced = all;
  for (TestCrystal& c : strained) c.cell[4] += 0.05;
  for (TestCrystal& c : replaced) c.z[0] += 1;
  for (const Network kind : kNetworks) {
    Predictor<double> network(kind);
    const auto before = network(all, Mode::evaluate), strain = network(strained, Mode::evaluate), element = network(replaced, Mode::evaluate);
    for (std::size_t i = 0; i < before.size(); ++i) {
      EXPECT_GT(std::abs(strain[i] - before[i]), 1e-7);
      EXPECT_GT(std::abs(element[i] - before[i]), 1e-7);
    }
  }
}

}  // namespace
}  // namespace gnn_hpc::comformer
