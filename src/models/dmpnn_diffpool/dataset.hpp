// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataset/cached_samples.hpp"
#include "dataset/label_scaler.hpp"
#include "io/input_table.hpp"
#include "models/dmpnn_diffpool/dataset_options.hpp"
#include "models/dmpnn_diffpool/descriptor_scaler.hpp"
#include "models/dmpnn_diffpool/molecule.hpp"
#include "models/dmpnn_diffpool/molecule_table.hpp"

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc::dmpnn {

/// Molecules of a run: one graph cache per part file, one numbering over all of them (bad rows left out, order of the input),
/// interned feature rows, splits, labels and descriptors. After `open` everything is in memory and const members are thread-safe.
///
/// Order of calls: construct, `open` (collective), then the rest. For prediction `set_state` follows with what
/// `state` gave when the model was trained.
class MoleculeDataset {
 public:
  explicit MoleculeDataset(DataOptions options);

  /// Opens or builds the caches, splits, fits label scaling and descriptors on the training part (after `train_size`).
  /// Throws Error(Exit::data) on all ranks alike: unreadable file, unknown column, too many bad rows, labels that are no classes,
  /// an empty part.
  /// @param options_text resolved input file, kept in the cache as provenance
  /// For prediction (of `data.path`) targets may be missing, there are no splits, and scaling is the identity until `set_state`. False only
  /// for `training_if_built`, where graphs are missing or damaged; then nothing is written.
  bool open(const Comm& comm, DataUse use, const std::string& options_text = {});

  std::int64_t num_samples() const { return atom_ptr_.empty() ? 0 : static_cast<std::int64_t>(atom_ptr_.size()) - 1; }
  std::int64_t num_atoms(std::int64_t sample) const;
  /// Directed edges: two a bond.
  std::int64_t num_edges(std::int64_t sample) const;
  std::int64_t cost(std::int64_t sample) const { return num_atoms(sample) + num_edges(sample); }
  const std::string& id(std::int64_t sample) const { return samples_.id(sample); }
  std::int64_t record_number(std::int64_t sample) const { return samples_.record_number(sample); }
  /// True where the input is in polymer notation: edge and atom weights and the degree of polymerisation are there.
  bool weighted() const { return weighted_; }

  /// Columns that are learnt, in the order of the head: `data.targets`, or those found in the file.
  const std::vector<std::string>& target_names() const { return target_names_; }
  std::size_t num_targets() const { return target_names_.size(); }
  TargetType target_type() const { return options_.target_type(); }
  /// Classes of a multi-class target (1 for other types): the head has num_targets * num_classes columns.
  int num_classes() const { return num_classes_; }
  /// [K][C_k] names of the classes of every target, by number; empty for other types. C_k <= num_classes().
  const std::vector<std::vector<std::string>>& class_names() const { return class_names_; }
  /// [K] in label units or the number of the class; NaN where missing.
  std::span<const double> labels(std::int64_t sample) const;
  const LabelScaler& scaler() const { return scaler_; }  ///< the identity for classifications

  /// Width of the descriptors of a molecule after preprocessing; 0 without descriptors.
  int num_descriptors() const { return descriptor_scaler_.width(); }
  const DescriptorScaler& descriptor_scaler() const { return descriptor_scaler_; }

  const Splits& splits() const { return splits_; }
  /// How many replicates (holdout) or folds these options have for this data set: `data.replicate` counts up to one less.
  int num_replicates(int holdout_replicates) const { return options_.kfold(num_samples()) ? options_.folds : holdout_replicates; }

  /// Distinct feature rows of this data set: [rows, 72] of atoms and [rows, 14] of bonds, sorted, a function of the molecules alone.
  const FeatureTable& atom_table() const { return atom_table_; }
  const FeatureTable& bond_table() const { return bond_table_; }
  /// The graph, scaled targets and preprocessed descriptors of a sample; spans live as long as the data set and its scaling.
  MoleculeView view(std::int64_t sample) const;

  /// By sample, see MoleculeDigests.
  std::vector<std::uint64_t> input_digests() const;

  /// Every record of the input in input order, bad ones included.
  std::vector<InputRecord> records() const { return samples_.records(); }
  std::vector<BadRecord> skipped() const { return samples_.skipped(); }
  /// Prediction: rows whose label is no class of the model.
  const std::vector<BadRecord>& unknown_labels() const { return unknown_labels_; }
  /// What `data.path` holds, as tables.
  InputTable input_table() const;

  /// What a checkpoint must hold to predict other files: "label_mean", "label_std", "num_classes", those of DescriptorScaler, the digest
  /// of the data ("data_digest": two numbers), and the texts "targets" and "descriptors" (names of columns, in
  /// order), "classes_<k>" (of a multi-class target k, see label_names.hpp) and "notation".
  DataState state() const;
  /// Takes scaling, classes, targets and descriptors from a checkpoint. Throws Error(Exit::data) if a training data set is not the one
  /// of the state. For prediction columns are found by their names: a target that the file lacks is NaN, a descriptor that the model
  /// uses must be there.
  void set_state(const DataState& state);

  const DataOptions& options() const { return options_; }
  /// Keys of the caches, in order: equal texts, equal samples.
  std::string digest() const { return samples_.digest(); }

 private:
  void open_parts(DataUse use, const Comm& comm, const std::string& options_text);
  void add_source(const std::vector<std::string>& paths, DataUse use, const Comm& comm, const std::string& options_text);
  void load();
  void intern(std::span<const double> mass);
  void number_classes();
  void check_binary_labels();
  void take_classes(std::vector<std::vector<std::string>> names);
  void forget_label(std::int64_t sample, const std::string& target, const std::string& label);
  std::vector<std::int64_t> classes_to_stratify() const;
  void split();
  void apply_scaling();
  void take_columns(const DataState& state);

  DataOptions options_;
  std::vector<std::string> target_names_, descriptor_names_;
  bool weighted_ = false, prediction_ = false;
  std::vector<MoleculeTable> tables_;  ///< [caches]
  CachedSamples samples_;

  std::vector<std::int64_t> atom_ptr_, edge_ptr_;                ///< [G+1]
  std::vector<std::int32_t> atom_type_, bond_type_, src_, dst_;  ///< [N], [M], [M], [M]
  std::vector<double> edge_weight_, atom_weight_, dop_;          ///< [M], [N], [G]; empty unless weighted
  FeatureTable atom_table_, bond_table_;

  std::vector<double> labels_, raw_descriptors_;   ///< [G,K], [G,D] as they stand in the file
  std::vector<double> targets_, descriptors_;      ///< [G,K], [G,d_xd] scaled
  int num_classes_ = 1;
  std::vector<std::vector<std::string>> class_names_;
  std::vector<BadRecord> unknown_labels_;
  LabelScaler scaler_;
  DescriptorScaler descriptor_scaler_;
  Splits splits_;
};

}  // namespace gnn_hpc::dmpnn
