// SPDX-License-Identifier: Apache-2.0
// The gate that fuses a chain with its clusters against plain loops and differences.
#include "models/partoken/fusion_gate.hpp"

#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace gnn_hpc::partoken {
namespace {

using test::TestStep;
using Values = std::vector<double>;

template <class T>
struct Case {
  ParamStore<T> store;
  FusionGate<T> gate;
  TestStep<T> step;
  RowDropout<T> dropout;
  View2<T> g, c, dg, dc;
  typename FusionGate<T>::Saved saved;

  Case(std::size_t rows, int width, double rate) : gate(store, width) {
    store.finalize(5);
    const auto columns = static_cast<std::size_t>(width);
    // Off its start, where it does nothing, so that a forgotten one shows.
    for (const char* name : {"beta_mlp.3.bias", "ln.weight", "ln.bias"}) store.set(tensor(name), test::random_values(columns, fnv1a64(name)));
    Values keys(rows);
    for (std::size_t r = 0; r < rows; ++r) keys[r] = static_cast<double>(7 * r + 1);
    dropout = {rate, test::array_of<std::uint64_t>(keys), {}, {}, nullptr};
    g = test::random_matrix<T>(rows, columns, 1);
    c = test::random_matrix<T>(rows, columns, 2);
    dg = test::nan_matrix<T>(rows, columns);
    dc = test::nan_matrix<T>(rows, columns);
  }
  const TensorInfo& tensor(const std::string& name) const { return *store.find("fw_gate." + name); }
  Values parameter(const std::string& name) const { return store.get(tensor(name)); }
  View2<T> forward() { return gate.forward(step, dropout, g, c, saved); }
  void backward(View2<T> dy) { gate.backward(step, saved, dy, dg, dc); }
};

/// y_o = w x + b
Values linear(const Values& x, const Values& w, const Values& b, std::size_t out) {
  Values y(out, 0.0);
  for (std::size_t o = 0; o < out; ++o) {
    for (std::size_t i = 0; i < x.size(); ++i) y[o] += w[o * x.size() + i] * x[i];
    if (!b.empty()) y[o] += b[o];
  }
  return y;
}

template <class T>
void expect_plain(double rate, double allowed) {
  constexpr std::size_t kRows = 4, kWidth = 7, kInner = 3;
  Case<T> one(kRows, kWidth, rate);
  const Values ours = test::values_of(one.forward()), g = test::values_of(one.g), c = test::values_of(one.c), keep = test::values_of(one.saved.keep);
  Values expected;
  for (std::size_t r = 0; r < kRows; ++r) {
    const auto at = static_cast<std::ptrdiff_t>(r * kWidth), end = at + static_cast<std::ptrdiff_t>(kWidth);
    const Values cluster(c.begin() + at, c.begin() + end);
    Values both(g.begin() + at, g.begin() + end);
    both.insert(both.end(), cluster.begin(), cluster.end());
    Values hidden = linear(both, one.parameter("beta_mlp.0.weight"), one.parameter("beta_mlp.0.bias"), kInner);
    for (std::size_t i = 0; i < kInner; ++i) hidden[i] = std::max(hidden[i], 0.0) * (rate > 0.0 ? keep[r * kInner + i] : 1.0);
    const Values beta = linear(hidden, one.parameter("beta_mlp.3.weight"), one.parameter("beta_mlp.3.bias"), kWidth),
                 projected = linear(cluster, one.parameter("proj_c.weight"), {}, kWidth);
    Values sum(kWidth);
    double mean = 0.0, variance = 0.0;
    for (std::size_t i = 0; i < kWidth; ++i) mean += (sum[i] = both[i] + projected[i] / (1.0 + std::exp(-beta[i]))) / kWidth;
    for (const double x : sum) variance += (x - mean) * (x - mean) / kWidth;
    const Values gamma = one.parameter("ln.weight"), shift = one.parameter("ln.bias");
    for (std::size_t i = 0; i < kWidth; ++i) expected.push_back((sum[i] - mean) / std::sqrt(variance + 1e-5) * gamma[i] + shift[i]);
  }
  EXPECT_LT(test::relative_difference(ours, expected), allowed);
}

TEST(FusionGate, IsThatOfPlainLoops) {
  for (const double rate : {0.0, 0.4}) {
    expect_plain<double>(rate, 1e-13);
    expect_plain<float>(rate, 1e-5);
  }
}

TEST(FusionGate, StartsHalfOpen) {
  ParamStore<float> store;
  const FusionGate<float> gate(store, 100);
  store.finalize(1);
  EXPECT_EQ(store.num_parameters(), 25350U);
  EXPECT_EQ(store.get(*store.find("fw_gate.beta_mlp.3.bias")), Values(100, 0.0));
  EXPECT_GT(test::norm(store.get(*store.find("fw_gate.beta_mlp.3.weight"))), 0.0);
}

TEST(FusionGateGradients, MatchDifferences) {
  struct {
    std::size_t rows;
    int width;
    double rate;
  } const cases[] = {{4, 6, 0.0}, {4, 7, 0.4}, {1, 5, 0.0}};
  for (const auto& one : cases) {
    SCOPED_TRACE(testing::Message() << one.rows << " rows of " << one.width);
    Case<double> fused(one.rows, one.width, one.rate);
    test::GradientCase c;
    c.forward = [&] { return fused.forward(); };
    c.backward = [&](View2<double> dy) { fused.backward(dy); };
    c.inputs = {{"g", fused.g, fused.dg}, {"c", fused.c, fused.dc}};
    c.params = &fused.store;
    c.h = 5e-5;  // relu keeps its side
    test::expect_gradients(fused.step, c);
  }
}

TEST(FusionGateGradients, WithoutRowsChangeNothing) {
  Case<double> none(0, 6, 0.4);
  none.store.zero_gradients(none.step.exec);
  EXPECT_EQ(none.forward().extent(0), 0U);
  none.step.poison();
  none.backward(test::nan_matrix<double>(0, 6));
  none.step.exec.fence();
  EXPECT_EQ(test::norm(test::values_of(none.store.gradients())), 0.0);
}

}  // namespace
}  // namespace gnn_hpc::partoken
