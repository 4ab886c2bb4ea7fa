// SPDX-License-Identifier: Apache-2.0
// Pooling of nodes and the head behind it.
#include "nn/classifier_head.hpp"
#include "nn/node_pooling.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using test::TestStep;

View1<int> ints(const std::vector<int>& values) {
  View1<int> out("gnn_hpc::test::ints", values.size());
  const auto host = Kokkos::create_mirror_view(out);
  for (std::size_t i = 0; i < values.size(); ++i) host(i) = values[i];
  Kokkos::deep_copy(out, host);
  return out;
}

class PoolingGradients : public testing::TestWithParam<PoolingKind> {};

TEST_P(PoolingGradients, MatchDifferences) {
  ParamStore<double> store;
  const NodePooling<double> pooling(store, GetParam(), 6);
  store.finalize(3);
  const Segments nodes{ints({0, 4, 4, 5, 11}), {}, ints({0, 0, 0, 0, 2, 3, 3, 3, 3, 3, 3})};  // one graph is empty
  TestStep<double> step;
  const auto x = test::random_matrix<double>(11, 6, 4), dx = test::nan_matrix<double>(11, 6);
  NodePooling<double>::Saved saved;
  test::GradientCase c;
  c.forward = [&] { return pooling.forward(step, nodes, x, saved); };
  c.backward = [&](View2<double> dy) { pooling.backward(step, nodes, saved, dy, dx); };
  c.inputs = {{"x", x, dx}};
  c.params = &store;
  c.h = 1e-5;  // a maximum stays where it is
  test::expect_gradients(step, c);
  const auto y = test::values_of(saved.y);
  for (std::size_t i = 6; i < 12; ++i) EXPECT_EQ(y[i], 0.0) << "of a graph without nodes";
}
INSTANTIATE_TEST_SUITE_P(Kinds, PoolingGradients, testing::Values(PoolingKind::sum, PoolingKind::mean, PoolingKind::max, PoolingKind::attention),
                         [](const auto& one) {
                           return std::string(std::vector{"sum", "mean", "max", "attention"}[static_cast<std::size_t>(one.param)]);
                         });

TEST(NodePooling, TheFirstOfEqualMaximaTakesTheGradient) {
  ParamStore<double> store;
  const NodePooling<double> pooling(store, PoolingKind::max, 1);
  store.finalize(1);
  TestStep<double> step;
  const Segments nodes{ints({0, 3}), {}, ints({0, 0, 0})};
  const auto x = test::matrix_of<double>(3, 1, {1.0, 5.0, 5.0}), dx = test::nan_matrix<double>(3, 1);
  NodePooling<double>::Saved saved;
  pooling.forward(step, nodes, x, saved);
  pooling.backward(step, nodes, saved, test::matrix_of<double>(1, 1, {2.0}), dx);
  step.exec.fence();
  EXPECT_EQ(test::values_of(dx), (std::vector<double>{0.0, 2.0, 0.0}));
}

TEST(ClassifierHeadGradients, MatchDifferences) {
  for (const double rate : {0.0, 0.4}) {
    ParamStore<double> store;
    const ClassifierHead<double> head(store, "classifier", 5, 4, 3);
    store.finalize(3);
    TestStep<double> step;
    View1<std::uint64_t> key("gnn_hpc::test::key", 4);
    Kokkos::deep_copy(key, std::uint64_t{9});
    const RowDropout<double> dropout{rate, key, {}, {}, nullptr};
    const auto x = test::random_matrix<double>(4, 5, 4), dx = test::nan_matrix<double>(4, 5);
    ClassifierHead<double>::Saved saved;
    test::GradientCase c;
    c.forward = [&] { return head.forward(step, dropout, x, saved); };
    c.backward = [&](View2<double> dy) { head.backward(step, saved, dy, dx); };
    c.inputs = {{"x", x, dx}};
    c.params = &store;
    test::expect_gradients(step, c);
  }
}

/// Factors belong to the graph and the place in it, not to the batch.
TEST(RowDropout, IsTheSameInAnyBatch) {
  TestStep<float> step;
  const auto keys = [](std::uint64_t a, std::uint64_t b) {
    View1<std::uint64_t> out("gnn_hpc::test::key", 2);
    const auto host = Kokkos::create_mirror_view(out);
    host(0) = a;
    host(1) = b;
    Kokkos::deep_copy(out, host);
    return out;
  };
  const auto factors = [&](std::uint64_t a, std::uint64_t b, const std::vector<int>& ptr, const std::vector<int>& graph) {
    const RowDropout<float> dropout{0.25, keys(a, b), ints(ptr), ints(graph), nullptr};
    const auto out = dropout.factors(step, "layer", graph.size(), 40);
    step.exec.fence();
    return test::values_of(out);
  };
  const auto one = factors(3, 8, {0, 2, 5}, {0, 0, 1, 1, 1}), other = factors(8, 3, {0, 3, 5}, {0, 0, 0, 1, 1});
  EXPECT_EQ(std::vector<double>(one.begin(), one.begin() + 80), std::vector<double>(other.begin() + 120, other.end()));
  EXPECT_EQ(std::vector<double>(one.begin() + 80, one.end()), std::vector<double>(other.begin(), other.begin() + 120));
  double kept = 0.0;
  for (const double x : one) kept += x > 0.0;
  EXPECT_NEAR(kept / static_cast<double>(one.size()), 0.75, 0.1);
  step.mode = Mode::evaluate;
  EXPECT_EQ((RowDropout<float>{0.25, {}, {}, {}, nullptr}.factors(step, "layer", 5, 40).extent(0)), 0U);
}

}  // namespace
}  // namespace gnn_hpc
