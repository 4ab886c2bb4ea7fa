// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"
#include "models/hgnn_moe/dataset.hpp"
#include "models/hgnn_moe/model.hpp"
#include "train/capabilities.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace gnn_hpc::hgnn_moe {

/// A language model with graph-coupled experts on text. The loss is the mean cross-entropy of the next token; validation reports it in
/// bits per byte (per token of tokenised data) and as perplexity exp(min(loss, 20)), dropout off, weighted by the number of targets.
template <class T>
class LanguageTask final : public Task<T>, public InputDigests, public AuxiliaryLoss, public WorkCount, public Description, public TextModel {
 public:
  LanguageTask(DataOptions data, const ModelOptions& model, std::uint64_t seed);

  const std::string& name() const override { return name_; }
  ParamStore<T>& params() override { return store_; }
  /// Throws Error(Exit::usage) for prediction: a language model continues texts (`gnn_hpc generate`), it has nothing to list by sample.
  bool open_data(const Comm& comm, DataUse use) override;
  std::vector<std::uint64_t> input_digests() const override { return dataset_.input_digests(); }
  const Splits& splits() const override { return dataset_.splits(); }
  std::string sample_id(std::int64_t sample) const override { return dataset_.id(sample); }
  DataState data_state() const override;
  void set_data_state(const DataState& state) override;

  std::unique_ptr<HostBatch> new_batch() const override { return std::make_unique<HostTokenBatch>(); }
  void collate(std::span<const std::int64_t> samples, HostBatch& batch) const override;
  std::int64_t cost(std::int64_t sample) const override { return 1 + dataset_.length(sample); }

  BatchSize upload(const HostBatch& batch, Step<T>& step) override;
  void forward(Step<T>& step) override { model_.forward(step, batch_); }
  View1<double> loss(Step<T>& step, double divisor) override;
  bool has_auxiliary_loss() const override { return model_.options().orthogonality.any(); }
  View1<double> target_loss() override { return View1<double>(Kokkos::subview(loss_, Kokkos::make_pair(1, 2))); }
  void backward(Step<T>& step) override { model_.backward(step, batch_); }
  std::vector<std::string> resting() const override { return model_.resting(); }
  void measure(const HostBatch& batch, Step<T>& step, Measures& measures) override;
  std::vector<std::pair<std::string, double>> metrics(const Measures& reduced) const override;
  Deciding deciding() const override { return {.loss = true}; }
  double tokens(const HostBatch& batch) const override { return static_cast<const HostTokenBatch&>(batch).tokens; }
  double flops(const HostBatch& batch) const override;
  std::vector<std::pair<std::string, std::vector<double>>> report() override;
  std::string variant() const override;
  std::vector<std::string> describe() const override;
  std::unique_ptr<Decoder> new_decoder() override;

  Model<T>& model() { return model_; }
  const TokenDataset& dataset() const { return dataset_; }

 private:
  std::string name_ = "hgnn_moe";
  TokenDataset dataset_;
  ParamStore<T> store_;
  Model<T> model_;
  TokenBatch batch_;
  View1<double> loss_;  ///< [3] of the last batch, in the step's arena
  bool warned_of_degrees_ = false;
};

/// Reads the blocks `data` and `model`; weights are drawn from the seed.
template <class T>
std::unique_ptr<Task<T>> make_task(Config& root, std::uint64_t seed);

}  // namespace gnn_hpc::hgnn_moe
