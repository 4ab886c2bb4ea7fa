// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"
#include "dataset/protein_dataset.hpp"
#include "dataset/target_measures.hpp"
#include "models/gvp/model.hpp"
#include "nn/target_losses.hpp"
#include "train/capabilities.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gnn_hpc::gvp {

/// A batch of protein chains in host memory.
struct HostProteinBatch : HostBatch {
  ResidueBatch graphs;
  std::vector<double> target;  ///< [G,K] as the loss takes them
};

/// GVP on protein chains: multi-class (the published task), binary or regression, of one or several targets (missing ones masked).
///
/// The head's width is known with the data: parameters exist after `open_data` (if true), or, for prediction, `set_data_state`.
/// Metrics (from sums over all ranks; with several targets each name carries `_<target>`):
///   classes      accuracy (share of hits, decides), balanced_accuracy (mean over classes), f1 (mean over classes)
///   binary       accuracy, f1 of the label 1
///   regression   mae, rmse, r2 in label units; the validation loss decides
template <class T>
class GvpTask final : public Task<T>, public LabelledRecords, public InputDigests, public WorkCount, public Description {
 public:
  GvpTask(ProteinDataOptions data, const ModelOptions& model, std::uint64_t seed);

  const std::string& name() const override { return name_; }
  ParamStore<T>& params() override { return store_; }
  bool open_data(const Comm& comm, DataUse use) override;
  const Splits& splits() const override { return dataset_.splits(); }
  std::string sample_id(std::int64_t sample) const override { return dataset_.id(sample); }
  std::int64_t record_number(std::int64_t sample) const override { return dataset_.record_number(sample); }
  std::vector<std::string> target_names() const override { return dataset_.target_names(); }
  TargetKind target_kind() const override { return dataset_.target_kind(); }
  int num_classes() const override { return dataset_.num_classes(); }
  std::vector<std::vector<std::string>> class_names() const override { return dataset_.class_names(); }
  /// Mean over the residues of what the read-out gives; of a part, the read-out itself.
  int embedding_width() const override { return options_.encoder.node_scalars; }
  int item_embedding_width() const override { return options_.encoder.node_scalars; }
  int split_number() const override { return dataset_.options().replicate; }
  std::vector<std::uint64_t> input_digests() const override { return dataset_.input_digests(); }
  std::vector<InputRecord> records() const override { return dataset_.records(); }
  std::vector<BadRecord> skipped() const override { return dataset_.skipped(); }
  std::vector<BadRecord> unknown_labels() const override { return dataset_.unknown_labels(); }
  InputTable input_table() const override { return dataset_.input_table(); }
  DataState data_state() const override { return dataset_.state(); }
  void set_data_state(const DataState& state) override;
  std::string variant() const override;
  std::vector<std::string> describe() const override;

  std::unique_ptr<HostBatch> new_batch() const override { return std::make_unique<HostProteinBatch>(); }
  void collate(std::span<const std::int64_t> samples, HostBatch& batch) const override;
  std::int64_t cost(std::int64_t sample) const override { return dataset_.cost(sample); }
  /// Residues.
  double tokens(const HostBatch& batch) const override { return static_cast<const HostProteinBatch&>(batch).graphs.num_nodes; }
  const char* token_name() const override { return "residues"; }
  double flops(const HostBatch& batch) const override;

  BatchSize upload(const HostBatch& batch, Step<T>& step) override;
  void forward(Step<T>& step) override { output_ = model_->forward(step, batch_); }
  View1<double> loss(Step<T>& step, double divisor) override;
  void backward(Step<T>& step) override { model_->backward(step, batch_, doutput_); }
  void measure(const HostBatch& batch, Step<T>& step, Measures& measures) override;
  std::vector<std::pair<std::string, double>> metrics(const Measures& reduced) const override;
  Deciding deciding() const override;

  const ProteinDataset& dataset() const { return dataset_; }

 private:
  void shape_model();
  /// Weights of the classes of a balanced loss, from the training part: n / (C n_c).
  void weigh_classes();
  double weight_of(double label) const;
  TargetMeasures measures() const {
    return {dataset_.target_kind(), dataset_.num_targets(), dataset_.num_classes(), dataset_.class_names(), dataset_.scaler()};
  }

  std::string name_ = "gvp";
  ProteinDataset dataset_;
  ModelOptions options_;
  std::uint64_t seed_;
  ParamStore<T> store_;
  std::vector<TargetSlice> slices_;
  std::vector<double> class_weight_;
  View1<double> device_class_weight_;  ///< empty: all 1
  std::optional<Model<T>> model_;
  ResidueInput<T> batch_;
  GrowingArray<double> target_storage_, weight_storage_;
  View2<double> target_;       ///< [G,K]
  View2<T> output_, doutput_;  ///< [G,columns] of the last batch, in the step's arena
  bool for_prediction_ = false;
};

/// Reads the blocks `data`, `graph` and `model`; weights are drawn from the seed.
template <class T>
std::unique_ptr<Task<T>> make_task(Config& root, std::uint64_t seed);

}  // namespace gnn_hpc::gvp
