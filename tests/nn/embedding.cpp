// SPDX-License-Identifier: Apache-2.0
#include "nn/embedding.hpp"
#include "nn/growing_array.hpp"
#include "support/views.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using test::values_of;

TEST(Embedding, AddsTheRowsOfEveryIdInOrder) {
  for (const std::size_t width : {1U, 33U, 300U}) {
    ParamStore<double> store;
    const Embedding<double> table(store, "emb", 6, static_cast<int>(width));
    store.finalize(1);
    test::TestStep<double> step;
    const std::vector<int> id{4, 0, 4, 2, 0, 4, 4}, bucket_id{0, 2, 4}, bucket_ptr{0, 2, 3, 7}, bucket_row{1, 4, 3, 0, 2, 5, 6};
    GrowingArray<int> a, b, c;
    const auto dy = test::random_matrix<double>(id.size(), width, 2);
    store.zero_gradients(step.exec);
    for (int twice = 0; twice < 2; ++twice) {
      table.backward(step, a.assign(step.exec, bucket_id), b.assign(step.exec, bucket_ptr), c.assign(step.exec, bucket_row), dy);
    }
    step.exec.fence();
    const auto g = values_of(dy), out = values_of(table.weight.grad());
    std::vector<double> expected(6 * width, 0.0);
    for (std::size_t r = 0; r < id.size(); ++r) {
      for (std::size_t k = 0; k < width; ++k) expected[static_cast<std::size_t>(id[r]) * width + k] += 2.0 * g[r * width + k];
    }
    for (std::size_t i = 0; i < out.size(); ++i) EXPECT_NEAR(out[i], expected[i], 1e-13);
  }
}

TEST(Embedding, NoRows) {
  ParamStore<double> store;
  const Embedding<double> table(store, "emb", 3, 4);
  store.finalize(1);
  test::TestStep<double> step;
  GrowingArray<int> a, b, c;
  store.zero_gradients(step.exec);
  table.backward(step, a.assign(step.exec, std::vector<int>{}), b.assign(step.exec, std::vector<int>{0}), c.assign(step.exec, std::vector<int>{}),
                 View2<double>("none", 0, 4));
  step.exec.fence();
  for (const double g : values_of(table.weight.grad())) EXPECT_EQ(g, 0.0);
}

}  // namespace
}  // namespace gnn_hpc
