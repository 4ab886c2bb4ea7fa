// SPDX-License-Identifier: Apache-2.0
#include "nn/batch_norm.hpp"

#include "base/error.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

using test::random_matrix;
using test::TestStep;
using test::values_of;

/// A norm of its own store, with parameters and running statistics that are not 1 and 0.
template <class T>
struct Norm {
  ParamStore<T> store;
  BatchNorm<T> bn;
  explicit Norm(int width) : bn(store, "bn", width) {
    store.finalize(1);
    const auto n = static_cast<std::size_t>(width);
    auto gamma = test::random_values(n, 21), mean = test::random_values(n, 23), var = test::random_values(n, 24);
    for (double& g : gamma) g = 1.0 + 0.3 * g;
    for (double& v : var) v = 0.5 + v * v;
    store.set(*store.find("bn.weight"), gamma);
    store.set(*store.find("bn.bias"), test::random_values(n, 22));
    store.set_buffer(*store.find_buffer("bn.running_mean"), mean);
    store.set_buffer(*store.find_buffer("bn.running_var"), var);
  }
  std::vector<double> buffer(const std::string& name) const { return store.get_buffer(*store.find_buffer("bn." + name)); }
};

/// y = scale x + shift on the host, in double.
template <class T>
View2<T> apply(TestStep<T>& step, View2<T> x, const typename BatchNorm<T>::Saved& saved) {
  Kokkos::fence();
  auto y = values_of(x);
  const auto scale = values_of(saved.scale), shift = values_of(saved.shift);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = scale[i % scale.size()] * y[i] + shift[i % scale.size()];
  const auto out = step.arena.template matrix<T>(x.extent(0), x.extent(1));
  test::assign(out, y);
  return out;
}

std::vector<double> weights_of(std::size_t rows) {
  std::vector<double> w(rows);
  for (std::size_t r = 0; r < rows; ++r) w[r] = static_cast<double>(1 + r % 3);
  return w;
}

struct Moments {
  std::vector<double> mean, m2;
  double weight = 0.0;
};

Moments moments_of(const std::vector<double>& x, std::size_t width, const std::vector<double>& w) {
  Moments m{std::vector<double>(width, 0.0), std::vector<double>(width, 0.0), 0.0};
  for (const double v : w) m.weight += v;
  for (std::size_t i = 0; i < x.size(); ++i) m.mean[i % width] += w[i / width] * x[i] / m.weight;
  for (std::size_t i = 0; i < x.size(); ++i) m.m2[i % width] += w[i / width] * std::pow(x[i] - m.mean[i % width], 2);
  return m;
}

TEST(BatchNorm, StatisticsAndRunningStatistics) {
  for (const std::size_t rows : {2U, 63U, 64U, 65U, 4200U}) {
    for (const std::size_t width : {1U, 32U, 69U}) {
      for (const bool weighted : {false, true}) {
        SCOPED_TRACE(fmt::format("{} x {}, weighted {}", rows, width, weighted));
        Norm<double> n(static_cast<int>(width));
        TestStep<double> step(Mode::train, std::size_t{1} << 23);
        const auto old_mean = n.buffer("running_mean"), old_var = n.buffer("running_var");
        const auto x = random_matrix<double>(rows, width, 5);
        const auto w = weighted ? weights_of(rows) : std::vector<double>(rows, 1.0);
        step.poison();
        const auto saved = n.bn.statistics_of(step, x, weighted ? test::array_of<double>(w) : View1<double>());
        Kokkos::fence();
        const Moments m = moments_of(values_of(x), width, w);
        EXPECT_EQ(values_of(saved.total)[0], m.weight);
        const auto mean = values_of(saved.mean), rstd = values_of(saved.rstd);
        const auto new_mean = n.buffer("running_mean"), new_var = n.buffer("running_var");
        for (std::size_t c = 0; c < width; ++c) {
          EXPECT_NEAR(mean[c], m.mean[c], 1e-13);
          EXPECT_NEAR(rstd[c], 1.0 / std::sqrt(m.m2[c] / m.weight + 1e-5), 1e-11);
          EXPECT_NEAR(new_mean[c], 0.9 * old_mean[c] + 0.1 * m.mean[c], 1e-13);
          EXPECT_NEAR(new_var[c], 0.9 * old_var[c] + 0.1 * m.m2[c] / (m.weight - 1.0), 1e-12);
        }
      }
    }
  }
}

TEST(BatchNorm, AWeightedRowIsThatManyRows) {
  const std::size_t rows = 150, width = 37;
  const auto w = weights_of(rows);
  const auto x = test::random_values(rows * width, 6), g = test::random_values(rows * width, 7);
  std::vector<double> copies, copies_g;
  for (std::size_t r = 0; r < rows; ++r) {
    for (int k = 0; k < static_cast<int>(w[r]); ++k) {
      for (std::size_t c = 0; c < width; ++c) {
        copies.push_back(x[r * width + c]);
        copies_g.push_back(g[r * width + c] / w[r]);  // G of a row is summed over its copies
      }
    }
  }
  const std::size_t many = copies.size() / width;
  Norm<double> one(37), all(37);
  TestStep<double> step;
  const auto dx = test::nan_matrix<double>(rows, width), dcopies = test::nan_matrix<double>(many, width);
  const auto x1 = test::matrix_of<double>(rows, width, x), x2 = test::matrix_of<double>(many, width, copies);
  const auto weight = test::array_of<double>(w);
  const auto s1 = one.bn.statistics_of(step, x1, weight);
  const auto s2 = all.bn.statistics_of(step, x2, {});
  one.bn.backward_of(step, x1, weight, s1, test::matrix_of<double>(rows, width, g), dx);
  all.bn.backward_of(step, x2, {}, s2, test::matrix_of<double>(many, width, copies_g), dcopies);
  Kokkos::fence();
  EXPECT_LT(test::relative_difference(values_of(s1.scale), values_of(s2.scale)), 1e-13);
  EXPECT_LT(test::relative_difference(values_of(s1.shift), values_of(s2.shift)), 1e-13);
  EXPECT_LT(test::relative_difference(one.buffer("running_var"), all.buffer("running_var")), 1e-13);
  const auto d1 = values_of(dx), d2 = values_of(dcopies);
  std::vector<double> summed(d1.size(), 0.0);
  std::size_t at = 0;
  for (std::size_t r = 0; r < rows; ++r) {
    for (int k = 0; k < static_cast<int>(w[r]); ++k, ++at) {
      for (std::size_t c = 0; c < width; ++c) summed[r * width + c] += d2[at * width + c];
    }
  }
  EXPECT_LT(test::relative_difference(d1, summed), 1e-12);
  for (const TensorInfo& t : one.store.tensors()) {
    EXPECT_LT(test::relative_difference(one.store.get_gradient(t), all.store.get_gradient(*all.store.find(t.name))), 1e-12) << t.name;
  }
}

TEST(BatchNorm, OneRowAndNoRow) {
  for (const std::size_t rows : {0U, 1U}) {
    SCOPED_TRACE(rows);
    Norm<double> n(5);
    TestStep<double> step;
    const auto mean = n.buffer("running_mean"), var = n.buffer("running_var");
    const auto x = random_matrix<double>(rows, 5, 3);
    step.poison();
    const auto saved = n.bn.statistics_of(step, x, {});
    const auto y = values_of(apply<double>(step, x, saved));
    EXPECT_EQ(n.buffer("running_var"), var);  // W = 1: the unbiased variance does not exist
    const auto dx = test::nan_matrix<double>(rows, 5);
    n.bn.backward_of(step, x, {}, saved, random_matrix<double>(rows, 5, 4), dx);
    Kokkos::fence();
    const auto bias = n.store.get(*n.store.find("bn.bias"));
    if (rows == 0) {
      EXPECT_EQ(n.buffer("running_mean"), mean);
      EXPECT_TRUE(test::all_finite(values_of(saved.scale)));
      EXPECT_TRUE(test::all_finite(values_of(saved.shift)));
      EXPECT_EQ(values_of(n.store.gradients()), std::vector<double>(n.store.gradients().size(), 0.0));
      continue;
    }
    const auto row = values_of(x), new_mean = n.buffer("running_mean"), gradient = values_of(dx);
    for (std::size_t c = 0; c < 5; ++c) {
      EXPECT_NEAR(y[c], bias[c], 1e-12);
      EXPECT_NEAR(new_mean[c], 0.9 * mean[c] + 0.1 * row[c], 1e-14);
      EXPECT_NEAR(gradient[c], 0.0, 1e-12 * 316.3);  // 1/sqrt(eps) times rounding
    }
  }
}

TEST(BatchNorm, EvaluationUsesRunningStatisticsAndKeepsThem) {
  Norm<double> n(6);
  TestStep<double> step(Mode::evaluate);
  const auto before = values_of(n.store.buffers());
  const auto x = random_matrix<double>(4, 6, 3);
  const auto y = values_of(apply<double>(step, x, n.bn.statistics_of(step, x, {})));
  const auto mean = n.buffer("running_mean"), var = n.buffer("running_var"), in = values_of(x);
  const auto gamma = n.store.get(*n.store.find("bn.weight")), beta = n.store.get(*n.store.find("bn.bias"));
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::size_t c = i % 6;
    EXPECT_NEAR(y[i], gamma[c] * (in[i] - mean[c]) / std::sqrt(var[c] + 1e-5) + beta[c], 1e-13);
  }
  EXPECT_EQ(values_of(n.store.buffers()), before);
}

struct GradientShape {
  std::size_t rows, width;
  bool weighted;
  Mode mode;
  bool in_place;
};
class BatchNormShapes : public ::testing::TestWithParam<GradientShape> {};

TEST_P(BatchNormShapes, GradientMatchesDifferences) {
  const GradientShape s = GetParam();
  Norm<double> n(static_cast<int>(s.width));
  TestStep<double> step(s.mode);
  const auto x = random_matrix<double>(s.rows, s.width, 5), dx = test::nan_matrix<double>(s.rows, s.width);
  const auto w = s.weighted ? test::array_of<double>(weights_of(s.rows)) : View1<double>();
  BatchNorm<double>::Saved saved;
  test::GradientCase c;
  c.forward = [&] {
    saved = n.bn.statistics_of(step, x, w);
    return apply<double>(step, x, saved);
  };
  // apply counts every row once, so dy is what reaches the row: the sum over its copies.
  c.backward = [&](View2<double> dy) {
    n.bn.backward_of(step, x, w, saved, dy, s.in_place ? dy : dx);
    if (s.in_place) Kokkos::deep_copy(dx, dy);
  };
  c.inputs = {{"x", x, dx}};
  c.params = &n.store;
  test::expect_gradients(step, c);
}

INSTANTIATE_TEST_SUITE_P(Shapes, BatchNormShapes,
                         ::testing::Values(GradientShape{9, 3, false, Mode::train, false}, GradientShape{9, 3, true, Mode::train, true},
                                           GradientShape{70, 32, true, Mode::train, false}, GradientShape{130, 69, true, Mode::train, true},
                                           GradientShape{2, 5, false, Mode::train, false}, GradientShape{0, 5, false, Mode::train, false},
                                           GradientShape{7, 5, false, Mode::evaluate, false}, GradientShape{1, 5, true, Mode::evaluate, true},
                                           GradientShape{0, 5, true, Mode::evaluate, false}));

TEST(BatchNorm, MomentsOfFloatsFarFromZero) {
  // Mean 1000, spread 1e-2: a float sum of squares would lose the variance altogether.
  const std::size_t rows = 5000;
  std::vector<double> x = test::random_values(rows, 9);
  for (double& v : x) v = static_cast<float>(1000.0 + 0.01 * v);
  Norm<float> n(1);
  TestStep<float> step;
  const auto saved = n.bn.statistics_of(step, test::matrix_of<float>(rows, 1, x), {});
  Kokkos::fence();
  const Moments m = moments_of(x, 1, std::vector<double>(rows, 1.0));
  EXPECT_NEAR(values_of(saved.mean)[0], m.mean[0], 1e-9);
  const double rstd = 1.0 / std::sqrt(m.m2[0] / m.weight + 1e-5);
  EXPECT_NEAR(values_of(saved.rstd)[0], rstd, 1e-9 * rstd);
}

TEST(BatchNorm, PartialMomentsOfAnyGrouping) {
  // Fused kernels leave one partial an item; items without weight (an atom without edges) do not count.
  const std::size_t rows = 300, width = 33;
  const auto x = test::random_values(rows * width, 10), w = weights_of(rows);
  std::vector<double> partial, weight;
  for (std::size_t begin = 0; begin < rows;) {
    if (begin % 3 == 0) {  // an item without rows
      partial.insert(partial.end(), 2 * width, 0.0);
      weight.push_back(0.0);
    }
    const std::size_t stop = std::min(rows, begin + 1 + begin % 4);
    const Moments m = moments_of({x.begin() + static_cast<std::ptrdiff_t>(begin * width), x.begin() + static_cast<std::ptrdiff_t>(stop * width)},
                                 width, {w.begin() + static_cast<std::ptrdiff_t>(begin), w.begin() + static_cast<std::ptrdiff_t>(stop)});
    partial.insert(partial.end(), m.mean.begin(), m.mean.end());
    partial.insert(partial.end(), m.m2.begin(), m.m2.end());
    weight.push_back(m.weight);
    begin = stop;
  }
  Norm<double> n(static_cast<int>(width));
  TestStep<double> step;
  const auto saved = n.bn.statistics(step, test::matrix_of<double>(weight.size(), 2 * width, partial), test::array_of<double>(weight));
  Kokkos::fence();
  const Moments m = moments_of(x, width, w);
  const auto mean = values_of(saved.mean), rstd = values_of(saved.rstd);
  for (std::size_t c = 0; c < width; ++c) {
    EXPECT_NEAR(mean[c], m.mean[c], 1e-13);
    EXPECT_NEAR(rstd[c], 1.0 / std::sqrt(m.m2[c] / m.weight + 1e-5), 1e-11);
  }
  EXPECT_THROW(n.bn.statistics(step, test::matrix_of<double>(weight.size(), 2 * width, partial), test::array_of<double>({1.0})), Error);
}

}  // namespace
}  // namespace gnn_hpc
