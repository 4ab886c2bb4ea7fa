// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "io/structure.hpp"
#include "models/data_state.hpp"
#include "nn/param.hpp"
#include "nn/step.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc {

/// Which samples train, validate and test: indices into the task's data set, disjoint, in an order that is a pure function of
/// the split options and the seed. The order of `train` is the canonical one before shuffling.
struct Splits {
  std::vector<std::int64_t> train, validation, test;
};

/// The samples of one batch, assembled in host memory by the loader's thread. Each system derives its own; its storage is
/// reused from step to step.
struct HostBatch {
  virtual ~HostBatch() = default;
  std::vector<std::int64_t> samples;  ///< data-set indices, in batch order
  double loss_weight = 0.0;           ///< what this share adds to the divisor of the loss (usually: number of targets present)
  double tokens = 0.0;                ///< of a language model, padding apart: what the log counts instead of samples
};

/// One row of predictions.csv.
struct Prediction {
  std::int64_t sample = 0;
  std::vector<double> target;      ///< [K] label units, or the number of the class; NaN where missing
  std::vector<double> prediction;  ///< [K] label units or probabilities; [K C] probabilities of classes, a target's together
  std::vector<double> embedding{};  ///< [embedding_width] if asked for
};

/// What an evaluation adds up over batches: exact sums in double, reduced over ranks by the trainer, and rows of predictions
/// (kept only if asked for).
struct Measures {
  std::map<std::string, std::pair<double, double>> sums;  ///< name -> (sum, count); the metric is sum / count
  bool keep_predictions = false;
  bool keep_embeddings = false;  ///< with the predictions
  std::vector<Prediction> predictions;
  void add(const std::string& name, double sum, double count) {
    auto& s = sums[name];
    s.first += sum;
    s.second += count;
  }
};

/// What a prediction is: a number in label units, the probability of the label 1, or probabilities of the labels 0 .. C-1.
enum class TargetKind { number, probability, classes };

/// One record of the input, good or bad, in the order of the input.
struct InputRecord {
  std::string id;
  std::int64_t sample = -1;  ///< data-set index; -1 if the record could not be used
};

/// Whose rows BatchNorm takes its statistics over in training.
enum class NormalisedRows { none, nodes, graphs };

/// Work of one step, for `bench` and the log.
struct BatchSize {
  std::int64_t graphs = 0, nodes = 0, edges = 0;
};

/// A language model token by token.
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Longest sequence, prompt included, and number of different tokens.
  virtual int longest() const = 0;
  virtual int vocabulary() const = 0;
  /// Appends tokens to the sequence; returns the logits [V] of what follows the last one. Fences.
  /// Throws Error(Exit::usage) for a token outside the vocabulary or more tokens than `longest`.
  virtual std::vector<double> append(std::span<const int> tokens) = 0;
};

/// A system as the trainer sees it: one folder in models/ each. A *task* turns raw files into samples, batches into a loss, and
/// the loss into parameter gradients. T is the precision of parameters and activations; losses and metrics are double.
///
/// Order of calls: `open_data` once; then per step `collate` (on the loader's thread), `upload`, `forward`, `loss`, and when
/// training `backward`. `forward` keeps in `step.arena` what `backward` needs: the caller resets the arena between steps.
template <class T>
class Task {
 public:
  virtual ~Task() = default;

  virtual const std::string& name() const = 0;
  virtual ParamStore<T>& params() = 0;

  /// Opens or builds the graph cache, decides the splits, fits the label scaling on the training part. Collective.
  /// Throws Error(Exit::data) when no record is usable, too many are bad, or a split is empty.
  virtual void open_data(const Comm& comm) = 0;
  /// As `open_data` if nothing has to be built for it, and true; false where graphs are missing. For `--dry-run`. Collective.
  virtual bool open_built_data(const Comm& comm) {
    static_cast<void>(comm);
    return false;
  }
  virtual const Splits& splits() const = 0;
  virtual std::string sample_id(std::int64_t sample) const = 0;
  /// Names of the predicted quantities, in column order.
  virtual std::vector<std::string> target_names() const = 0;
  virtual TargetKind target_kind() const { return TargetKind::number; }
  /// C where the targets are classes.
  virtual int num_classes() const { return 1; }
  /// Width of a sample's learned representation, which `measure` adds to the predictions if asked to; 0: the system has none.
  virtual int embedding_width() const { return 0; }
  /// Which of the data's splits this run uses (a replicate or fold), for results.csv.
  virtual int split_number() const { return 0; }
  /// Opens or builds data for prediction: targets may be missing, there are no splits, and the label scaling comes from a
  /// checkpoint (`set_data_state`, called afterwards). Collective.
  virtual void open_prediction_data(const Comm& comm) { open_data(comm); }
  /// A digest of the input of every sample (molecule, crystal, text), by data-set index; empty: the system knows none. Equal inputs have equal
  /// digests however their files describe them, as far as the system documents; targets do not count.
  virtual std::vector<std::uint64_t> input_digests() const { return {}; }
  /// Every record of the input in input order, bad ones included; for prediction.
  /// Default: the samples of the splits by data-set index.
  virtual std::vector<InputRecord> records() const;
  /// Records that were left out, for `skipped.csv`; needed on the root only.
  virtual std::vector<BadRecord> skipped() const { return {}; }
  /// State that belongs to the data and must stand in the checkpoint.
  virtual DataState data_state() const = 0;
  virtual void set_data_state(const DataState& state) = 0;

  virtual std::unique_ptr<HostBatch> new_batch() const = 0;
  /// Thread-safe with respect to all other members but itself. An empty list of samples is legal.
  virtual void collate(std::span<const std::int64_t> samples, HostBatch& batch) const = 0;
  /// Work of a sample, used to balance ranks (e.g. nodes + edges).
  virtual std::int64_t cost(std::int64_t sample) const = 0;

  /// Over what the model has BatchNorm; decides which batches are too small to learn from.
  virtual NormalisedRows normalised_rows() const { return NormalisedRows::none; }
  /// Parts of the names of parameters that took no part in the last forward pass: an optimiser step leaves them alone, decay included.
  /// The same on all ranks.
  virtual std::vector<std::string> resting() const { return {}; }

  virtual BatchSize upload(const HostBatch& batch, Step<T>& step) = 0;
  virtual void forward(Step<T>& step) = 0;
  /// This rank's part of the loss, sum / divisor, in a device scalar (read it after a fence); `divisor` is the sum of
  /// `HostBatch::loss_weight` over all ranks. Prepares the gradient of the output when training.
  virtual View1<double> loss(Step<T>& step, double divisor) = 0;
  /// True if training minimises terms that an evaluation's loss lacks (of pooling, of specialisation). The log names them apart, so that
  /// training and validation loss can be compared. Never changes after `open_data`.
  virtual bool has_auxiliary_loss() const { return false; }
  /// Where it has: this rank's part of the last training step's loss without those terms, in a device scalar.
  virtual View1<double> target_loss() { return {}; }
  virtual void backward(Step<T>& step) = 0;
  /// Adds the metrics of the batch last run through `forward` (label units). Fences.
  virtual void measure(const HostBatch& batch, Step<T>& step, Measures& measures) = 0;
  /// Metrics from the reduced sums: (name, value) in the order to print; the first one decides which checkpoint is best, unless
  /// `loss_decides`.
  virtual std::vector<std::pair<std::string, double>> metrics(const Measures& reduced) const = 0;
  /// True if the validation loss decides which checkpoint is best.
  virtual bool loss_decides() const { return false; }
  /// True if a larger value of the deciding metric is better.
  virtual bool larger_is_better() const { return false; }
  /// False for a system that has no quantities to list by sample (a language model): no test part is needed, the training set is not
  /// run once more at the end, and the final table shows the metrics.
  virtual bool predicts() const { return true; }
  /// Floating-point operations of a training step on this share as the model's formula counts them, forward and backward, nothing
  /// computed twice; 0: not known, and no utilisation is reported.
  virtual double flops(const HostBatch& batch) const {
    static_cast<void>(batch);
    return 0.0;
  }
  /// A few parameters worth following, by name, for the log of every epoch and of every evaluation. Fences.
  virtual std::vector<std::pair<std::string, std::vector<double>>> report() { return {}; }
  /// Which of the system's models this is, and its size, in a few words for the line that says what is trained: "D-MPNN, mean over atoms,
  /// width 300, depth 3". Empty: the system has one model only.
  virtual std::string variant() const { return {}; }
  /// Lines about the model for the log at the beginning (parameter counts).
  virtual std::vector<std::string> describe() const { return {}; }
  /// For `generate`: continues texts with the present weights; null where the system cannot. The task must outlive it.
  virtual std::unique_ptr<Decoder> new_decoder() { return nullptr; }
};

template <class T>
std::vector<InputRecord> Task<T>::records() const {
  std::vector<std::int64_t> samples;
  for (const auto* part : {&splits().train, &splits().validation, &splits().test}) {
    samples.insert(samples.end(), part->begin(), part->end());
  }
  std::sort(samples.begin(), samples.end());
  std::vector<InputRecord> out;
  out.reserve(samples.size());
  for (const std::int64_t s : samples) out.push_back({sample_id(s), s});
  return out;
}

}  // namespace gnn_hpc
