// SPDX-License-Identifier: Apache-2.0
#include "nn/activation.hpp"

#include "support/views.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace gnn_hpc {
namespace {

// As functors, so that they run where kernels run, and in a loop that compilers vectorise as they do in kernels.
struct Exponential {
  template <class T>
  KOKKOS_INLINE_FUNCTION T operator()(T x) const {
    return exponential(x);
  }
};
struct LogOnePlus {
  template <class T>
  KOKKOS_INLINE_FUNCTION T operator()(T x) const {
    return log_one_plus(x);
  }
};
struct Sigmoid {
  template <class T>
  KOKKOS_INLINE_FUNCTION T operator()(T x) const {
    return sigmoid(x);
  }
};
struct Silu {
  template <class T>
  KOKKOS_INLINE_FUNCTION T operator()(T x) const {
    return silu(x);
  }
};
struct SiluDerivative {
  template <class T>
  KOKKOS_INLINE_FUNCTION T operator()(T x) const {
    return silu_derivative(x);
  }
};
struct Softplus {
  template <class T>
  KOKKOS_INLINE_FUNCTION T operator()(T x) const {
    return softplus(x);
  }
};
struct SoftplusDerivative {  // as layers form it: from the stored value
  template <class T>
  KOKKOS_INLINE_FUNCTION T operator()(T x) const {
    return softplus_derivative_from_value(softplus(x));
  }
};

template <class F, class T>
std::vector<double> apply(const F& f, const std::vector<double>& arguments) {
  const View1<T> x = test::array_of<T>(arguments), y("y", arguments.size());
  Kokkos::parallel_for(
      "gnn_hpc::test::activation", Rows(0, x.extent_int(0)), KOKKOS_LAMBDA(const int i) { y(i) = f(x(i)); });
  Kokkos::fence();
  return test::values_of(y);
}

std::vector<double> range(double low, double high, int n) {
  std::vector<double> x;
  for (int i = 0; i <= n; ++i) x.push_back(static_cast<double>(static_cast<float>(low + (high - low) * i / n)));  // exact in float
  return x;
}

struct Worst {
  double absolute = 0.0, relative = 0.0;
};

template <class F, class T>
Worst worst(const F& f, const std::vector<double>& x, const std::function<double(double)>& exact) {
  const auto y = apply<F, T>(f, x);
  Worst w;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double e = exact(x[i]), d = std::abs(y[i] - e);
    if (std::isnan(y[i])) return {INFINITY, INFINITY};
    w.absolute = std::max(w.absolute, d);
    if (e != 0.0) w.relative = std::max(w.relative, d / std::abs(e));
  }
  return w;
}

double sigma(double x) { return x >= 0.0 ? 1.0 / (1.0 + std::exp(-x)) : std::exp(x) / (1.0 + std::exp(x)); }
double softplus_exact(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

TEST(Activation, ExponentialOfFloats) {
  const auto exact = [](double x) { return std::exp(x); };
  EXPECT_LT((worst<Exponential, float>({}, range(-87.0, 88.0, 200000), exact).relative), 2e-7);
  EXPECT_LT((worst<Exponential, float>({}, range(-1e-3, 1e-3, 20000), exact).relative), 1.2e-7);  // one unit in the last place; 1.08e-7 on a GPU
  EXPECT_LT((worst<Exponential, double>({}, range(-700.0, 700.0, 2000), exact).relative), 1e-15);
  const auto ends = apply<Exponential, float>({}, {0.0, -200.0, -1e30, 200.0});
  EXPECT_EQ(ends[0], 1.0);
  EXPECT_LT(ends[1], 2e-38);
  EXPECT_GE(ends[1], 0.0);
  EXPECT_LT(ends[2], 2e-38);
  EXPECT_GT(ends[3], 1e38);
}

TEST(Activation, LogOnePlusOfFloats) {
  const auto exact = [](double x) { return std::log1p(x); };
  EXPECT_LT((worst<LogOnePlus, float>({}, range(0.0, 1.0, 100000), exact).relative), 3e-7);
  EXPECT_LT((worst<LogOnePlus, float>({}, range(0.0, 1e-6, 1000), exact).relative), 3e-7);
  EXPECT_LT((worst<LogOnePlus, double>({}, range(0.0, 1.0, 1000), exact).relative), 1e-15);
}

TEST(Activation, SigmoidAndSilu) {
  const auto silu_exact = [](double x) { return x * sigma(x); };
  const auto derivative = [](double x) { return sigma(x) * (1.0 + x * (1.0 - sigma(x))); };
  const auto all = range(-100.0, 100.0, 200000), near = range(-80.0, 80.0, 100000);
  EXPECT_LT((worst<Sigmoid, float>({}, near, sigma).relative), 5e-7);
  EXPECT_LT((worst<Sigmoid, float>({}, all, sigma).absolute), 2e-7);
  EXPECT_LT((worst<Silu, float>({}, near, silu_exact).relative), 6e-7);
  EXPECT_LT((worst<Silu, float>({}, all, silu_exact).absolute), 8e-6);  // one rounding of 100
  EXPECT_LT((worst<SiluDerivative, float>({}, all, derivative).absolute), 1e-6);
  EXPECT_LT((worst<Sigmoid, double>({}, near, sigma).relative), 1e-15);
  EXPECT_LT((worst<SiluDerivative, double>({}, all, derivative).absolute), 1e-14);
}

TEST(Activation, Softplus) {
  const auto all = range(-100.0, 100.0, 200000), near = range(-80.0, 30.0, 100000);
  EXPECT_LT((worst<Softplus, float>({}, near, softplus_exact).relative), 6e-7);
  EXPECT_LT((worst<Softplus, float>({}, all, softplus_exact).absolute), 8e-6);
  EXPECT_LT((worst<Softplus, double>({}, all, softplus_exact).absolute), 2.1e-9);  // the threshold leaves out e^-20
  EXPECT_LT((worst<Softplus, double>({}, range(-100.0, 20.0, 10000), softplus_exact).relative), 1e-14);
}

TEST(Activation, SoftplusIsTheIdentityAboveTwenty) {
  const double above = std::nextafter(20.0, 21.0);
  EXPECT_EQ((apply<Softplus, double>({}, {above, 25.0, 1e6})), (std::vector<double>{above, 25.0, 1e6}));
  EXPECT_GT((apply<Softplus, double>({}, {20.0})[0]), 20.0);
  EXPECT_EQ((apply<SoftplusDerivative, double>({}, {above, 25.0, 1e6})), (std::vector<double>{1.0, 1.0, 1.0}));
}

TEST(Activation, SoftplusDerivativeFromItsValue) {
  const auto all = range(-100.0, 100.0, 200000);
  EXPECT_LT((worst<SoftplusDerivative, double>({}, all, sigma).absolute), 2.1e-9);
  EXPECT_LT((worst<SoftplusDerivative, double>({}, range(-100.0, 19.999, 10000), sigma).absolute), 3e-16);
  EXPECT_LT((worst<SoftplusDerivative, float>({}, all, sigma).absolute), 3e-7);
  EXPECT_LT((worst<SoftplusDerivative, float>({}, range(-80.0, 20.0, 100000), sigma).relative), 2e-6);  // none is lost in 1 - e^-y
}

}  // namespace
}  // namespace gnn_hpc
