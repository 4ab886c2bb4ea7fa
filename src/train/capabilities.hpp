// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/input_table.hpp"
#include "train/task.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace gnn_hpc {

class Decoder;

// What some systems can do and others cannot. A task inherits what it offers next to `Task`; who wants it asks `offered`.

/// Samples are records of files with quantities to predict, which are listed by sample: a test part, predictions.csv, `predict`.
class LabelledRecords {
 public:
  virtual ~LabelledRecords() = default;
  /// Names of the predicted quantities, in column order.
  virtual std::vector<std::string> target_names() const { return {}; }
  virtual TargetKind target_kind() const { return TargetKind::number; }
  /// C where the targets are classes.
  virtual int num_classes() const { return 1; }
  /// Names of the classes of each target, [K][C_k] with C_k <= num_classes, in the order of their numbers; empty: 0 .. C-1.
  virtual std::vector<std::vector<std::string>> class_names() const { return {}; }
  /// Width of a sample's learned representation, which `measure` adds to the predictions if asked to; 0: the system has none.
  virtual int embedding_width() const { return 0; }
  /// Width of the representation of each of a sample's parts (residues), which `measure` adds if asked to; 0: the system has none.
  virtual int item_embedding_width() const { return 0; }
  /// Which of the data's splits this run uses (a replicate or fold), for results.csv.
  virtual int split_number() const { return 0; }
  /// Every record of the input in input order, bad ones included.
  virtual std::vector<InputRecord> records() const { return {}; }
  /// Number of a sample's record in the files that its part was read from, from 1, bad records counted: finds the row of an id that
  /// several have.
  virtual std::int64_t record_number(std::int64_t sample) const { return sample + 1; }
  /// Prediction: records that are predicted, but whose label the model does not know; the label is then NaN. Needed on the root only.
  virtual std::vector<BadRecord> unknown_labels() const { return {}; }
  /// The input of a prediction as tables, whose columns the output repeats; needed on the root only.
  virtual InputTable input_table() const { return {}; }
};

/// Knows equal inputs however their files describe them, as far as the system documents; targets do not count.
class InputDigests {
 public:
  virtual ~InputDigests() = default;
  /// A digest of the input of every sample (molecule, crystal, text), by data-set index; empty: not known for these data.
  virtual std::vector<std::uint64_t> input_digests() const = 0;
};

/// Training may minimise terms that an evaluation's loss lacks (of pooling, of specialisation). The log names them apart, so that training
/// and validation loss can be compared.
class AuxiliaryLoss {
 public:
  virtual ~AuxiliaryLoss() = default;
  /// Never changes after `open_data`.
  virtual bool has_auxiliary_loss() const = 0;
  /// Where it has: this rank's part of the last training step's loss without those terms, in a device scalar.
  virtual View1<double> target_loss() = 0;
};

/// The loss has named parts, which the log shows one by one (`train_loss_<part>`) and whose weights a phase may set.
class LossParts {
 public:
  virtual ~LossParts() = default;
  /// Never changes after `open_data`.
  virtual std::vector<std::string> loss_parts() const = 0;
  /// This rank's share of each part of the last training step, unweighted, on the device.
  virtual View1<double> part_losses() = 0;
};

/// Evaluations have a table of each sample's parts (residues) beside its prediction, which `measure` adds where `Measures::keep_table` is set.
class ItemTable {
 public:
  virtual ~ItemTable() = default;
  /// Names the file: "residues".
  virtual std::string table_name() const = 0;
  /// A part in one word, the head of its names' column: "residue".
  virtual std::string item_word() const = 0;
  /// Of `Prediction::table`.
  virtual std::vector<std::string> table_columns() const = 0;
  /// Names of the parts of a sample; on the root.
  virtual std::vector<std::string> item_names(std::int64_t sample) const = 0;
  /// Further tables made of these, file name without ending -> CSV text; `ids` are those of the rows. On the root.
  virtual std::map<std::string, std::string> summaries(const std::vector<std::string>& ids, const std::vector<Prediction>& rows) const {
    static_cast<void>(ids);
    static_cast<void>(rows);
    return {};
  }
};

/// Counts the work of a step by the model's formula.
class WorkCount {
 public:
  virtual ~WorkCount() = default;
  /// Tokens of a share, padding apart: what the log counts instead of samples.
  virtual double tokens(const HostBatch& batch) const = 0;
  /// What these are: tokens of a text, residues of a chain.
  virtual const char* token_name() const { return "tokens"; }
  /// Floating-point operations of a training step on this share, forward and backward, nothing computed twice.
  virtual double flops(const HostBatch& batch) const = 0;
};

/// Has something to say about its model.
class Description {
 public:
  virtual ~Description() = default;
  /// Which of the system's models this is, and its size, in a few words for the line that says what is trained: "D-MPNN, mean over atoms,
  /// width 300, depth 3".
  virtual std::string variant() const { return {}; }
  /// Lines about the model for the log at the beginning (parameter counts).
  virtual std::vector<std::string> describe() const { return {}; }
  /// A few parameters worth following, by name, for the log of every epoch and of every evaluation. Fences.
  virtual std::vector<std::pair<std::string, std::vector<double>>> report() { return {}; }
};

/// Continues texts (`generate`).
class TextModel {
 public:
  virtual ~TextModel() = default;
  /// A decoder with the present weights. The task must outlive it.
  virtual std::unique_ptr<Decoder> new_decoder() = 0;
};

/// The capability C of a task; null where it does not offer it.
template <class C, class T>
C* offered(Task<T>& task) {
  return dynamic_cast<C*>(&task);
}
template <class C, class T>
const C* offered(const Task<T>& task) {
  return dynamic_cast<const C*>(&task);
}

/// True if training minimises more than an evaluation's loss.
template <class T>
bool has_auxiliary_loss(const Task<T>& task) {
  const auto* loss = offered<AuxiliaryLoss>(task);
  return loss != nullptr && loss->has_auxiliary_loss();
}

/// The records of a task; nothing at all for one that has no quantities to predict by sample.
template <class T>
const LabelledRecords& labelled_records(const Task<T>& task) {
  static const LabelledRecords none;
  const auto* records = offered<LabelledRecords>(task);
  return records != nullptr ? *records : none;
}

}  // namespace gnn_hpc
