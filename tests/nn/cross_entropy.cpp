// SPDX-License-Identifier: Apache-2.0
#include "nn/cross_entropy.hpp"
#include "nn/growing_array.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using test::TestStep;
using test::values_of;

struct HeadCase {
  const char* name;
  int rows = 6, width = 5, vocabulary = 7;
  int every = 3;  ///< each so-many-th row has no target; 1: none has one
};
void PrintTo(const HeadCase& c, std::ostream* os) { *os << c.name; }

class Head : public ::testing::TestWithParam<HeadCase> {
 protected:
  Head()
      : p(GetParam()),
        norm(store, "norm", p.width),
        head(store, "head", p.width, p.vocabulary),
        step(Mode::train, std::size_t{1} << 25),
        x(test::random_matrix<double>(static_cast<std::size_t>(p.rows), static_cast<std::size_t>(p.width), 3)) {
    store.finalize(1);
    for (const TensorInfo& t : store.tensors()) {
      std::vector<double> values = test::random_values(t.size, 5 + t.offset);
      for (double& v : values) v *= 0.5;
      store.set(t, values);
    }
    for (int r = 0; r < p.rows; ++r) targets.push_back(r % p.every == 0 ? -1 : r * 5 % p.vocabulary);
    target = memory.assign(step.exec, targets);
  }
  void normalise() {
    hat = step.arena.matrix<double>(x.extent(0), x.extent(1));
    rdev = step.arena.array<double>(x.extent(0));
    LayerNorm<double>::normalise(step.exec, x, hat, rdev);
  }

  HeadCase p;
  ParamStore<double> store;
  LayerNorm<double> norm;
  VocabularyHead<double> head;
  TestStep<double> step;
  View2<double> x, hat;
  View1<double> rdev;
  std::vector<int> targets;
  GrowingArray<int> memory;
  View1<int> target;
};

TEST_P(Head, LossIsThatOfTheLogits) {
  normalise();
  const auto z = step.arena.matrix<double>(x.extent(0), static_cast<std::size_t>(p.vocabulary));
  head.logits(step, norm, hat, z);
  const auto loss = head.loss(step, norm, hat, rdev, target, 4.0, View2<double>());
  step.exec.fence();
  const auto logits = values_of(z);
  double expected = 0.0;
  for (std::size_t r = 0; r < targets.size(); ++r) {
    if (targets[r] < 0) continue;
    const double* row = &logits[r * static_cast<std::size_t>(p.vocabulary)];
    double sum = 0.0;
    for (int v = 0; v < p.vocabulary; ++v) sum += std::exp(row[v]);
    expected += (std::log(sum) - row[targets[r]]) / 4.0;
  }
  EXPECT_NEAR(values_of(loss)[0], expected, 1e-12 * (1.0 + expected));
}

TEST_P(Head, GradientsMatchDifferences) {
  const auto dx = test::nan_matrix<double>(x.extent(0), x.extent(1));
  test::GradientCase c;
  c.forward = [&] {
    normalise();
    return View2<double>(head.loss(step, norm, hat, rdev, target, 4.0, View2<double>()).data(), 1, 1);
  };
  c.backward = [&](View2<double> dy) { head.loss(step, norm, hat, rdev, target, 4.0 / values_of(dy)[0], dx); };
  c.inputs = {{"x", x, dx}};
  c.params = &store;
  test::expect_gradients(step, c);
}

INSTANTIATE_TEST_SUITE_P(Cases, Head,
                         ::testing::Values(HeadCase{.name = "small"}, HeadCase{.name = "one_row", .rows = 2, .every = 2},
                                           HeadCase{.name = "no_target", .rows = 4, .every = 1}, HeadCase{.name = "no_rows", .rows = 0},
                                           HeadCase{.name = "bytes_in_chunks", .rows = 700, .width = 9, .vocabulary = 256},
                                           HeadCase{.name = "wide", .rows = 70, .width = 33, .vocabulary = 1001}),
                         [](const auto& one) { return std::string(one.param.name); });

// Logits far from 0 neither overflow nor lose the loss.
TEST(VocabularyHead, LargeLogits) {
  ParamStore<float> store;
  const LayerNorm<float> norm(store, "norm", 4);
  const VocabularyHead<float> head(store, "head", 4, 3);
  store.finalize(1);
  store.set(*store.find("head.bias"), {500.0, 0.0, -500.0});
  TestStep<float> step;
  const View2<float> hat("hat", 2, 4), dx("dx", 2, 4);
  const View1<float> rdev("rdev", 2);
  GrowingArray<int> memory;
  const auto loss = head.loss(step, norm, hat, rdev, memory.assign(step.exec, std::vector<int>{0, 2}), 1.0, dx);
  step.exec.fence();
  EXPECT_NEAR(values_of(loss)[0], 1000.0, 1e-3);
  EXPECT_TRUE(test::all_finite(values_of(head.bias.grad())));
}

}  // namespace
}  // namespace gnn_hpc
