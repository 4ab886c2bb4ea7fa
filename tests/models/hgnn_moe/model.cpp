// SPDX-License-Identifier: Apache-2.0
// The whole language model: gradients, causality, decoding, masks and packing.
#include "models/hgnn_moe/model.hpp"
#include "base/error.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

#include <optional>

namespace gnn_hpc::hgnn_moe {
namespace {

using test::TestStep;
using test::values_of;

ModelOptions small() {
  ModelOptions o;
  o.vocab_size = 7;
  o.max_seq_length = 9;
  o.embed_dim = 6;
  o.num_layers = 2;
  o.num_heads = 2;
  o.dropout_rate = 0.0;
  o.num_experts = 2;
  o.coupler_type = CouplerType::hgnn;
  return o;
}
ModelOptions gnn() {
  ModelOptions o = small();
  o.coupler_type = CouplerType::gnn;
  return o;
}

template <class T>
void unsettle(ParamStore<T>& store) {
  for (const TensorInfo& t : store.tensors()) {
    std::vector<double> values = test::random_values(t.size, fnv1a64(t.name));
    for (double& v : values) {
      if (t.name.ends_with("hyperedge_weights"))
        v = 0.7 + 0.3 * std::fabs(v);
      else if (t.name.find("norm") != std::string::npos || t.name.find("combiner.2") != std::string::npos)
        v = 0.3 * v + (t.name.ends_with("weight") ? 1.0 : 0.0);
      else
        v *= 0.5;
    }
    store.set(t, values);
  }
}

enum class Mask { none, ends, holes };

HostTokenBatch batch_of(const ModelOptions& o, int sequences, int length, Mask mask, bool pack) {
  HostTokenBatch b;
  b.num_sequences = sequences;
  b.length = length;
  for (int i = 0; i < sequences * length; ++i) b.ids.push_back(1 + i * 5 % (o.vocab_size - 1));
  for (int i = 0; mask != Mask::none && i < sequences * length; ++i) {
    const int s = i / length, t = i % length;
    b.mask.push_back(mask == Mask::ends ? t < length - s : (i % 3 != 0 && s != 1));
  }
  finish_batch(b, o.vocab_size, pack);
  return b;
}

struct GradientModel {
  const char* name;
  ModelOptions options = small();
  int sequences = 2, length = 5;
  Mask mask = Mask::ends;
};
void PrintTo(const GradientModel& c, std::ostream* os) { *os << c.name; }

ModelOptions with(ModelOptions o, const std::function<void(ModelOptions&)>& change) {
  change(o);
  return o;
}

class ModelGradients : public ::testing::TestWithParam<GradientModel> {};

/// From total loss times a random number to all parameters.
TEST_P(ModelGradients, MatchDifferences) {
  const GradientModel p = GetParam();
  ParamStore<double> store;
  Model<double> model(store, p.options);
  store.finalize(3);
  unsettle(store);
  for (const TensorInfo& t : store.buffer_tensors()) store.set_buffer(t, {100.0, 100.0});  // ghosts that stay awake
  TokenBatch batch;
  const HostTokenBatch host = batch_of(p.options, p.sequences, p.length, p.mask, model.may_pack());
  batch.upload(host, Exec());
  TestStep<double> step(Mode::train, std::size_t{1} << 24);
  step.index = 3;
  std::vector<double> before;
  test::GradientCase c;
  c.forward = [&] {
    before = values_of(store.gradients());  // the loss leaves gradients of the head
    store.zero_gradients(step.exec);
    model.forward(step, batch);
    return View2<double>(model.loss(step, batch, std::max(host.loss_weight, 1.0)).data(), 1, 1);
  };
  c.backward = [&](View2<double> dloss) {
    model.backward(step, batch);
    const double scale = values_of(dloss)[0];
    auto g = values_of(store.gradients());
    for (std::size_t i = 0; i < g.size(); ++i) g[i] = before[i] + scale * g[i];
    const auto all = store.gradients();
    test::assign(View2<double>(all.data(), 1, all.extent(0)), g);
  };
  c.params = &store;
  c.directions = 1;
  c.h = 2e-5;  // norms over six channels bend fast
  const auto result = test::check_gradients(step, c);
  for (const std::string& failure : result.failures) ADD_FAILURE() << failure;
  RecordProperty("worst", fmt::format("{:.1e}", result.worst));
}

ModelOptions specialised(Aggregation aggregation, OrthogonalityType type, WeightTarget target) {
  ModelOptions o = gnn();
  o.num_layers = 1;
  o.orthogonality.outputs = o.orthogonality.weights = true;
  o.orthogonality.aggregation = aggregation;
  o.orthogonality.type = type;
  o.orthogonality.weight_target = target;
  o.orthogonality.warmup_steps = 10;
  return o;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, ModelGradients,
    ::testing::Values(GradientModel{.name = "hgnn"}, GradientModel{.name = "gnn", .options = gnn()},
                      GradientModel{.name = "masked_anywhere", .sequences = 3, .mask = Mask::holes},
                      GradientModel{.name = "dropout", .options = with(small(), [](ModelOptions& o) { o.dropout_rate = 0.3; }), .mask = Mask::none},
                      GradientModel{.name = "gnn_dropout", .options = with(gnn(), [](ModelOptions& o) { o.dropout_rate = 0.3; })},
                      GradientModel{.name = "dense", .options = with(small(), [](ModelOptions& o) { o.form = HypergraphForm::dense; })},
                      GradientModel{.name = "one_expert", .options = with(gnn(), [](ModelOptions& o) { o.num_experts = 1; })},
                      GradientModel{.name = "specialised_mean",
                                    .options = specialised(Aggregation::mean, OrthogonalityType::gram_identity, WeightTarget::combined)},
                      GradientModel{.name = "specialised_pool",
                                    .options = specialised(Aggregation::pool, OrthogonalityType::cosine_similarity, WeightTarget::attention)},
                      GradientModel{.name = "specialised_mean_cosine",
                                    .options = specialised(Aggregation::mean, OrthogonalityType::cosine_similarity, WeightTarget::ffn_output)},
                      GradientModel{.name = "specialised_pool_gram",
                                    .options = specialised(Aggregation::pool, OrthogonalityType::gram_identity, WeightTarget::ffn_input)},
                      GradientModel{.name = "specialised_hgnn",
                                    .options = with(specialised(Aggregation::mean, OrthogonalityType::gram_identity, WeightTarget::ffn_input),
                                                    [](ModelOptions& o) { o.coupler_type = CouplerType::hgnn; })},
                      GradientModel{.name = "ghosts", .options = with(small(), [](ModelOptions& o) { o.num_ghost_experts = 2; })},
                      GradientModel{.name = "no_target", .length = 1}, GradientModel{.name = "empty_share", .sequences = 0}),
    [](const auto& one) { return std::string(one.param.name); });

/// Logits [rows, V] of a batch, dropout off.
std::vector<double> logits_of(Model<double>& model, const HostTokenBatch& host) {
  TokenBatch batch;
  batch.upload(host, Exec());
  TestStep<double> step(Mode::evaluate, std::size_t{1} << 25);
  model.forward(step, batch);
  const auto z = model.logits(step);
  step.exec.fence();
  return values_of(z);
}

struct Shape {
  const char* name;
  ModelOptions options;
};
void PrintTo(const Shape& c, std::ostream* os) { *os << c.name; }

class EveryCoupler : public ::testing::TestWithParam<Shape> {
 protected:
  EveryCoupler() : model(store, GetParam().options) {
    store.finalize(3);
    unsettle(store);
    for (const TensorInfo& t : store.buffer_tensors()) store.set_buffer(t, {60.0, 40.0});
  }
  const ModelOptions& options() const { return GetParam().options; }
  ParamStore<double> store;
  Model<double> model;
};

// Changing a token changes no earlier logit, bit by bit; it does change its own.
TEST_P(EveryCoupler, IsCausal) {
  HostTokenBatch b = batch_of(options(), 3, 8, Mask::none, true);
  const auto before = logits_of(model, b);
  const auto v = static_cast<std::size_t>(options().vocab_size);
  for (const int from : {1, 4, 7}) {
    HostTokenBatch changed = b;
    for (int s = 0; s < 3; ++s) {
      for (int t = from; t < 8; ++t)
        changed.ids[static_cast<std::size_t>(s * 8 + t)] = 1 + b.ids[static_cast<std::size_t>(s * 8 + t)] % (options().vocab_size - 1);
    }
    finish_batch(changed, options().vocab_size, true);
    const auto after = logits_of(model, changed);
    for (int s = 0; s < 3; ++s) {
      for (int t = 0; t < 8; ++t) {
        const auto row = static_cast<std::size_t>(s * 8 + t) * v;
        const bool same = std::equal(before.begin() + static_cast<std::ptrdiff_t>(row), before.begin() + static_cast<std::ptrdiff_t>(row + v),
                                     after.begin() + static_cast<std::ptrdiff_t>(row));
        EXPECT_EQ(same, t < from) << "sequence " << s << ", position " << t << ", changed from " << from;
      }
    }
  }
}

// Keys and values kept: the same logits as running the prefix, in whatever pieces the tokens come.
TEST_P(EveryCoupler, DecodingMatchesTheWholeSequence) {
  const HostTokenBatch b = batch_of(options(), 2, 9, Mask::none, true);
  const auto whole = logits_of(model, b);
  const auto v = static_cast<std::size_t>(options().vocab_size);
  DecodeCache<double> cache(options(), 2);
  TestStep<double> step(Mode::evaluate, std::size_t{1} << 22);
  for (const std::vector<int>& pieces : {std::vector<int>{1, 1, 1, 1, 1, 1, 1, 1, 1}, std::vector<int>{5, 1, 3}, std::vector<int>{9}}) {
    cache.reset();
    int at = 0;
    for (const int n : pieces) {
      std::vector<int> ids;
      for (int s = 0; s < 2; ++s) ids.insert(ids.end(), b.ids.begin() + s * 9 + at, b.ids.begin() + s * 9 + at + n);
      at += n;
      step.arena.reset();
      step.poison();
      const auto z = values_of(model.decode(step, cache, ids));
      for (std::size_t s = 0; s < 2; ++s) {
        for (std::size_t k = 0; k < v; ++k) {
          EXPECT_NEAR(z[s * v + k], whole[(s * 9 + static_cast<std::size_t>(at) - 1) * v + k], 1e-12) << "after " << at << " tokens";
        }
      }
    }
    EXPECT_EQ(cache.length(), 9);
    EXPECT_THROW(model.decode(step, cache, std::vector<int>{1, 1}), Error);
  }
  cache.reset();
  EXPECT_THROW(model.decode(step, cache, std::vector<int>{1, options().vocab_size}), Error);
}

INSTANTIATE_TEST_SUITE_P(Couplers, EveryCoupler,
                         ::testing::Values(Shape{"gnn", with(gnn(), [](ModelOptions& o) { o.num_experts = 4; })},
                                           Shape{"gnn_one_expert", with(gnn(), [](ModelOptions& o) { o.num_experts = 1; })},
                                           Shape{"pairs", with(small(),
                                                               [](ModelOptions& o) {
                                                                 o.num_experts = 4;
                                                               })},  // more hyperedges than experts: where the published code leaks
                                           Shape{"pairs8_dense", with(small(),
                                                                      [](ModelOptions& o) {
                                                                        o.num_experts = 8;
                                                                        o.form = HypergraphForm::dense;
                                                                      })},
                                           Shape{"triplets5_incidence", with(small(),
                                                                             [](ModelOptions& o) {
                                                                               o.num_experts = 5;
                                                                               o.strategy = HyperedgeStrategy::all_triplets;
                                                                               o.form = HypergraphForm::incidence;
                                                                             })},
                                           Shape{"triplets5", with(small(),
                                                                   [](ModelOptions& o) {
                                                                     o.num_experts = 5;
                                                                     o.strategy = HyperedgeStrategy::all_triplets;
                                                                   })},
                                           Shape{"one_hyperedge", with(small(), [](ModelOptions& o) { o.strategy = HyperedgeStrategy::all; })},
                                           Shape{"ghosts", with(small(), [](ModelOptions& o) { o.num_ghost_experts = 2; })}),
                         [](const auto& one) { return std::string(one.param.name); });

struct Outcome {
  double loss;
  std::vector<double> gradients;
};
Outcome outcome_of(const ModelOptions& o, const HostTokenBatch& host) {
  ParamStore<double> store;
  Model<double> model(store, o);
  store.finalize(3);
  unsettle(store);
  store.zero_gradients(Exec());
  TokenBatch batch;
  batch.upload(host, Exec());
  TestStep<double> step(Mode::train, std::size_t{1} << 25);
  model.forward(step, batch);
  const auto loss = model.loss(step, batch, std::max(host.loss_weight, 1.0));
  model.backward(step, batch);
  step.exec.fence();
  return {values_of(loss)[0], values_of(store.gradients())};
}

// Rows of padding at the end of a sequence reach nothing: without them the same loss and gradients.
TEST(LanguageModel, PackingChangesNothing) {
  for (const ModelOptions& o : {small(), gnn()}) {
    const Outcome all = outcome_of(o, batch_of(o, 4, 6, Mask::ends, false)), packed = outcome_of(o, batch_of(o, 4, 6, Mask::ends, true));
    EXPECT_NEAR(packed.loss, all.loss, 1e-13);
    EXPECT_LT(test::relative_difference(packed.gradients, all.gradients), 1e-12);
  }
}

// What stands under the padding is not looked at.
TEST(LanguageModel, PaddingIsNotRead) {
  const ModelOptions o = small();
  HostTokenBatch b = batch_of(o, 4, 6, Mask::ends, false);
  const Outcome before = outcome_of(o, b);
  for (std::size_t i = 0; i < b.ids.size(); ++i) b.ids[i] = b.mask[i] ? b.ids[i] : 0;
  finish_batch(b, o.vocab_size, false);
  EXPECT_EQ(outcome_of(o, b).loss, before.loss);
}

TEST(LanguageModel, RefusesWhatCannotBe) {
  ModelOptions o = small();
  ParamStore<double> store;
  o.num_heads = 4;
  EXPECT_THROW(Model<double>(store, o), Error);
  o = small();
  ParamStore<double> other;
  Model<double> model(other, o);
  other.finalize(1);
  TokenBatch batch;
  batch.upload(batch_of(o, 1, 10, Mask::none, true), Exec());
  TestStep<double> step;
  EXPECT_THROW(model.forward(step, batch), Error);  // max_seq_length 9
  HostTokenBatch bad = batch_of(o, 2, 3, Mask::none, true);
  bad.ids[4] = 7;
  try {
    finish_batch(bad, o.vocab_size);
    FAIL() << "an id outside the vocabulary";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::data);
    EXPECT_NE(std::string(e.what()).find("row 1, column 1"), std::string::npos) << e.what();
  }
}

// Numbers of the specification, section 3.
TEST(LanguageModel, ParameterCounts) {
  for (const auto& [type, total, tensors] : {std::tuple{CouplerType::gnn, 14122888, 270}, {CouplerType::hgnn, 13592344, 234}}) {
    ModelOptions o;
    o.coupler_type = type;
    ParamStore<float> store;
    const Model<float> model(store, o);
    EXPECT_EQ(store.num_parameters(), static_cast<std::size_t>(total));
    EXPECT_EQ(store.tensors().size(), static_cast<std::size_t>(tensors));
    const ParameterCounts n = Model<float>::parameter_counts(store);
    EXPECT_EQ(n.experts, 12636160U);
    EXPECT_EQ(n.experts + n.couplers + n.rest, store.num_parameters());
  }
}

}  // namespace
}  // namespace gnn_hpc::hgnn_moe
