// SPDX-License-Identifier: Apache-2.0
#include "nn/rbf.hpp"

#include "base/error.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using test::TestStep;
using test::values_of;

std::vector<double> arguments(std::size_t rows, double low, double high) {
  const RandomKey key{31, 1};
  std::vector<double> s(rows);
  for (std::size_t r = 0; r < rows; ++r) s[r] = low + (high - low) * (1.2 * key.uniform(r) - 0.1);  // a little outside, too
  return s;
}

template <class T>
double error_against_definition(std::size_t rows, int bins, int width) {
  ParamStore<T> store;
  const RadialBasis<T> rbf(store, "rbf", -4.0, 0.0, bins, width);
  store.finalize(5);
  TestStep<T> step;
  const auto s = arguments(rows, -4.0, 0.0);
  step.poison();
  const auto saved = rbf.forward(step, test::array_of<double>(s));
  Kokkos::fence();
  const auto w = store.get(*store.find("rbf.1.weight")), b = store.get(*store.find("rbf.1.bias"));
  const double gamma = (bins - 1) / 4.0;
  std::vector<double> expected;
  for (const double x : s) {
    for (int c = 0; c < width; ++c) {
      double z = b[static_cast<std::size_t>(c)];
      for (int m = 0; m < bins; ++m) z += w[static_cast<std::size_t>(c * bins + m)] * std::exp(-gamma * std::pow(x - (-4.0 + m / gamma), 2));
      expected.push_back(std::log1p(std::exp(z)));
    }
  }
  return test::relative_difference(values_of(saved.y), expected);
}

TEST(RadialBasis, MatchesTheDefinition) {
  for (const std::size_t rows : {1U, 40U}) {
    for (const int bins : {2, 33, 256}) {
      for (const int width : {1, 32, 69}) {
        EXPECT_LT(error_against_definition<double>(rows, bins, width), 1e-13);
        EXPECT_LT(error_against_definition<float>(rows, bins, width), 2e-6);
      }
    }
  }
  EXPECT_EQ(error_against_definition<double>(0, 8, 4), 0.0);
}

TEST(RadialBasis, GradientMatchesDifferences) {
  for (const std::size_t rows : {0U, 1U, 21U}) {
    SCOPED_TRACE(rows);
    ParamStore<double> store;
    const RadialBasis<double> rbf(store, "rbf_angle", -1.0, 1.0, 33, 37);
    store.finalize(6);
    TestStep<double> step;
    const auto s = test::array_of<double>(arguments(rows, -1.0, 1.0));
    RadialBasis<double>::Saved saved;
    test::GradientCase c;
    c.forward = [&] {
      saved = rbf.forward(step, s);
      return saved.y;
    };
    c.backward = [&](View2<double> dy) { rbf.backward(step, saved, dy); };
    c.params = &store;
    test::expect_gradients(step, c);
  }
}

TEST(RadialBasis, OneBinIsRefused) {
  ParamStore<double> store;
  EXPECT_THROW(RadialBasis<double>(store, "rbf", 0.0, 1.0, 1, 4), Error);
}

}  // namespace
}  // namespace gnn_hpc
