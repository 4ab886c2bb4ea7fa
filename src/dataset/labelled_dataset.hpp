// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataset/cached_samples.hpp"
#include "dataset/data_state.hpp"
#include "dataset/data_use.hpp"
#include "dataset/label_scaler.hpp"
#include "dataset/measures.hpp"
#include "dataset/split_options.hpp"
#include "dataset/split_policy.hpp"
#include "dataset/splits.hpp"
#include "io/bad_record.hpp"
#include "io/input_table.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc {

/// Records of files with quantities to predict: one graph cache per part file, one numbering of samples over all of them (bad records left
/// out, order of the input), labels, splits, scaling. A system derives its data set, which knows how its files are read.
///
/// Order of calls: construct, `open` (collective), then the rest. For prediction `set_state` follows with what `state` gave when the model
/// was trained.
class LabelledDataset {
 public:
  virtual ~LabelledDataset() = default;

  /// Opens or builds the caches, splits, fits label scaling on the training part.
  /// For prediction (of `data.path`) targets may be missing, there are no splits, and scaling is the identity until `set_state`. False only
  /// for `training_if_built`, where graphs are missing or damaged; then nothing is written. Collective.
  /// @param options_text resolved input file, kept in the cache as provenance
  /// Throws Error(Exit::data) on all ranks alike: unreadable file, unknown column, too many bad records, labels that are no classes, an
  /// empty part.
  bool open(const Comm& comm, DataUse use, const std::string& options_text = {});

  std::int64_t num_samples() const { return samples_.num_samples(); }
  const std::string& id(std::int64_t sample) const { return samples_.id(sample); }
  std::int64_t record_number(std::int64_t sample) const { return samples_.record_number(sample); }

  /// Quantities that are learnt, in the order of the head.
  const std::vector<std::string>& target_names() const { return target_names_; }
  std::size_t num_targets() const { return target_names_.size(); }
  TargetKind target_kind() const { return kind_; }
  /// Classes of a multi-class target (1 for other kinds): the head has num_targets * num_classes columns.
  int num_classes() const { return num_classes_; }
  /// [K][C_k] names of the classes of every target, by number; empty for other kinds. C_k <= num_classes().
  const std::vector<std::vector<std::string>>& class_names() const { return class_names_; }
  /// [K] in label units (0 and 1 of a binary target) or the number of the class; NaN where missing.
  std::span<const double> labels(std::int64_t sample) const;
  const LabelScaler& scaler() const { return scaler_; }  ///< the identity for classifications

  const Splits& splits() const { return splits_; }
  /// How many replicates or folds these options have for this data set: `data.replicate` counts up to one less.
  int num_replicates(int random_splits) const { return split_options().kfold(num_samples()) ? split_options().folds : random_splits; }

  /// Digest by sample of its input (`InputDigests`).
  virtual std::vector<std::uint64_t> input_digests() const = 0;

  /// Every record of the input in input order, bad ones included.
  std::vector<InputRecord> records() const { return samples_.records(); }
  std::vector<BadRecord> skipped() const { return samples_.skipped(); }
  /// Prediction: records whose label is no class of the model.
  const std::vector<BadRecord>& unknown_labels() const { return unknown_labels_; }
  /// What `data.path` holds, as tables.
  InputTable input_table() const { return table_of(paths()); }

  /// What a checkpoint must hold to predict other files: "label_mean", "label_std", the digest of the data ("data_digest": two numbers), and the
  /// texts "targets" (names in order) and "classes_<k>" (of a multi-class target k, see label_names.hpp).
  virtual DataState state() const;
  /// Takes scaling and classes from a checkpoint. Throws Error(Exit::data) if a training data set is not the one of the state.
  virtual void set_state(const DataState& state);

  /// Keys of the caches, in order: equal texts, equal samples.
  std::string digest() const { return samples_.digest(); }

 protected:
  /// What messages call things.
  struct Words {
    std::string records;        ///< "crystals"
    std::string left_out;       ///< what is left out: "records", "rows"
    std::string binary;         ///< the option that makes targets binary: "data.task: binary"
    std::string binary_advice;  ///< what takes other labels
  };
  LabelledDataset(Words words, TargetKind kind, std::vector<std::string> targets)
      : words_(std::move(words)), kind_(kind), target_names_(std::move(targets)), scaler_(LabelScaler::identity(target_names_.size())) {}
  LabelledDataset(const LabelledDataset&) = default;
  LabelledDataset(LabelledDataset&&) = default;
  LabelledDataset& operator=(const LabelledDataset&) = default;
  LabelledDataset& operator=(LabelledDataset&&) = default;

  virtual const SplitOptions& split_options() const = 0;
  virtual const std::vector<std::string>& paths() const = 0;  ///< `data.path`
  virtual int wanted_classes() const { return 0; }            ///< multi-class: 0, as many as there are different labels
  virtual bool constant_labels_allowed() const { return false; }
  /// Forgets the files of an earlier `open`.
  virtual void clear_sources() {}
  /// Opens or builds the cache of one more input into `samples_`.
  virtual void add_source(const std::vector<std::string>& paths, DataUse use, const Comm& comm, const std::string& options_text) = 0;
  /// After all caches are open: `labels_` (and `target_names_` where they are found in the files).
  virtual void load() = 0;
  /// Multi-class: names of the labels that a cache numbers, [K].
  virtual const std::vector<std::vector<std::string>>& label_table(std::size_t cache) const;
  /// After splits and scaling.
  virtual void prepare() {}
  /// Keys by which `data.group_by: NAME` groups the samples of the first cache where NAME is no column; empty: not known.
  virtual std::vector<std::string> group_keys(const std::string& name) const;
  /// The tables that these files are.
  virtual InputTable table_of(const std::vector<std::string>& paths) const = 0;

  /// A request with what all data sets share: folder, limits, rank of errors. @param prediction also lets all records be bad
  CacheRequest request_for(DataUse use, const std::string& folder, double max_bad_fraction, int threads, const std::string& options_text) const;
  CachedSamples::Words cache_words() const { return {words_.records.c_str(), words_.left_out.c_str(), "graphs"}; }

  void take_classes(std::vector<std::vector<std::string>> names);
  void check_binary_labels();
  bool for_prediction() const { return prediction_; }

  Words words_;
  TargetKind kind_;
  std::vector<std::string> target_names_;
  CachedSamples samples_;
  std::vector<double> labels_;  ///< [G,K]
  int num_classes_ = 1;
  std::vector<std::vector<std::string>> class_names_;
  std::vector<BadRecord> unknown_labels_;
  LabelScaler scaler_;
  Splits splits_;

 private:
  void open_parts(DataUse use, const Comm& comm, const std::string& options_text);
  void number_classes();
  void forget_label(std::int64_t sample, const std::string& target, const std::string& label, const std::string& problem);
  std::vector<std::int64_t> classes_to_stratify() const;
  std::vector<std::int64_t> groups() const;
  std::vector<NamedSample> named_samples() const;  ///< of the first cache
  std::vector<std::string> column_of_samples(const std::string& column, const char* option) const;
  Splits split_first_cache() const;
  void split();
  void limit_training();

  bool prediction_ = false;
};

}  // namespace gnn_hpc
