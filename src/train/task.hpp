// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "dataset/data_state.hpp"
#include "dataset/data_use.hpp"
#include "dataset/measures.hpp"
#include "dataset/splits.hpp"
#include "io/bad_record.hpp"
#include "nn/param.hpp"
#include "nn/step.hpp"
#include "train/phase.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace gnn_hpc {

/// The samples of one batch, assembled in host memory by the loader's thread. Each system derives its own; its storage is
/// reused from step to step.
struct HostBatch {
  virtual ~HostBatch() = default;
  std::vector<std::int64_t> samples;  ///< data-set indices, in batch order
  double loss_weight = 0.0;           ///< what this share adds to the divisor of the loss (usually: number of targets present)
};

/// Work of one step, for `bench` and the log.
struct BatchSize {
  std::int64_t graphs = 0, nodes = 0, edges = 0;
};

/// Whose rows BatchNorm takes its statistics over in training.
enum class NormalisedRows { none, nodes, graphs };

/// What decides which checkpoint is best.
struct Deciding {
  bool loss = false;              ///< the validation loss; otherwise the first metric
  bool larger_is_better = false;  ///< of the metric
};

/// What a task learns at the beginning of a phase.
template <class T>
struct PhaseStart {
  const Phase& phase;
  std::int64_t index = 0;  ///< of the phase, from 0
  bool resumed = false;    ///< a run goes on inside the phase: what its beginning drew stands in the buffers
  const Comm& comm;
  RandomKey key;  ///< of (seed, phase)
  /// Runs `forward` in evaluation mode on this rank's shares of the first `count` training batches, and calls `use` after each. False: the run
  /// is to stop; the phase begins anew at the next start. Collective.
  std::function<bool(std::int64_t count, const std::function<void(const HostBatch&, Step<T>&)>& use)> each_batch;
};

/// A system as the trainer sees it: one folder in models/ each. A *task* turns raw files into samples, batches into a loss, and
/// the loss into parameter gradients. T is the precision of parameters and activations; losses and metrics are double.
/// What only some systems can do stands in train/capabilities.hpp.
///
/// Order of calls: `open_data` once; then per step `collate` (on the loader's thread), `upload`, `forward`, `loss`, and when
/// training `backward`. `forward` keeps in `step.arena` what `backward` needs: the caller resets the arena between steps.
template <class T>
class Task {
 public:
  virtual ~Task() = default;

  virtual const std::string& name() const = 0;
  virtual ParamStore<T>& params() = 0;

  /// Opens or builds the data. False only for `DataUse::training_if_built`, where something is not built. Collective.
  /// Throws Error(Exit::data) when no record is usable, too many are bad, or a split is empty.
  virtual bool open_data(const Comm& comm, DataUse use) = 0;
  virtual const Splits& splits() const = 0;
  virtual std::string sample_id(std::int64_t sample) const = 0;
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

  /// Before the first step of a phase of training (`resumed` false), and again when a run goes on inside it. Its random numbers are functions
  /// of `start.key`. False: stopped. Collective.
  virtual bool begin_phase(const PhaseStart<T>& start) {
    static_cast<void>(start);
    return true;
  }

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
  virtual void backward(Step<T>& step) = 0;

  /// Adds the metrics of the batch last run through `forward` (label units). Fences.
  virtual void measure(const HostBatch& batch, Step<T>& step, Measures& measures) = 0;
  /// Metrics from the reduced sums: (name, value) in the order to print.
  virtual std::vector<std::pair<std::string, double>> metrics(const Measures& reduced) const = 0;
  virtual Deciding deciding() const { return {}; }
};

}  // namespace gnn_hpc
