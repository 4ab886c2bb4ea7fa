// SPDX-License-Identifier: Apache-2.0
#include "nn/linear.hpp"

#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using test::TestStep;

struct Shape {
  std::size_t rows;
  int in, out;
  bool bias;
};

test::GradientCase case_of(TestStep<double>& step, ParamStore<double>& store, const Linear<double>& layer, View2<double> x, View2<double> dx) {
  test::GradientCase c;
  const auto out = layer.weight.info().rows();
  c.forward = [&step, &layer, x, out] {
    const auto y = step.arena.matrix<double>(x.extent(0), out);
    layer.forward(step, x, y);
    return y;
  };
  c.backward = [&step, &layer, x, dx](View2<double> dy) { layer.backward(step, x, dy, dx); };
  c.inputs = {{"x", x, dx}};
  c.params = &store;
  c.rtol = 1e-7;
  return c;
}

class LinearShapes : public ::testing::TestWithParam<Shape> {};

TEST_P(LinearShapes, GradientMatchesDifferences) {
  const Shape s = GetParam();
  ParamStore<double> store;
  const Linear<double> layer(store, "layer", s.in, s.out, s.bias);
  store.finalize(11);
  TestStep<double> step;
  const auto x = test::random_matrix<double>(s.rows, static_cast<std::size_t>(s.in), 12);
  const auto dx = test::nan_matrix<double>(s.rows, static_cast<std::size_t>(s.in));
  test::expect_gradients(step, case_of(step, store, layer, x, dx));
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinearShapes,
                         ::testing::Values(Shape{7, 5, 3, true}, Shape{7, 5, 3, false}, Shape{0, 5, 3, true}, Shape{1, 5, 3, true},
                                           Shape{1, 1, 1, true}, Shape{33, 32, 69, true}, Shape{70, 69, 32, true}));

TEST(Linear, MatchesTheDefinition) {
  ParamStore<float> store;
  const Linear<float> layer(store, "layer", 3, 2);
  store.finalize(1);
  store.set(*store.find("layer.weight"), {1, 2, 3, 4, 5, 6});
  store.set(*store.find("layer.bias"), {0.5, -0.5});
  TestStep<float> step;
  const auto x = test::matrix_of<float>(2, 3, {1, 0, -1, 2, 2, 2});
  const auto y = test::nan_matrix<float>(2, 2);
  layer.forward(step, x, y);
  Kokkos::fence();
  EXPECT_EQ(test::values_of(y), (std::vector<double>{-1.5, -2.5, 12.5, 29.5}));
}

TEST(Linear, InputGradientCanBeAddedTo) {
  ParamStore<double> store;
  const Linear<double> layer(store, "layer", 4, 6);
  store.finalize(2);
  TestStep<double> step;
  const auto x = test::random_matrix<double>(5, 4, 1), dy = test::random_matrix<double>(5, 6, 2);
  const auto fresh = test::nan_matrix<double>(5, 4), added = test::random_matrix<double>(5, 4, 3);
  std::vector<double> expected = test::values_of(added);
  layer.backward(step, x, dy, fresh);
  layer.backward(step, x, dy, added, 2.0);
  Kokkos::fence();
  const auto f = test::values_of(fresh);
  for (std::size_t i = 0; i < f.size(); ++i) expected[i] = 2.0 * expected[i] + f[i];
  EXPECT_LT(test::relative_difference(test::values_of(added), expected), 1e-14);
}

TEST(Linear, StartsAsInPyTorch) {
  ParamStore<double> store;
  const Linear<double> layer(store, "layer", 64, 50);
  store.finalize(3);
  for (const TensorInfo& t : store.tensors()) {
    double largest = 0.0, squares = 0.0;
    for (const double v : store.get(t)) {
      largest = std::max(largest, std::abs(v));
      squares += v * v;
    }
    EXPECT_LE(largest, 1.0 / 8.0) << t.name;
    EXPECT_GT(largest, 0.9 / 8.0) << t.name;
    EXPECT_NEAR(squares / static_cast<double>(t.size), 1.0 / 192.0, 0.3 / 192.0) << t.name;
  }
}

// The checker itself must see what it is there for.
TEST(GradientCheck, SeesWrongGradients) {
  ParamStore<double> store;
  const Linear<double> layer(store, "layer", 5, 3);
  store.finalize(11);
  TestStep<double> step;
  const auto x = test::random_matrix<double>(7, 5, 12), dx = test::nan_matrix<double>(7, 5);
  const test::GradientCase good = case_of(step, store, layer, x, dx);
  EXPECT_TRUE(test::check_gradients(step, good).failures.empty());
  EXPECT_LT(test::check_gradients(step, good).worst, 1e-10);

  test::GradientCase slightly = good;
  slightly.backward = [&](View2<double> dy) {
    good.backward(dy);
    auto g = test::values_of(dx);
    for (double& v : g) v *= 1.0 + 1e-5;
    test::assign(dx, g);
  };
  EXPECT_FALSE(test::check_gradients(step, slightly).failures.empty());

  test::GradientCase forgets = good;  // dx stays as it was
  forgets.backward = [&](View2<double> dy) { layer.backward_parameters(step, x, dy); };
  EXPECT_FALSE(test::check_gradients(step, forgets).failures.empty());

  test::GradientCase overwrites = good;  // parameter gradients do not add up
  overwrites.backward = [&](View2<double> dy) {
    store.zero_gradients(step.exec);
    good.backward(dy);
  };
  EXPECT_FALSE(test::check_gradients(step, overwrites).failures.empty());

  test::GradientCase no_bias = good;
  no_bias.backward = [&](View2<double> dy) {
    good.backward(dy);
    Kokkos::deep_copy(layer.bias.grad1(), 0.0);
  };
  EXPECT_FALSE(test::check_gradients(step, no_bias).failures.empty());
}

}  // namespace
}  // namespace gnn_hpc
