// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"
#include "dataset/target_measures.hpp"
#include "models/comformer/dataset.hpp"
#include "models/comformer/element_features.hpp"
#include "models/comformer/model.hpp"
#include "nn/target_losses.hpp"
#include "train/capabilities.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace gnn_hpc::comformer {

/// The block `model`.
struct NetworkOptions {
  ModelOptions model;
  AtomFeatures atom_features = AtomFeatures::cgcnn;
  TargetSlice::Kind criterion = TargetSlice::Kind::regression;  ///< or absolute; a classification has its own
  std::string tables = "auto";                                  ///< auto | on | off
  int distance_points = 512, cosine_points = 1024;              ///< errors about 5e-9 and 1e-8, specification section 7 item 4
  static NetworkOptions parse(Config node);
  /// Interpolate functions of a distance or an angle? `auto`: in float, where the error is below rounding.
  TableOptions table_options(bool single_precision) const;
};

/// iComFormer or eComFormer on a set of crystals: regression of one or several targets (missing ones masked) or binary classification.
template <class T>
class ComformerTask final : public Task<T>, public LabelledRecords, public InputDigests, public Description {
 public:
  ComformerTask(DataOptions data, CrystalGraphOptions graph, const NetworkOptions& network, std::uint64_t seed);

  const std::string& name() const override { return name_; }
  ParamStore<T>& params() override { return store_; }
  bool open_data(const Comm& comm, DataUse use) override { return dataset_.open(comm, use); }
  const Splits& splits() const override { return dataset_.splits(); }
  std::string sample_id(std::int64_t sample) const override { return dataset_.id(sample); }
  std::int64_t record_number(std::int64_t sample) const override { return dataset_.record_number(sample); }
  std::vector<std::string> target_names() const override { return dataset_.target_names(); }
  TargetKind target_kind() const override { return dataset_.target_kind(); }
  int split_number() const override { return dataset_.options().replicate; }
  std::vector<std::uint64_t> input_digests() const override { return dataset_.input_digests(); }
  std::vector<InputRecord> records() const override { return dataset_.records(); }
  std::vector<BadRecord> unknown_labels() const override { return dataset_.unknown_labels(); }
  InputTable input_table() const override { return dataset_.input_table(); }
  std::string variant() const override;

  std::vector<BadRecord> skipped() const override { return dataset_.skipped(); }
  DataState data_state() const override { return dataset_.state(); }
  /// Throws Error(Exit::data) if a training run continues on other data than it started with.
  void set_data_state(const DataState& state) override { dataset_.set_state(state); }

  NormalisedRows normalised_rows() const override { return NormalisedRows::nodes; }

  std::unique_ptr<HostBatch> new_batch() const override { return std::make_unique<HostCrystalBatch>(); }
  void collate(std::span<const std::int64_t> samples, HostBatch& batch) const override;
  std::int64_t cost(std::int64_t sample) const override { return dataset_.cost(sample); }

  BatchSize upload(const HostBatch& batch, Step<T>& step) override;
  void forward(Step<T>& step) override { prediction_ = model_.forward(step, batch_); }
  View1<double> loss(Step<T>& step, double divisor) override;
  void backward(Step<T>& step) override { model_.backward(step, batch_, dprediction_); }
  void measure(const HostBatch& batch, Step<T>& step, Measures& measures) override;
  std::vector<std::pair<std::string, double>> metrics(const Measures& reduced) const override;

 private:
  TargetMeasures measures() const {
    return {dataset_.target_kind(), dataset_.num_targets(), dataset_.num_classes(), dataset_.class_names(), dataset_.scaler()};
  }

  std::string name_ = "comformer";
  CrystalDataset dataset_;
  std::vector<TargetSlice> slices_;
  ParamStore<T> store_;
  Model<T> model_;
  CrystalBatch<T> batch_;
  View2<T> prediction_, dprediction_;  ///< [G,K] of the last batch, in the step's arena
};

/// Reads the blocks `data`, `graph` and `model`; weights are drawn from the seed.
template <class T>
std::unique_ptr<Task<T>> make_task(Config& root, std::uint64_t seed);

}  // namespace gnn_hpc::comformer
