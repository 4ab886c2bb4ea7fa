// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"
#include "dataset/target_measures.hpp"
#include "models/dmpnn_diffpool/dataset.hpp"
#include "models/dmpnn_diffpool/model.hpp"
#include "train/capabilities.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gnn_hpc::dmpnn {

/// D-MPNN, weighted D-MPNN or D-MPNN with DiffPool on molecules and polymers: regression, binary or multi-class classification of one
/// or several targets (missing ones masked).
///
/// The model takes its shape from the data (targets found in the file, classes, descriptors, the width of the assignment heads), so
/// parameters exist only after `open_data` (if true), or, for prediction, `set_data_state`.
/// The validation loss decides; the loss of an evaluation is on scaled targets and without auxiliary terms.
/// Metrics (label units, from sums over all ranks; with several targets each name carries `_<target>`):
///   regression   mae, rmse, r2
///   binary       accuracy, f1 of the label 1
///   multi-class  accuracy and f1 as means over classes (train/metrics.hpp)
template <class T>
class DmpnnTask final : public Task<T>, public LabelledRecords, public InputDigests, public AuxiliaryLoss, public Description {
 public:
  DmpnnTask(DataOptions data, ModelOptions model, std::uint64_t seed);

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
  int embedding_width() const override { return options_.hidden_dim + dataset_.num_descriptors(); }
  int split_number() const override { return dataset_.options().replicate; }
  std::vector<std::uint64_t> input_digests() const override { return dataset_.input_digests(); }
  std::vector<InputRecord> records() const override { return dataset_.records(); }
  std::vector<BadRecord> skipped() const override { return dataset_.skipped(); }
  std::vector<BadRecord> unknown_labels() const override { return dataset_.unknown_labels(); }
  InputTable input_table() const override { return dataset_.input_table(); }
  /// What the data set keeps, and "head_width" with pooling.
  DataState data_state() const override;
  /// Throws Error(Exit::data) if a training run continues on other data, or the checkpoint lacks a part of the state.
  void set_data_state(const DataState& state) override;
  std::string variant() const override;
  NormalisedRows normalised_rows() const override { return options_.normalises() ? NormalisedRows::graphs : NormalisedRows::none; }
  std::vector<std::string> describe() const override;

  std::unique_ptr<HostBatch> new_batch() const override { return std::make_unique<HostMoleculeBatch>(); }
  void collate(std::span<const std::int64_t> samples, HostBatch& batch) const override;
  std::int64_t cost(std::int64_t sample) const override { return dataset_.cost(sample); }

  BatchSize upload(const HostBatch& batch, Step<T>& step) override;
  void forward(Step<T>& step) override { output_ = model_->forward(step, batch_); }
  View1<double> loss(Step<T>& step, double divisor) override;
  bool has_auxiliary_loss() const override { return options_.levels() > 0 && options_.aux_reduction != AuxReduction::none; }
  View1<double> target_loss() override { return target_loss_; }
  void backward(Step<T>& step) override { model_->backward(step, batch_); }
  void measure(const HostBatch& batch, Step<T>& step, Measures& measures) override;
  std::vector<std::pair<std::string, double>> metrics(const Measures& reduced) const override;
  Deciding deciding() const override { return {.loss = true}; }

  /// Molecules whose number of clusters is cut to the head's width: larger than any of the training set.
  std::int64_t num_clamped() const;
  const MoleculeDataset& dataset() const { return dataset_; }
  const ModelOptions& options() const { return options_; }
  /// Exists with the parameters.
  const Model<T>& model() const { return *model_; }

 private:
  /// Model and classes for the data now open; the second call only renews what depends on the molecules.
  void shape_model();
  /// Of the data set; the weights of bonds (omega) are 1 for every encoder but wdmpnn.
  MoleculeView view(std::int64_t sample) const;
  TargetMeasures measures() const {
    return {dataset_.target_kind(), dataset_.num_targets(), dataset_.num_classes(), dataset_.class_names(), dataset_.scaler()};
  }

  std::string name_ = "dmpnn_diffpool";
  MoleculeDataset dataset_;
  ModelOptions options_;
  std::uint64_t seed_;
  ParamStore<T> store_;
  std::vector<TargetSlice> slices_;
  std::optional<Model<T>> model_;
  std::optional<MoleculeClasses> classes_;  ///< of all molecules; none where the options do not share
  MoleculeBatch<T> batch_;
  View2<T> output_;            ///< [G,columns] of the last batch, in the step's arena
  View1<double> target_loss_;  ///< [1] likewise, without auxiliary terms
  bool for_prediction_ = false;
};

/// Reads the blocks `data` and `model`; weights are drawn from the seed.
template <class T>
std::unique_ptr<Task<T>> make_task(Config& root, std::uint64_t seed);

}  // namespace gnn_hpc::dmpnn
