// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/param.hpp"
#include "support/views.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace gnn_hpc::test {

/// A map with parameters, whose hand-written backward pass is compared with differences of the forward pass, in double.
struct GradientCase {
  /// An array that the map reads, and where backward leaves its gradient.
  struct Input {
    std::string name;
    View2<double> x, dx;
    bool adds = false;  ///< backward adds to dx instead of overwriting it
  };
  std::function<View2<double>()> forward;       ///< returns the output; called after `arena.reset()`
  std::function<void(View2<double>)> backward;  ///< from dy, which it may use up
  std::vector<Input> inputs;
  ParamStore<double>* params = nullptr;
  double rtol = 1e-6;
  double h = 2e-4;     ///< difference step along directions of standard normal entries; a quarter for all tensors at once
  int directions = 2;  ///< of each input and parameter tensor alone, and of all together
  std::uint64_t seed = 1;
};

struct GradientResult {
  std::vector<std::string> failures;
  double worst = 0.0;  ///< largest relative error
};

/// The loss is <w, y> with a random cotangent w. Checked:
///   - outputs, scratch and dx are NaN before, and finite after, the first forward and backward pass;
///   - a second pass leaves the same dx and adds the same parameter gradients again;
///   - along random directions u of each tensor alone and of all together, <gradient, u> equals the central difference of
///     fourth order, relative to the typical size |gradient| of such a product, or to 1e-3 of the largest tensor's;
///   - tensors that take no part keep gradients of exactly zero.
inline GradientResult check_gradients(TestStep<double>& step, const GradientCase& c) {
  GradientResult result;
  const auto fail = [&](const std::string& text) { result.failures.push_back(text); };
  struct Variable {
    std::string name;
    View2<double> at;
    std::vector<double> base, gradient;
    double typical() const { return norm(gradient); }
  };
  std::vector<Variable> variables;
  for (const auto& input : c.inputs) variables.push_back({input.name, input.x, values_of(input.x), {}});
  if (c.params) {
    for (const TensorInfo& t : c.params->tensors()) {
      if (t.used) variables.push_back({t.name, View2<double>(c.params->values().data() + t.offset, 1, t.size), c.params->get(t), {}});
    }
  }

  std::vector<double> w;
  std::vector<std::vector<double>> dx(c.inputs.size()), dparams;
  for (int pass = 0; pass < 2; ++pass) {
    if (pass == 0 && c.params) c.params->zero_gradients(step.exec);
    step.arena.reset();
    step.poison();
    const View2<double> y = c.forward();
    const std::vector<double> out = values_of(y);
    if (!all_finite(out)) fail("the output was not overwritten, or is not finite");
    if (pass == 0) w = random_values(out.size(), c.seed);
    const auto dy = matrix_of<double>(y.extent(0), y.extent(1), w);
    for (const auto& input : c.inputs) {
      if (!input.adds)
        Kokkos::deep_copy(input.dx, std::nan(""));
      else
        assign(input.dx, random_values(input.dx.size(), c.seed + 7));
    }
    step.poison();
    c.backward(dy);
    step.exec.fence();
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      std::vector<double> g = values_of(c.inputs[i].dx);
      if (c.inputs[i].adds) {
        const std::vector<double> start = random_values(g.size(), c.seed + 7);
        for (std::size_t k = 0; k < g.size(); ++k) g[k] -= start[k];
      }
      if (!all_finite(g)) fail(c.inputs[i].name + ": the gradient was not overwritten, or is not finite");
      if (pass == 1 && relative_difference(g, dx[i]) > 1e-11) fail(c.inputs[i].name + ": another gradient the second time");
      dx[i] = g;
      if (pass == 0) variables[i].gradient = g;
    }
    if (!c.params) continue;
    std::size_t at = c.inputs.size();
    for (const TensorInfo& t : c.params->tensors()) {
      std::vector<double> g = c.params->get_gradient(t);
      if (!all_finite(g)) fail(t.name + ": the gradient is not finite");
      if (!t.used) {
        if (norm(g) != 0.0) fail(t.name + ": a tensor that takes no part has a gradient");
        continue;
      }
      if (pass == 0) {
        variables[at].gradient = g;
      } else {
        for (double& x : g) x *= 0.5;
        double largest = 0.0;
        for (const Variable& v : variables) largest = std::max(largest, v.typical());
        std::vector<double> difference = g;
        for (std::size_t k = 0; k < g.size(); ++k) difference[k] -= variables[at].gradient[k];
        if (norm(difference) > 1e-11 * std::max(norm(g), 1e-3 * largest)) fail(t.name + ": gradients do not add up");
      }
      ++at;
    }
  }
  if (step.chunks() != 1) fail("the arena outgrew its first chunk: give TestStep more memory");
  if (!result.failures.empty()) return result;

  const auto loss = [&] {
    step.arena.reset();
    const View2<double> y = c.forward();
    step.exec.fence();
    return dot(w, values_of(y));
  };
  double largest = 0.0;
  for (const Variable& v : variables) largest = std::max(largest, v.typical());
  /// Moves variables [begin, end) along u.
  const auto check = [&](const std::string& name, std::size_t begin, std::size_t end, std::uint64_t seed) {
    std::vector<std::vector<double>> u;
    double analytic = 0.0, typical = 1e-3 * largest;
    for (std::size_t i = begin; i < end; ++i) {
      u.push_back(random_values(variables[i].base.size(), seed + 131 * i));
      analytic += dot(u.back(), variables[i].gradient);
      typical = std::max(typical, variables[i].typical());
    }
    const auto at = [&](double h) {
      for (std::size_t i = begin; i < end; ++i) {
        std::vector<double> x = variables[i].base;
        for (std::size_t k = 0; k < x.size(); ++k) x[k] += h * u[i - begin][k];
        assign(variables[i].at, x);
      }
      return loss();
    };
    const double h = end - begin > 1 ? 0.25 * c.h : c.h;
    const double numeric = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
    for (std::size_t i = begin; i < end; ++i) assign(variables[i].at, variables[i].base);
    if (largest == 0.0 && numeric == 0.0) return;
    const double error = std::fabs(numeric - analytic) / std::max(typical, std::fabs(analytic));
    result.worst = std::max(result.worst, error);
    if (!(error <= c.rtol)) fail(fmt::format("{}: backward {:.12g}, differences {:.12g}, relative error {:.2e}", name, analytic, numeric, error));
  };
  for (int d = 0; d < c.directions; ++d) {
    const std::uint64_t seed = c.seed + 1000003 * static_cast<std::uint64_t>(d + 1);
    for (std::size_t i = 0; i < variables.size(); ++i) {
      if (!variables[i].base.empty()) check(variables[i].name, i, i + 1, seed);
    }
    check("all tensors", 0, variables.size(), seed + 77);
  }
  return result;
}

inline void expect_gradients(TestStep<double>& step, const GradientCase& c) {
  const GradientResult result = check_gradients(step, c);
  for (const std::string& failure : result.failures) ADD_FAILURE() << failure;
}

/// <Ax, y> = <x, A'y> for a linear map and its backward pass, exact to rounding; y and dx are NaN before.
inline void expect_adjoint(const std::function<void(View2<double>, View2<double>)>& forward,
                           const std::function<void(View2<double>, View2<double>)>& backward, View2<double> x, std::size_t out_rows,
                           std::size_t out_columns, std::uint64_t seed = 3) {
  const auto y = nan_matrix<double>(out_rows, out_columns);
  const auto dx = nan_matrix<double>(x.extent(0), x.extent(1));
  forward(x, y);
  Kokkos::fence();
  const std::vector<double> dy = random_values(out_rows * out_columns, seed);
  backward(matrix_of<double>(out_rows, out_columns, dy), dx);
  Kokkos::fence();
  const auto out = values_of(y), back = values_of(dx), in = values_of(x);
  ASSERT_TRUE(all_finite(out)) << "the output was not overwritten";
  ASSERT_TRUE(all_finite(back)) << "the gradient was not overwritten";
  EXPECT_NEAR(dot(out, dy), dot(in, back), 1e-13 * norm(out) * norm(dy));
}

}  // namespace gnn_hpc::test
