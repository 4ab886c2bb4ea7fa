// SPDX-License-Identifier: Apache-2.0
#include "train/optimizer.hpp"

#include "base/random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace gnn_hpc {
namespace {

/// Tensors of both groups, one unused, sizes that are no multiple of the padding.
template <class T>
struct Fixture {
  ParamStore<T> store;
  Param<T> weight, bias, dead;
  Buffer<T> buffer;
  Fixture() {
    weight = store.add("layer.weight", {7, 11}, Init::normal(1.0));
    bias = store.add("layer.bias", {11}, Init::normal(1.0));
    dead = store.add("lemb.weight", {3, 5}, Init::normal(1.0), /*used=*/false);
    buffer = store.add_buffer("bn.running_mean", {4}, 0.25);
    store.finalize(5);
  }
  void set_gradients(int step, double scale = 1.0) {
    const auto host = Kokkos::create_mirror_view(store.gradients());
    const RandomKey key{17, static_cast<std::uint64_t>(step)};
    for (std::size_t i = 0; i < host.extent(0); ++i) host(i) = T(0);
    for (const TensorInfo& t : store.tensors()) {
      for (std::size_t i = 0; i < t.size; ++i) host(t.offset + i) = static_cast<T>(scale * key.normal(t.offset + i));
    }
    Kokkos::deep_copy(store.gradients(), host);
  }
  std::vector<double> gradients(const char* name) { return store.get_gradient(*store.find(name)); }
  std::vector<double> values(const char* name) { return store.get(*store.find(name)); }
};

/// Plain loops over one tensor, as the formulae stand in the header.
struct Expected {
  std::vector<double> p, m, v;
  int t = 0;
  explicit Expected(std::vector<double> values) : p(std::move(values)), m(p.size()), v(p.size()) {}
  void adam(const std::vector<double>& g, StepRate rate, double decay, double scale) {
    ++t;
    for (std::size_t i = 0; i < p.size(); ++i) {
      const double x = scale * g[i];
      p[i] *= 1 - rate.learning_rate * decay;
      m[i] = rate.beta1 * m[i] + (1 - rate.beta1) * x;
      v[i] = 0.999 * v[i] + 0.001 * x * x;
      const double m_hat = m[i] / (1 - std::pow(rate.beta1, t)), v_hat = v[i] / (1 - std::pow(0.999, t));
      p[i] -= rate.learning_rate * m_hat / (std::sqrt(v_hat) + 1e-8);
    }
  }
  void sgd(const std::vector<double>& g, StepRate rate, double decay, double scale) {
    for (std::size_t i = 0; i < p.size(); ++i) {
      m[i] = rate.beta1 * m[i] + scale * g[i] + decay * p[i];
      p[i] -= rate.learning_rate * m[i];
    }
  }
};

void expect_near(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], tolerance * (1 + std::abs(b[i]))) << i;
}

template <class T>
void compare_with_formula(const std::string& rule, double clip_norm, double tolerance) {
  Fixture<T> f;
  TrainOptions options;
  options.optimizer = rule;
  options.weight_decay = 0.05;
  options.clip_norm = clip_norm;
  Optimizer<T> optimizer(f.store, options);
  Expected weight(f.values("layer.weight")), bias(f.values("layer.bias"));
  const auto dead = f.values("lemb.weight");
  const Exec exec;
  for (int s = 0; s < 12; ++s) {
    const StepRate rate{1e-2 * (1 + s), 0.95 - 0.01 * s};  // both cycle
    f.set_gradients(s);
    const auto gw = f.gradients("layer.weight"), gb = f.gradients("layer.bias");
    double squared = 0.0;
    for (const double x : gw) squared += x * x;
    for (const double x : gb) squared += x * x;  // the unused tensor does not count
    const double scale = clip_norm > 0 ? std::min(1.0, clip_norm / (std::sqrt(squared) + 1e-6)) : 1.0;
    const double decay = rule == "adam" ? 0.0 : 0.05;
    if (rule == "sgd") {
      weight.sgd(gw, rate, decay, scale);
      bias.sgd(gb, rate, 0.0, scale);
    } else {
      weight.adam(gw, rate, decay, scale);
      bias.adam(gb, rate, 0.0, scale);
    }
    optimizer.begin_step(exec);
    optimizer.apply(exec, rate);
    exec.fence();
    const auto report = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), optimizer.report());
    EXPECT_NEAR(report(Optimizer<T>::kNormSquared), squared, 1e-12 * squared);
    EXPECT_EQ(report(Optimizer<T>::kUpdates), s + 1.0);
  }
  expect_near(f.values("layer.weight"), weight.p, tolerance);
  expect_near(f.values("layer.bias"), bias.p, tolerance);
  EXPECT_EQ(f.values("lemb.weight"), dead);
}

TEST(Optimizer, AdamwFollowsItsFormula) {
  compare_with_formula<double>("adamw", 0.0, 1e-13);
  compare_with_formula<float>("adamw", 0.0, 1e-5);
}
TEST(Optimizer, AdamHasNoDecay) { compare_with_formula<double>("adam", 0.0, 1e-13); }
TEST(Optimizer, SgdFollowsItsFormula) {
  compare_with_formula<double>("sgd", 0.0, 1e-13);
  compare_with_formula<float>("sgd", 0.0, 1e-5);
}
TEST(Optimizer, ClipsByTheGlobalNorm) {
  compare_with_formula<double>("adamw", 3.0, 1e-13);
  compare_with_formula<double>("sgd", 3.0, 1e-13);
  compare_with_formula<double>("sgd", 1e9, 1e-13);
}

TEST(Optimizer, AStepThatIsNotFiniteLeavesNoTrace) {
  for (const double poison : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    Fixture<double> f;
    Optimizer<double> optimizer(f.store, TrainOptions{});
    const Exec exec;
    f.set_gradients(0);
    optimizer.begin_step(exec);
    optimizer.apply(exec, {1e-2, 0.9});
    exec.fence();
    const auto before = f.values("layer.weight");
    const auto m = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), optimizer.first_moment());

    f.set_gradients(1);
    auto gradient = f.bias.grad1();
    Kokkos::deep_copy(Kokkos::subview(gradient, 3), poison);
    optimizer.begin_step(exec);
    Kokkos::deep_copy(f.buffer.value1(), poison);  // the forward pass has spoilt the running statistics
    optimizer.apply(exec, {1e-2, 0.9});
    exec.fence();
    EXPECT_EQ(f.values("layer.weight"), before);
    EXPECT_EQ(f.store.get_buffer(f.buffer.info()), std::vector<double>(4, 0.25));
    const auto m_after = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), optimizer.first_moment());
    for (std::size_t i = 0; i < m.extent(0); ++i) EXPECT_EQ(m(i), m_after(i));
    const auto report = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), optimizer.report());
    EXPECT_EQ(report(Optimizer<double>::kUpdates), 1.0);
    EXPECT_EQ(report(Optimizer<double>::kSkipped), 1.0);
  }
}

TEST(Optimizer, ALossThatIsNotFiniteLeavesNoTraceWhateverTheGradient) {
  for (const double poison : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 3.0}) {
    Fixture<double> f;
    Optimizer<double> optimizer(f.store, TrainOptions{});
    const Exec exec;
    View1<double> loss("loss", 2);
    Kokkos::deep_copy(Kokkos::subview(loss, 0), poison);
    f.set_gradients(0);  // finite
    const auto before = f.values("layer.weight");
    optimizer.begin_step(exec);
    Kokkos::deep_copy(f.buffer.value1(), 7.0);
    optimizer.apply(exec, {1e-2, 0.9}, loss);
    exec.fence();
    const bool good = std::isfinite(poison);
    EXPECT_EQ(f.values("layer.weight") == before, !good);
    EXPECT_EQ(f.store.get_buffer(f.buffer.info()), std::vector<double>(4, good ? 7.0 : 0.25));
    const auto report = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), optimizer.report());
    EXPECT_EQ(report(Optimizer<double>::kUpdates), good ? 1.0 : 0.0);
    EXPECT_EQ(report(Optimizer<double>::kSkipped), good ? 0.0 : 1.0);
    EXPECT_GT(report(Optimizer<double>::kNormSquared), 0.0);
  }
}

TEST(Optimizer, FrozenTensorsKeepTheirBits) {
  Fixture<float> f;
  Optimizer<float> optimizer(f.store, TrainOptions{});
  optimizer.freeze({"weight"});
  const Exec exec;
  const auto weight = f.values("layer.weight"), bias = f.values("layer.bias");
  f.set_gradients(0);
  optimizer.begin_step(exec);
  optimizer.apply(exec, {1e-2, 0.9});
  exec.fence();
  EXPECT_EQ(f.values("layer.weight"), weight);
  EXPECT_NE(f.values("layer.bias"), bias);
}

TEST(Optimizer, RestingTensorsSitOutTheStep) {
  Fixture<float> f;
  Optimizer<float> optimizer(f.store, TrainOptions{});
  const Exec exec;
  const auto weight = f.values("layer.weight"), bias = f.values("layer.bias");
  optimizer.rest({"bias"});
  f.set_gradients(0);
  optimizer.begin_step(exec);
  optimizer.apply(exec, {1e-2, 0.9});
  exec.fence();
  EXPECT_NE(f.values("layer.weight"), weight);
  EXPECT_EQ(f.values("layer.bias"), bias);
  optimizer.rest({});
  optimizer.begin_step(exec);
  optimizer.apply(exec, {1e-2, 0.9});
  exec.fence();
  EXPECT_NE(f.values("layer.bias"), bias);
}

}  // namespace
}  // namespace gnn_hpc
