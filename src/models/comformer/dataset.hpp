// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataset/cached_samples.hpp"
#include "dataset/label_scaler.hpp"
#include "io/input_table.hpp"
#include "models/comformer/batch.hpp"
#include "models/comformer/dataset_options.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc::comformer {

/// Crystals of a run: one graph cache per input file, one numbering over all of them, splits, labels, batches.
class CrystalDataset {
 public:
  CrystalDataset(DataOptions data, CrystalGraphOptions graph, TableOptions tables);

  /// Opens or builds the caches, splits, fits the label scaling on the training part. Collective.
  /// @param options_text resolved input file, kept in the cache as provenance
  /// For prediction (from `data.path`) labels may be missing, there are no splits, and scaling is the identity until set. False only for
  /// `training_if_built`, where graphs are missing or damaged; then nothing is written.
  bool open(const Comm& comm, DataUse use, const std::string& options_text = {});

  std::int64_t num_samples() const { return samples_.num_samples(); }
  std::size_t num_targets() const { return data_.source.targets.size(); }
  const std::vector<std::string>& target_names() const { return data_.source.targets; }
  const Splits& splits() const { return splits_; }
  const std::string& id(std::int64_t sample) const { return samples_.id(sample); }
  std::int64_t record_number(std::int64_t sample) const { return samples_.record_number(sample); }
  std::int64_t num_nodes(std::int64_t sample) const { return samples_.num_nodes(sample); }
  std::int64_t num_edges(std::int64_t sample) const { return samples_.num_edges(sample); }
  std::int64_t cost(std::int64_t sample) const { return num_nodes(sample) + num_edges(sample); }
  /// [K] in label units (0 and 1 for a classification); NaN where missing.
  std::span<const double> labels(std::int64_t sample) const;

  /// By sample, see `crystal_digest`; reads every crystal from the caches.
  std::vector<std::uint64_t> input_digests() const;

  /// Every record of the input in input order, bad ones included.
  std::vector<InputRecord> records() const { return samples_.records(); }
  std::vector<BadRecord> skipped() const { return samples_.skipped(); }
  /// Prediction: crystals whose label is none of the classes.
  const std::vector<BadRecord>& unknown_labels() const { return unknown_labels_; }
  /// What `data.path` holds, as tables.
  InputTable input_table() const;

  const LabelScaler& scaler() const { return scaler_; }
  void set_scaler(LabelScaler scaler);
  const DataOptions& options() const { return data_; }
  /// Keys of the caches, in order: equal texts, equal samples.
  std::string digest() const { return samples_.digest(); }

  /// The samples' graphs and scaled labels as one batch, ready to upload. Thread-safe.
  void collate(std::span<const std::int64_t> samples, HostCrystalBatch& batch) const;

 private:
  void open_training(DataUse use, const Comm& comm, const std::string& options_text);
  void open_prediction(const Comm& comm, const std::string& options_text);
  void add_source(const std::vector<std::string>& paths, DataUse use, const Comm& comm, const std::string& options_text);
  void read_labels(bool prediction);
  void split();

  DataOptions data_;
  CrystalGraphOptions graph_;
  TableOptions tables_;
  CachedSamples samples_;
  std::vector<double> labels_;  ///< [G,K]
  std::vector<BadRecord> unknown_labels_;
  Splits splits_;
  LabelScaler scaler_;
};

}  // namespace gnn_hpc::comformer
