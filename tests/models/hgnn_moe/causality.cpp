// SPDX-License-Identifier: Apache-2.0
// Nothing that comes later changes a logit: the fault of the published batching cannot occur.
#include "models/hgnn_moe/model.hpp"
#include "support/views.hpp"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>

namespace gnn_hpc::hgnn_moe {
namespace {

constexpr int kSequences = 3, kLength = 12, kVocabulary = 20;

ModelOptions options_of(CouplerType coupler, HyperedgeStrategy strategy, int experts) {
  ModelOptions o;
  o.vocab_size = kVocabulary;
  o.max_seq_length = kLength;
  o.embed_dim = 16;
  o.num_layers = 2;
  o.num_heads = 2;
  o.num_experts = experts;
  o.coupler_type = coupler;
  o.strategy = strategy;
  return o;
}

std::vector<int> some_ids() {
  std::vector<int> ids;
  for (int i = 0; i < kSequences * kLength; ++i) ids.push_back(1 + i * i % (kVocabulary - 1));
  return ids;
}

/// Logits [B L, V] of sequences without padding.
template <class T>
std::vector<double> logits_of(Model<T>& model, const std::vector<int>& ids) {
  HostTokenBatch host;
  host.num_sequences = kSequences;
  host.length = kLength;
  host.ids = ids;
  finish_batch(host, kVocabulary, false);
  const Exec exec;
  const Comm alone;
  Arena arena;
  Step<T> step{exec, arena, Mode::evaluate, RandomKey{}, alone};
  TokenBatch batch;
  batch.upload(host, exec);
  model.forward(step, batch);
  return test::values_of(model.logits(step));
}

/// Changes every token from position `from` of sequence `row` on; all logits of other sequences and of earlier positions must be the
/// same bits, those at `from` must differ.
template <class T>
void expect_causal(const ModelOptions& o) {
  ParamStore<T> store;
  Model<T> model(store, o);
  store.finalize(11);
  const std::vector<int> ids = some_ids();
  const std::vector<double> before = logits_of(model, ids);
  ASSERT_TRUE(test::all_finite(before));
  for (const int row : {0, kSequences - 1}) {
    for (const int from : {1, 5, kLength - 1}) {
      std::vector<int> other = ids;
      for (int t = from; t < kLength; ++t) {
        int& id = other[static_cast<std::size_t>(row * kLength + t)];
        id = 1 + (id + 6) % (kVocabulary - 1);
      }
      const std::vector<double> after = logits_of(model, other);
      for (int r = 0; r < kSequences * kLength; ++r) {
        const auto begin = static_cast<std::ptrdiff_t>(r) * kVocabulary;
        const bool same = std::equal(before.begin() + begin, before.begin() + begin + kVocabulary, after.begin() + begin);
        const bool may_differ = r / kLength == row && r % kLength >= from;
        if (!may_differ) {
          ASSERT_TRUE(same) << "row " << r << " after a change of sequence " << row << " from position " << from;
        } else if (r % kLength == from) {
          ASSERT_FALSE(same) << "row " << r;
        }
      }
    }
  }
}

TEST(HgnnMoeCausality, EveryCouplerStrategyAndForm) {
  using enum HyperedgeStrategy;
  for (const int experts : {1, 2, 4, 5}) {
    SCOPED_TRACE(fmt::format("GNN, {} experts", experts));
    expect_causal<double>(options_of(CouplerType::gnn, all_pairs, experts));
  }
  for (const HyperedgeStrategy strategy : {all_pairs, all_triplets, all}) {
    for (const HypergraphForm form : {HypergraphForm::collapsed, HypergraphForm::dense, HypergraphForm::incidence}) {
      for (const int experts : {4, 6}) {  // more hyperedges than experts: where the published batching leaked
        SCOPED_TRACE(fmt::format("HGNN, strategy {}, form {}, {} experts", static_cast<int>(strategy), static_cast<int>(form), experts));
        ModelOptions o = options_of(CouplerType::hgnn, strategy, experts);
        o.form = form;
        expect_causal<double>(o);
        if (experts == 4) expect_causal<float>(o);
      }
    }
  }
}

TEST(HgnnMoeCausality, WeightsNormsAndOneExpert) {
  ModelOptions o = options_of(CouplerType::hgnn, HyperedgeStrategy::all_pairs, 4);
  o.learnable_edge_weights = false;
  expect_causal<double>(o);
  o = options_of(CouplerType::hgnn, HyperedgeStrategy::all_pairs, 4);
  o.norm = HypergraphNorm::paper;
  o.weight_transform = WeightTransform::softplus;
  expect_causal<double>(o);
  expect_causal<double>(options_of(CouplerType::hgnn, HyperedgeStrategy::all_pairs, 1));
  o = options_of(CouplerType::hgnn, HyperedgeStrategy::all_triplets, 5);
  o.gnn_layers = 3;
  expect_causal<double>(o);
}

}  // namespace
}  // namespace gnn_hpc::hgnn_moe
