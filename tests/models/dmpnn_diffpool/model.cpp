// SPDX-License-Identifier: Apache-2.0
// Gradients of the whole network; what must not change its result.
#include "models/dmpnn_diffpool/model.hpp"

#include "models/dmpnn_diffpool/molecules.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc::dmpnn {
namespace {

using test::TestStep;
using test::values_of;

struct ModelCase {
  const char* name;
  ModelOptions options{};
  std::vector<int> atoms{9, 1, 13, -3};  ///< of each molecule; negative: without bonds
  TargetSlice::Kind kind = TargetSlice::Kind::regression;
  int targets = 1;
  Mode mode = Mode::train;
};
void PrintTo(const ModelCase& c, std::ostream* os) { *os << c.name; }

ModelOptions small(ModelOptions o) {
  o.hidden_dim = 7;
  o.ffn_hidden = 6;
  if (o.head_width == 0) o.head_width = o.assign == Assign::batch ? 40 : 8;
  return o;
}

std::vector<TestMolecule> molecules_of(const ModelCase& c) {
  std::vector<TestMolecule> out;
  for (const int atoms : c.atoms) {
    out.push_back(random_molecule(atoms, 20 + out.size(), c.targets, c.options.descriptors, c.options.encoder == Encoder::wdmpnn));
    for (double& y : out.back().target) {
      if (c.kind == TargetSlice::Kind::binary && std::isfinite(y)) y = y > 0.0;
      if (c.kind == TargetSlice::Kind::multiclass && std::isfinite(y)) y = std::fabs(std::fmod(std::floor(3.0 * y), 3.0));
    }
  }
  return out;
}

/// A model with its batch and one step.
template <class T>
struct Network {
  ModelOptions options;
  std::vector<TargetSlice> slices;
  ParamStore<T> store;
  Model<T> model;
  MoleculeBatch<T> batch;
  TestStep<T> step;
  double divisor = 0.0;

  static ModelOptions with_outputs(ModelOptions o, const ModelCase& c) {
    o = small(o);
    o.outputs = c.targets * (c.kind == TargetSlice::Kind::multiclass ? 3 : 1);
    return o;
  }
  Network(const ModelCase& c, const ModelOptions& o, const std::vector<TestMolecule>& molecules)
      : options(with_outputs(o, c)),
        slices(static_cast<std::size_t>(c.targets), TargetSlice{c.kind, c.kind == TargetSlice::Kind::multiclass ? 3 : 1, 1.0}),
        model(store, options, kAtomWidth, kBondWidth),
        step(c.mode, std::size_t{1} << 24) {
    store.finalize(4);
    model.set_tables(table_of(kAtomTypes, kAtomWidth, 1), table_of(kBondTypes, kBondWidth, 2));
    const HostMoleculeBatch host = batch_of(options, molecules);
    divisor = host.loss_weight;
    batch.upload(host, Exec());
    batch.upload(host, Exec());  // memory is reused
  }
  std::vector<double> outputs() {
    step.arena.reset();
    const auto out = values_of(model.forward(step, batch));
    return out;
  }
  /// Total, main, link and entropy losses, then all gradients.
  std::vector<double> losses_and_gradients() {
    step.arena.reset();
    store.zero_gradients(step.exec);
    model.forward(step, batch);
    const auto loss = model.loss(step, batch, slices, divisor);
    model.backward(step, batch);
    step.exec.fence();
    std::vector<double> out;
    for (const auto& l : {loss.total, loss.main, loss.link, loss.entropy}) out.push_back(values_of(l)[0]);
    for (const TensorInfo& t : store.tensors()) {
      const auto g = store.get_gradient(t);
      out.insert(out.end(), g.begin(), g.end());
    }
    return out;
  }
};

class DmpnnModel : public ::testing::TestWithParam<ModelCase> {};

/// The total loss of a training step against differences of it, with and without shared states.
TEST_P(DmpnnModel, GradientsMatchDifferences) {
  const ModelCase p = GetParam();
  const auto molecules = molecules_of(p);
  for (const bool sharing : {true, false}) {
    ModelOptions o = p.options;
    o.sharing = sharing;
    Network<double> n(p, o, molecules);
    test::GradientCase c;
    c.forward = [&] {
      n.model.forward(n.step, n.batch);
      return View2<double>(n.model.loss(n.step, n.batch, n.slices, n.divisor).total.data(), 1, 1);
    };
    // The gradient is that of the loss itself: the cotangent goes into the divisor's place.
    c.backward = [&](View2<double> dloss) {
      const double factor = values_of(dloss)[0];
      const auto before = values_of(n.store.gradients());
      n.model.backward(n.step, n.batch);
      n.step.exec.fence();
      auto g = values_of(n.store.gradients());
      for (std::size_t i = 0; i < g.size(); ++i) g[i] = before[i] + factor * (g[i] - before[i]);
      test::assign(View2<double>(n.store.gradients().data(), 1, g.size()), g);
    };
    c.params = &n.store;
    c.directions = 1;
    c.h = 2e-6;  // kinks of relu are rarely that near
    const auto result = test::check_gradients(n.step, c);
    for (const std::string& failure : result.failures) ADD_FAILURE() << (sharing ? "shared: " : "each: ") << failure;
    RecordProperty(sharing ? "worst_shared" : "worst", fmt::format("{:.1e}", result.worst));
  }
}

TEST_P(DmpnnModel, SharedStatesChangeNothing) {
  const ModelCase p = GetParam();
  if (p.options.dropout > 0.0) GTEST_SKIP() << "dropout takes states apart";
  const auto molecules = molecules_of(p);
  ModelOptions o = p.options;
  Network<double> shared(p, o, molecules);
  o.sharing = false;
  Network<double> each(p, o, molecules);
  EXPECT_LE(shared.batch.plan.num_rows_z, each.batch.plan.num_rows_z);
  const auto out = each.outputs();
  if (out.empty()) {
    EXPECT_TRUE(shared.outputs().empty());
  } else {
    EXPECT_LT(test::relative_difference(shared.outputs(), out), 1e-12);
  }
  EXPECT_LT(test::relative_difference(shared.losses_and_gradients(), each.losses_and_gradients()), 1e-11);
}

/// Neither the order of atoms and bonds nor the batch that a molecule is in.
TEST_P(DmpnnModel, OrderAndCompanyChangeNothing) {
  ModelCase p = GetParam();
  p.mode = Mode::evaluate;
  if (p.options.assign == Assign::batch || p.options.coarse_graph == CoarseGraph::legacy) GTEST_SKIP() << "the published code depends on both";
  const auto molecules = molecules_of(p);
  const auto all = Network<double>(p, p.options, molecules).outputs();
  std::vector<TestMolecule> other;
  for (const TestMolecule& m : molecules) other.push_back(renumbered(m, 31));
  if (!all.empty()) {
    EXPECT_LT(test::relative_difference(Network<double>(p, p.options, other).outputs(), all), 1e-12);
  }
  std::vector<double> alone;
  for (const TestMolecule& m : molecules) {
    const auto one = Network<double>(p, p.options, {m}).outputs();
    alone.insert(alone.end(), one.begin(), one.end());
  }
  if (!all.empty()) {
    EXPECT_LT(test::relative_difference(alone, all), 1e-12);
  }
}

std::string name_of(const ::testing::TestParamInfo<ModelCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(
    Cases, DmpnnModel,
    ::testing::Values(
        ModelCase{.name = "dmpnn", .options = {.encoder = Encoder::dmpnn}},
        ModelCase{.name = "dmpnn_undirected_sum",
                  .options = {.encoder = Encoder::dmpnn, .depth = 4, .undirected = true, .aggregation = Aggregation::sum}},
        ModelCase{
            .name = "dmpnn_batch_norm", .options = {.encoder = Encoder::dmpnn, .batch_norm = true, .ffn_layers = 2, .descriptors = 2}, .targets = 3},
        ModelCase{.name = "dmpnn_dropout", .options = {.encoder = Encoder::dmpnn, .dropout = 0.2, .ffn_layers = 2, .ffn_dropout = 0.2}},
        ModelCase{.name = "weighted", .options = {.encoder = Encoder::wdmpnn}, .atoms = {8, 3, 11}, .kind = TargetSlice::Kind::binary, .targets = 2},
        ModelCase{.name = "one_level", .options = {.encoder = Encoder::diffpool}},
        ModelCase{.name = "one_level_dropout", .options = {.encoder = Encoder::diffpool, .dropout = 0.2}},
        ModelCase{.name = "two_levels", .options = {.encoder = Encoder::diffpool, .diffpool_depth = 2}},
        ModelCase{.name = "two_levels_dropout", .options = {.encoder = Encoder::diffpool, .dropout = 0.2, .diffpool_depth = 2}, .atoms = {9, 4}},
        ModelCase{.name = "three_levels_dense",
                  .options = {.encoder = Encoder::diffpool, .depth = 2, .diffpool_depth = 3, .diffpool_topk = 0, .use_mean = false}},
        ModelCase{.name = "weights_as_features",
                  .options = {.encoder = Encoder::diffpool,
                              .undirected = true,
                              .diffpool_depth = 2,
                              .coarse_edge = CoarseEdge::adjacency,
                              .aux_reduction = AuxReduction::sum},
                  .kind = TargetSlice::Kind::multiclass,
                  .targets = 2},
        ModelCase{.name = "legacy",
                  .options = {.encoder = Encoder::diffpool,
                              .diffpool_depth = 2,
                              .assign = Assign::batch,
                              .coarse_edge = CoarseEdge::adjacency,
                              .coarse_graph = CoarseGraph::legacy,
                              .adjacency_scale = 2.0,
                              .lp_max_nodes = 256,
                              .aux_reduction = AuxReduction::sum}},
        ModelCase{.name = "without_auxiliary_losses",
                  .options = {.encoder = Encoder::diffpool, .diffpool_depth = 2, .aux_reduction = AuxReduction::none}},
        ModelCase{.name = "no_bonds", .options = {.encoder = Encoder::diffpool, .diffpool_depth = 2}, .atoms = {1, -4}},
        ModelCase{.name = "no_bonds_dmpnn", .options = {.encoder = Encoder::dmpnn}, .atoms = {-2}},
        ModelCase{.name = "empty_share", .options = {.encoder = Encoder::diffpool, .diffpool_depth = 2}, .atoms = {}},
        ModelCase{.name = "empty_share_dmpnn", .options = {.encoder = Encoder::dmpnn}, .atoms = {}}),
    name_of);

/// Seed era: nothing but the predictor learns from the targets.
TEST(DmpnnModelDetached, OnlyThePredictorLearns) {
  ModelCase p{.name = "detached",
              .options = {.encoder = Encoder::diffpool, .diffpool_depth = 2, .aux_reduction = AuxReduction::none, .detach = true}};
  Network<double> n(p, p.options, molecules_of(p));
  n.losses_and_gradients();
  for (const TensorInfo& t : n.store.tensors()) {
    const bool predictor = t.name.starts_with("predictor");
    EXPECT_EQ(test::norm(n.store.get_gradient(t)) > 0.0, predictor) << t.name;
  }
}

/// With one level the prediction does not depend on S: rows of S sum to one (specification section 4.1).
TEST(DmpnnModelOneLevel, PredictionIgnoresTheAssignment) {
  ModelCase p{.name = "one_level"};
  Network<double> n(p, p.options, molecules_of(p));
  const auto before = n.outputs();
  for (const TensorInfo& t : n.store.tensors()) {
    if (t.name.find("_pool_head_") == std::string::npos) continue;
    auto values = n.store.get(t);
    for (double& v : values) v *= -3.0;
    n.store.set(t, values);
  }
  EXPECT_EQ(n.outputs(), before);
}

TEST(DmpnnModelFloat, IsTheDoubleModel) {
  const ModelCase p{.name = "float", .options = {.encoder = Encoder::diffpool, .diffpool_depth = 2}};
  const auto molecules = molecules_of(p);
  Network<float> single(p, p.options, molecules);
  Network<double> exact(p, p.options, molecules);
  EXPECT_LT(test::relative_difference(single.outputs(), exact.outputs()), 1e-5);
  EXPECT_LT(test::relative_difference(single.losses_and_gradients(), exact.losses_and_gradients()), 1e-4);
}

}  // namespace
}  // namespace gnn_hpc::dmpnn
