// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "base/error.hpp"
#include "train/checkpoint.hpp"
#include "train/options.hpp"
#include "train/phase.hpp"
#include "train/summary.hpp"
#include "train/task.hpp"

#include <functional>
#include <string>
#include <vector>

namespace gnn_hpc {

struct TrainResult {
  Exit exit = Exit::ok;  ///< ok, or stopped (signal or time limit; a checkpoint was written)
  std::string status;    ///< finished | early_stopped | stopped
  TrainState state;
  std::vector<PartScore> parts;  ///< final errors; on the root, empty if stopped
  std::size_t arena_bytes = 0;   ///< high-water mark of the step's memory on this rank
};

/// `stop` lets a test end the run at a chosen step: called on every rank before each step and each evaluation batch; true: stop as
/// if a signal had arrived. May throw, as if the process had been killed.
struct TrainHooks {
  std::function<bool(const TrainState&)> stop;
  /// Measures the rate of matrix products, floating-point operations a second of one rank; asked once, where the task knows its own
  /// operations (`Task::flops`). Empty: no utilisation in the log.
  std::function<double()> gemm_rate{};
};

/// Trains a task from its phases to the final error table, or continues a run that was interrupted; see RunFolder for the
/// files. Bit by bit the same whether it was interrupted or not (same build, ranks and threads).
///   epoch: shuffled batches -> step -> update; then validation over all samples, best and last checkpoint
///   end:   errors of all parts with the best (or last) weights, predictions, summary
/// Stops with a checkpoint and Exit::stopped after SIGTERM, SIGUSR1 or SIGINT (any rank) or in time before `run.walltime`.
/// Throws Error(Exit::diverged), naming the samples, after `max_bad_steps` steps in a row whose loss or gradient is not
/// finite (such steps change no parameter); the last checkpoint is then the one before. Throws Error(Exit::usage) if a
/// checkpoint belongs to another run, Error(Exit::data) for damaged or unwritable files and empty splits. Collective.
/// Phases follow each other with an optimiser, a schedule and a best checkpoint each; between two of them stands a checkpoint. The final errors
/// are those of the last one's weights. `checkpoints/{best,last}.NAME.h5` keep those of the others.
template <class T>
TrainResult train(Task<T>& task, const RunOptions& run, const std::vector<Phase>& phases, const Comm& comm, const std::string& resolved_yaml,
                  const TrainHooks& hooks = {});
/// One phase.
template <class T>
TrainResult train(Task<T>& task, const RunOptions& run, const TrainOptions& options, const Comm& comm, const std::string& resolved_yaml,
                  const TrainHooks& hooks = {}) {
  return train<T>(task, run, one_phase(options), comm, resolved_yaml, hooks);
}

}  // namespace gnn_hpc
