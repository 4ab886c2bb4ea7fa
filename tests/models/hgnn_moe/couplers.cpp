// SPDX-License-Identifier: Apache-2.0
// Couplers: gradients, equality of the evaluation orders, tokens that do not see each other.
#include "models/hgnn_moe/coupler.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc::hgnn_moe {
namespace {

using test::TestStep;
using test::values_of;

struct CouplerCase {
  const char* name;
  CouplerType type = CouplerType::hgnn;
  HyperedgeStrategy strategy = HyperedgeStrategy::all_pairs;
  HypergraphForm form = HypergraphForm::collapsed;
  int experts = 3, convolutions = 2, width = 5, rows = 4;
  HypergraphNorm norm = HypergraphNorm::pyg;
  WeightTransform transform = WeightTransform::none;
  bool learnable = true;
};
void PrintTo(const CouplerCase& c, std::ostream* os) { *os << c.name; }

ModelOptions options_of(const CouplerCase& c) {
  ModelOptions o;
  o.embed_dim = c.width;
  o.num_heads = 1;
  o.num_experts = c.experts;
  o.gnn_layers = c.convolutions;
  o.coupler_type = c.type;
  o.strategy = c.strategy;
  o.form = c.form;
  o.norm = c.norm;
  o.weight_transform = c.transform;
  o.learnable_edge_weights = c.learnable;
  return o;
}

/// Parameters that are all of the same size; hyperedge weights with degrees away from 0.
void unsettle(ParamStore<double>& store) {
  for (const TensorInfo& t : store.tensors()) {
    std::vector<double> values = test::random_values(t.size, fnv1a64(t.name));
    for (double& v : values) v = t.name.ends_with("hyperedge_weights") ? 0.7 + 0.3 * std::fabs(v) : 0.6 * v;
    if (t.name.ends_with("hyperedge_weights") && values.size() > 2) values[1] = -0.2;
    store.set(t, values);
  }
}

/// factor[e] common + each
std::vector<double> whole_gradient(const OutputGradient<double>& g, std::size_t rows, int experts, int width) {
  const auto e = static_cast<std::size_t>(experts), d = static_cast<std::size_t>(width);
  std::vector<double> out(rows * e * d, 0.0);
  if (g.each.extent(1) > 0) out = values_of(g.each);
  if (g.common.extent(1) == 0) return out;
  const auto common = values_of(g.common), factor = values_of(g.factor);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] += factor[i / d % e] * common[i / (e * d) * d + i % d];
  return out;
}

class Couplers : public ::testing::TestWithParam<CouplerCase> {
 protected:
  Couplers()
      : p(GetParam()),
        coupler(make_coupler(store, "coupler", options_of(p))),
        step(Mode::train, std::size_t{1} << 24),
        x(test::random_matrix<double>(static_cast<std::size_t>(p.rows), static_cast<std::size_t>(p.experts * p.width), 3)) {
    store.finalize(1);
    unsettle(store);
  }
  View2<double> run(View2<double> in, View2<double> base = {}) {
    const auto y = step.arena.matrix<double>(in.extent(0), static_cast<std::size_t>(p.width));
    coupler->forward(step, in, base, y);
    step.exec.fence();
    return y;
  }

  CouplerCase p;
  ParamStore<double> store;
  std::unique_ptr<Coupler<double>> coupler;
  TestStep<double> step;
  View2<double> x;
};

TEST_P(Couplers, GradientsMatchDifferences) {
  const auto dx = test::nan_matrix<double>(x.extent(0), x.extent(1));
  test::GradientCase c;
  c.forward = [&] { return run(x); };
  c.backward = [&](View2<double> dy) { test::assign(dx, whole_gradient(coupler->backward(step, dy), x.extent(0), p.experts, p.width)); };
  c.inputs = {{"x", x, dx}};
  c.params = &store;
  const auto result = test::check_gradients(step, c);
  for (const std::string& failure : result.failures) ADD_FAILURE() << failure;
  RecordProperty("worst", fmt::format("{:.1e}", result.worst));
}

// Bit by bit: no operation joins two tokens, so that no token can read a later one.
TEST_P(Couplers, TokensDoNotSeeEachOther) {
  if (p.rows < 2) return;
  const auto before = values_of(run(x));
  const auto changed = test::random_matrix<double>(x.extent(0), x.extent(1), 77);
  const int kept = p.rows / 2, d = p.width;
  Kokkos::deep_copy(row_range(changed, 0, kept), row_range(x, 0, kept));
  const auto after = values_of(run(changed));
  for (int i = 0; i < kept * d; ++i) EXPECT_EQ(after[static_cast<std::size_t>(i)], before[static_cast<std::size_t>(i)]);
}

TEST_P(Couplers, AddsTheBase) {
  const auto alone = values_of(run(x)), base = test::random_values(alone.size(), 4);
  auto sum = values_of(run(x, test::matrix_of<double>(x.extent(0), static_cast<std::size_t>(p.width), base)));
  for (std::size_t i = 0; i < sum.size(); ++i) EXPECT_NEAR(sum[i], alone[i] + base[i], 1e-13);
}

// Collapsed, dense and incidence form: one function, hence also the same gradients.
TEST_P(Couplers, EvaluationOrdersAgree) {
  if (p.type != CouplerType::hgnn || p.form != HypergraphForm::collapsed) return;
  const auto dy = test::random_matrix<double>(x.extent(0), static_cast<std::size_t>(p.width), 6);
  const auto outcome = [&](HypergraphForm form) {
    CouplerCase other = p;
    other.form = form;
    ParamStore<double> parameters;
    const auto c = make_coupler(parameters, "coupler", options_of(other));
    parameters.finalize(1);
    unsettle(parameters);
    parameters.zero_gradients(step.exec);
    const auto y = step.arena.matrix<double>(x.extent(0), static_cast<std::size_t>(p.width));
    c->forward(step, x, View2<double>(), y);
    std::vector<double> out = values_of(y);
    const auto g = whole_gradient(c->backward(step, dy), x.extent(0), p.experts, p.width);
    step.exec.fence();
    out.insert(out.end(), g.begin(), g.end());
    for (const double v : values_of(parameters.gradients())) out.push_back(v);
    return out;
  };
  const auto collapsed = outcome(HypergraphForm::collapsed);
  EXPECT_LT(test::relative_difference(outcome(HypergraphForm::dense), collapsed), 1e-12);
  EXPECT_LT(test::relative_difference(outcome(HypergraphForm::incidence), collapsed), 1e-12);
}

constexpr auto kGnn = CouplerType::gnn;
constexpr auto kDense = HypergraphForm::dense;
constexpr auto kIncidence = HypergraphForm::incidence;
constexpr auto kTriplets = HyperedgeStrategy::all_triplets;
constexpr auto kAll = HyperedgeStrategy::all;
constexpr auto kPaper = HypergraphNorm::paper;
constexpr auto kSoftplus = WeightTransform::softplus;

INSTANTIATE_TEST_SUITE_P(
    Cases, Couplers,
    ::testing::Values(CouplerCase{.name = "pairs"}, CouplerCase{.name = "pairs_folded", .rows = 12},
                      CouplerCase{.name = "pairs_dense", .form = kDense}, CouplerCase{.name = "pairs_incidence", .form = kIncidence},
                      CouplerCase{.name = "paper", .experts = 4, .norm = kPaper}, CouplerCase{.name = "paper_dense", .form = kDense, .norm = kPaper},
                      CouplerCase{.name = "paper_incidence", .form = kIncidence, .norm = kPaper},
                      CouplerCase{.name = "softplus", .rows = 11, .transform = kSoftplus},
                      CouplerCase{.name = "softplus_paper_incidence", .form = kIncidence, .norm = kPaper, .transform = kSoftplus},
                      CouplerCase{.name = "triplets", .strategy = kTriplets, .experts = 5, .convolutions = 3},
                      CouplerCase{.name = "triplets_folded", .strategy = kTriplets, .experts = 4, .convolutions = 3, .rows = 20},
                      CouplerCase{.name = "one_hyperedge", .strategy = kAll, .rows = 10}, CouplerCase{.name = "unweighted", .learnable = false},
                      CouplerCase{.name = "unweighted_folded", .rows = 10, .learnable = false},
                      CouplerCase{.name = "no_hyperedge", .strategy = kTriplets, .experts = 2}, CouplerCase{.name = "one_expert", .experts = 1},
                      CouplerCase{.name = "no_convolution", .convolutions = 0}, CouplerCase{.name = "wide", .experts = 8, .width = 37, .rows = 80},
                      CouplerCase{.name = "one_row", .rows = 1}, CouplerCase{.name = "no_rows", .rows = 0},
                      CouplerCase{.name = "no_rows_dense", .form = kDense, .rows = 0},
                      CouplerCase{.name = "many_pieces", .experts = 2, .width = 3, .rows = 1100}, CouplerCase{.name = "gnn", .type = kGnn},
                      CouplerCase{.name = "gnn_one_expert", .type = kGnn, .experts = 1},
                      CouplerCase{.name = "gnn_three_layers", .type = kGnn, .experts = 4, .convolutions = 3, .rows = 3},
                      CouplerCase{.name = "gnn_wide", .type = kGnn, .experts = 2, .width = 37},
                      CouplerCase{.name = "gnn_no_layer", .type = kGnn, .convolutions = 0},
                      CouplerCase{.name = "gnn_pieces", .type = kGnn, .experts = 2, .width = 3, .rows = 300},
                      CouplerCase{.name = "gnn_no_rows", .type = kGnn, .rows = 0}),
    [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace gnn_hpc::hgnn_moe
