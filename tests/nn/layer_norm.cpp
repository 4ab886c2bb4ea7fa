// SPDX-License-Identifier: Apache-2.0
#include "nn/layer_norm.hpp"
#include "nn/channels.hpp"
#include "nn/matmul.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using test::random_matrix;
using test::TestStep;
using test::values_of;

struct Shape {
  int rows, width;
};
const Shape kShapes[] = {{0, 7}, {1, 7}, {5, 3}, {9, 37}, {4, 300}};

TEST(LayerNorm, NormalisesRows) {
  for (const Shape& s : kShapes) {
    const auto x = random_matrix<double>(s.rows, s.width, 3), hat = test::nan_matrix<double>(s.rows, s.width);
    const View1<double> mean("mean", s.rows), rdev("rdev", s.rows);
    LayerNorm<double>::normalise_keep(Exec(), x, hat, mean, rdev);
    Kokkos::fence();
    const auto in = values_of(x), out = values_of(hat), m = values_of(mean), r = values_of(rdev);
    for (int row = 0; row < s.rows; ++row) {
      double sum = 0.0, squares = 0.0;
      for (int c = 0; c < s.width; ++c) sum += in[row * s.width + c];
      for (int c = 0; c < s.width; ++c) squares += std::pow(in[row * s.width + c] - sum / s.width, 2);
      EXPECT_NEAR(m[row], sum / s.width, 1e-14);
      EXPECT_NEAR(r[row], 1.0 / std::sqrt(squares / s.width + 1e-5), 1e-12);
      for (int c = 0; c < s.width; ++c) EXPECT_NEAR(out[row * s.width + c], (in[row * s.width + c] - m[row]) * r[row], 1e-13);
    }
    const auto again = test::nan_matrix<double>(s.rows, s.width);
    LayerNorm<double>::normalise_with(Exec(), x, mean, rdev, again);
    Kokkos::fence();
    EXPECT_EQ(values_of(again), out);
  }
}

TEST(LayerNorm, GradientsMatchDifferences) {
  for (const Shape& s : kShapes) {
    for (const double beta : {0.0, 1.0}) {
      SCOPED_TRACE(fmt::format("{} x {}, beta {}", s.rows, s.width, beta));
      ParamStore<double> store;
      const LayerNorm<double> layer(store, "norm", s.width);
      store.finalize(2);
      for (const TensorInfo& t : store.tensors()) store.set(t, test::random_values(t.size, 4 + t.offset));
      TestStep<double> step;
      const auto x = random_matrix<double>(s.rows, s.width, 5), dx = test::nan_matrix<double>(s.rows, s.width);
      View2<double> hat;
      View1<double> rdev;
      test::GradientCase c;
      c.forward = [&] {
        hat = step.arena.matrix<double>(s.rows, s.width);
        rdev = step.arena.array<double>(s.rows);
        const auto y = step.arena.matrix<double>(s.rows, s.width);
        LayerNorm<double>::normalise(step.exec, x, hat, rdev);
        layer.affine(step.exec, hat, y);
        return y;
      };
      c.backward = [&](View2<double> dy) {
        const auto partial = step.arena.matrix<double>(1, 2 * s.width);
        layer.backward_rows(step.exec, hat, rdev, dy, dx, beta, View1<double>(partial.data(), 2 * s.width));
        layer.add_partials(step, partial);
      };
      c.inputs = {{"x", x, dx, beta != 0.0}};
      c.params = &store;
      test::expect_gradients(step, c);
    }
  }
}

// Folded into the product behind it, the affine map leaves values and gradients as they are.
TEST(LayerNorm, FoldGradientsMatchDifferences) {
  for (const auto& [outputs, width] : {std::pair{5, 7}, {3, 37}, {1, 64}}) {
    ParamStore<double> store;
    const LayerNorm<double> norm(store, "norm", width);
    const auto weight = store.add("weight", {static_cast<std::size_t>(outputs), static_cast<std::size_t>(width)}, Init::normal(1.0));
    const auto bias = store.add("bias", {static_cast<std::size_t>(outputs)}, Init::normal(1.0));
    store.finalize(2);
    for (const TensorInfo& t : store.tensors()) store.set(t, test::random_values(t.size, 4 + t.offset));
    TestStep<double> step;
    const auto hat = random_matrix<double>(6, width, 8);
    View2<double> folded;
    test::GradientCase c;
    c.forward = [&, outputs = outputs, width = width] {
      folded = step.arena.matrix<double>(outputs, width);
      const auto folded_bias = step.arena.array<double>(outputs);
      AffineFold<double>::forward(step.exec, weight.value(), bias.value1(), norm.weight.value1(), norm.bias.value1(), folded, folded_bias);
      // All of it: products with the rows of hat, and the bias as one more row.
      const auto y = step.arena.matrix<double>(7, outputs);
      Matmul<double>::nt(step.exec, hat, folded, row_range(y, 0, 6));
      Kokkos::deep_copy(step.exec, row_range(y, 6, 7), View2<double>(folded_bias.data(), 1, outputs));
      return y;
    };
    c.backward = [&, outputs = outputs, width = width](View2<double> dy) {
      const auto dfolded = step.arena.matrix<double>(outputs, width);
      const auto dbias = step.arena.array<double>(outputs);
      Matmul<double>::tn(step.exec, row_range(dy, 0, 6), hat, dfolded, 0.0);
      Kokkos::deep_copy(step.exec, View2<double>(dbias.data(), 1, outputs), row_range(dy, 6, 7));
      AffineFold<double>::backward(step.exec, weight.value(), norm.weight.value1(), norm.bias.value1(), dfolded, dbias, weight.grad(), bias.grad1(),
                                   norm.weight.grad1(), norm.bias.grad1());
    };
    c.params = &store;
    test::expect_gradients(step, c);
  }
}

}  // namespace
}  // namespace gnn_hpc
