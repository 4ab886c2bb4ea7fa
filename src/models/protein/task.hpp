// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"
#include "dataset/protein_dataset.hpp"
#include "dataset/target_measures.hpp"
#include "models/protein/options.hpp"
#include "nn/target_losses.hpp"
#include "train/capabilities.hpp"

#include <memory>
#include <string>
#include <vector>

namespace gnn_hpc::protein {

/// A batch of protein chains in host memory.
struct HostProteinBatch : HostBatch {
  ResidueBatch graphs;
  std::vector<double> target;  ///< [G,K] as the loss takes them
};

/// What tasks of protein chains share: the data set, targets (multi-class, binary or regression, one or several, missing ones masked), metrics,
/// embeddings. A system adds its model.
///
/// The head's width is known with the data: parameters exist after `open_data` (if true), or, for prediction, `set_data_state`.
/// Metrics (from sums over all ranks; with several targets each name carries `_<target>`):
///   classes      accuracy (share of hits, decides), balanced_accuracy (mean over classes), f1 (mean over classes)
///   binary       accuracy, f1 of the label 1
///   regression   mae, rmse, r2 in label units; the validation loss decides
template <class T>
class ProteinTask : public Task<T>, public LabelledRecords, public InputDigests, public WorkCount, public Description {
 public:
  ProteinTask(std::string name, ProteinDataOptions data, const ModelOptions& model, std::uint64_t seed);

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
  /// "2 layers, residues (100, 16), edges (32, 1), sum pooling": of the encoder.
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
  View1<double> loss(Step<T>& step, double divisor) override;
  void measure(const HostBatch& batch, Step<T>& step, Measures& measures) override;
  std::vector<std::pair<std::string, double>> metrics(const Measures& reduced) const override;
  Deciding deciding() const override;

  const ProteinDataset& dataset() const { return dataset_; }

 protected:
  /// Registers the parameters of a model of `options().outputs` columns in the store; called once.
  virtual void make_model(ParamStore<T>& store) = 0;
  /// [N,ns] of the last forward pass: features of residues.
  virtual View2<T> residue_features() const = 0;
  /// The component of a parameter, as `describe` counts them.
  virtual std::string component(const std::string& parameter) const = 0;

  const ModelOptions& options() const { return options_; }
  std::uint64_t seed() const { return seed_; }
  const ResidueInput<T>& batch() const { return batch_; }
  View2<T> output() const { return output_; }
  View2<T> output_gradient() const { return doutput_; }
  void set_output(View2<T> output) { output_ = output; }

 private:
  void shape_model();
  /// Weights of the classes of a balanced loss, from the training part: n / (C n_c).
  void weigh_classes();
  double weight_of(double label) const;
  TargetMeasures measures() const {
    return {dataset_.target_kind(), dataset_.num_targets(), dataset_.num_classes(), dataset_.class_names(), dataset_.scaler()};
  }

  std::string name_;
  ProteinDataset dataset_;
  ModelOptions options_;
  std::uint64_t seed_;
  ParamStore<T> store_;
  std::vector<TargetSlice> slices_;
  std::vector<double> class_weight_;
  View1<double> device_class_weight_;  ///< empty: all 1
  bool has_model_ = false;
  ResidueInput<T> batch_;
  GrowingArray<double> target_storage_, weight_storage_;
  View2<double> target_;       ///< [G,K]
  View2<T> output_, doutput_;  ///< [G,columns] of the last batch, in the step's arena
  bool for_prediction_ = false;
};

}  // namespace gnn_hpc::protein
