// SPDX-License-Identifier: Apache-2.0
// Gradients of the whole network, and the error of its tables.
#include "models/comformer/model.hpp"
#include "models/comformer/crystals.hpp"
#include "nn/target_losses.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

#include <cstdio>

namespace gnn_hpc::comformer {
namespace {

using test::TestStep;
using test::values_of;

constexpr std::size_t kFeatures = 5;
std::vector<double> element_table() { return test::random_values(104 * kFeatures, 8); }

ModelOptions options_of(int width, int heads, int outputs, Reduction reduction) {
  ModelOptions o;
  o.node_features = width;
  o.edge_features = 9;
  o.triplet_input_features = 7;
  o.fc_features = 5;
  o.output_features = outputs;
  o.node_layer_head = heads;
  o.atom_input_features = static_cast<int>(kFeatures);
  o.reduction = reduction;
  return o;
}

struct ModelCase {
  const char* name;
  int width = 6, heads = 1, targets = 1;
  std::vector<int> atoms{2, 1, 4};  ///< of each crystal; negative: a crystal without edges
  bool tables = false;
  Reduction reduction = Reduction::csr;
  TargetSlice::Kind criterion = TargetSlice::Kind::regression;
  Mode mode = Mode::train;
  Network network = Network::icomformer;
};
void PrintTo(const ModelCase& c, std::ostream* os) { *os << c.name; }

class ModelGradients : public ::testing::TestWithParam<ModelCase> {};

/// From the loss of the targets that are present, times a random number, to all parameters.
TEST_P(ModelGradients, MatchDifferences) {
  const ModelCase p = GetParam();
  ParamStore<double> store;
  ModelOptions options = options_of(p.width, p.heads, p.targets, p.reduction);
  options.network = p.network;
  Model<double> model(store, options, element_table());
  store.finalize(5);
  unsettle(store);
  std::vector<TestCrystal> crystals;
  for (const int atoms : p.atoms) {
    crystals.push_back(random_crystal(std::abs(atoms), 300 + crystals.size()));
    crystals.back().without_edges = atoms < 0;
  }
  BatchSettings settings{.targets = p.targets, .missing_targets = p.targets > 1};
  if (p.tables) settings.tables = {32, 32};
  settings.tables.directions = p.network == Network::ecomformer;
  HostCrystalBatch host = batch_of(crystals, settings);
  if (p.criterion == TargetSlice::Kind::binary) {
    for (double& y : host.target) y = std::isnan(y) ? y : y > 0.0;
  }
  CrystalBatch<double> batch;
  batch.upload(host, Exec());
  TestStep<double> step(p.mode, std::size_t{1} << 24);
  View2<double> out, dout;
  test::GradientCase c;
  c.forward = [&] {
    out = model.forward(step, batch);
    dout = step.arena.matrix<double>(out.extent(0), out.extent(1));
    const auto loss = target_loss<double>(step, std::vector<TargetSlice>(static_cast<std::size_t>(p.targets), {p.criterion, 1, 1.0}), out,
                                          batch.target, host.loss_weight, dout);
    return View2<double>(loss.data(), 1, 1);
  };
  c.backward = [&](View2<double> dloss) {
    auto d = values_of(dout);
    for (double& v : d) v *= values_of(dloss)[0];
    test::assign(dout, d);
    model.backward(step, batch, dout);
  };
  c.params = &store;
  c.directions = 1;
  const auto result = test::check_gradients(step, c);
  for (const std::string& failure : result.failures) ADD_FAILURE() << failure;
  RecordProperty("worst", fmt::format("{:.1e}", result.worst));
}

std::string name_of(const ::testing::TestParamInfo<ModelCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(
    Cases, ModelGradients,
    ::testing::Values(ModelCase{.name = "plain"}, ModelCase{.name = "two_heads_tables", .heads = 2, .tables = true},
                      ModelCase{.name = "several_targets", .targets = 3, .criterion = TargetSlice::Kind::absolute},
                      ModelCase{.name = "binary_scatter", .heads = 2, .reduction = Reduction::scatter, .criterion = TargetSlice::Kind::binary},
                      ModelCase{.name = "tables_scatter", .targets = 2, .tables = true, .reduction = Reduction::scatter},
                      ModelCase{.name = "one_crystal", .atoms = {5}}, ModelCase{.name = "one_atom", .atoms = {1}},
                      ModelCase{.name = "without_edges", .atoms = {-2, 3, -1}}, ModelCase{.name = "no_edges", .atoms = {-2, -3}, .tables = true},
                      ModelCase{.name = "evaluate", .heads = 2, .tables = true, .mode = Mode::evaluate},
                      ModelCase{.name = "equivariant", .network = Network::ecomformer},
                      ModelCase{.name = "equivariant_tables", .heads = 2, .targets = 2, .tables = true, .network = Network::ecomformer},
                      ModelCase{.name = "equivariant_without_edges", .atoms = {-2, 3, -1}, .network = Network::ecomformer},
                      ModelCase{.name = "equivariant_evaluate", .mode = Mode::evaluate, .network = Network::ecomformer},
                      ModelCase{.name = "equivariant_empty_share", .atoms = {}, .tables = true, .network = Network::ecomformer},
                      ModelCase{.name = "empty_share", .atoms = {}}, ModelCase{.name = "empty_share_tables", .atoms = {}, .tables = true}),
    name_of);

/// Numbers of parameters of the published models.
TEST(Model, DefaultSizesAreThePublishedOnes) {
  for (const auto& [network, count] : {std::pair{Network::icomformer, std::size_t{4'966'497}}, {Network::ecomformer, std::size_t{5'583'809}}}) {
    ParamStore<float> store;
    ModelOptions options;
    options.network = network;
    const Model<float> model(store, options, test::random_values(104 * 92, 8));
    store.finalize(5);
    EXPECT_EQ(store.num_parameters(), count);
  }
}

/// Prediction [G], its parameter gradients and the loss of one training step.
struct Outcome {
  std::vector<double> prediction, gradients;
};

template <class T>
Outcome outcome_of(const std::vector<TestCrystal>& crystals, const BatchSettings& settings, Reduction reduction, int width = 32) {
  ParamStore<T> store;
  ModelOptions o = options_of(width, 1, 1, reduction);
  o.edge_features = o.triplet_input_features = 256;  // as published: sharp functions of their argument
  o.fc_features = 32;
  Model<T> model(store, o, element_table());
  store.finalize(6);
  CrystalBatch<T> batch;
  const HostCrystalBatch host = batch_of(crystals, settings);
  batch.upload(host, Exec());
  TestStep<T> step(Mode::train, std::size_t{1} << 27);
  const auto out = model.forward(step, batch);
  const auto dout = step.arena.template matrix<T>(out.extent(0), out.extent(1));
  target_loss<T>(step, std::vector<TargetSlice>(1), out, batch.target, host.loss_weight, dout);
  Outcome r;
  r.prediction = values_of(out);
  model.backward(step, batch, dout);
  Kokkos::fence();
  r.gradients = values_of(store.gradients());
  return r;
}

TEST(ModelTables, ErrorAgainstTheExactForm) {
  const auto crystals = random_crystals(12, 41);
  const BatchSettings exact{.neighbors = 12}, table{.neighbors = 12, .tables = {1024, 1024}};
  const Outcome reference = outcome_of<double>(crystals, exact, Reduction::csr);
  const Outcome tabulated = outcome_of<double>(crystals, table, Reduction::csr);
  const Outcome single = outcome_of<float>(crystals, exact, Reduction::csr), both = outcome_of<float>(crystals, table, Reduction::csr);
  const auto errors = [&](const Outcome& o) {
    return std::array{test::relative_difference(o.prediction, reference.prediction), test::relative_difference(o.gradients, reference.gradients)};
  };
  const auto t = errors(tabulated), s = errors(single), b = errors(both);
  std::printf(
      "error against double, exact (prediction, gradients; of the largest entry):\n"
      "  double, tables %.1e %.1e\n  float, exact   %.1e %.1e\n  float, tables  %.1e %.1e\n",
      t[0], t[1], s[0], s[1], b[0], b[1]);
  EXPECT_LT(t[0], 1e-7);
  EXPECT_LT(t[1], 1e-6);
  EXPECT_LT(s[0], 1e-4);
  EXPECT_LT(s[1], 1e-3);
  EXPECT_LT(b[0], 1e-4);
  EXPECT_LT(b[1], 1e-3);
}

TEST(ModelReduction, CsrAndScatterAgree) {
  const auto crystals = random_crystals(8, 42);
  for (const int points : {0, 64}) {
    const BatchSettings settings{.tables = {points, points}};
    const Outcome csr = outcome_of<double>(crystals, settings, Reduction::csr), scatter = outcome_of<double>(crystals, settings, Reduction::scatter);
    EXPECT_LT(test::relative_difference(scatter.prediction, csr.prediction), 1e-12);
    EXPECT_LT(test::relative_difference(scatter.gradients, csr.gradients), 1e-11);
  }
}

TEST(ModelReduction, CsrRepeatsBitByBit) {
  const auto crystals = random_crystals(8, 43);
  const BatchSettings settings{.tables = {256, 256}};
  const Outcome first = outcome_of<float>(crystals, settings, Reduction::csr), second = outcome_of<float>(crystals, settings, Reduction::csr);
  EXPECT_EQ(first.prediction, second.prediction);
  EXPECT_EQ(first.gradients, second.gradients);
}

}  // namespace
}  // namespace gnn_hpc::comformer
