// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/arena.hpp"
#include "train/optimizer.hpp"
#include "train/task.hpp"

#include <cstdint>
#include <functional>
#include <vector>

namespace gnn_hpc {

/// Seconds spent in the phases of steps, summed; for `bench`. Each phase ends with a fence when measured.
struct PhaseSeconds {
  double upload = 0.0, forward = 0.0, loss = 0.0, backward = 0.0, reduce = 0.0, update = 0.0;
};

struct StepResult {
  double loss = 0.0;           ///< of the global batch, as it is minimised
  double target_loss = 0.0;    ///< the part of it that an evaluation has, too: without auxiliary terms
  double gradient_norm = 0.0;  ///< before clipping
  double updates = 0.0;        ///< of the optimiser so far
  double skipped = 0.0;        ///< steps so far that changed nothing because the loss or the gradient was not finite
  std::vector<double> parts;   ///< of the loss, unweighted, where the task names them
  BatchSize size;              ///< of this rank's share
};

/// One batch through a task, for training and evaluation; owns the arena. One fence a step.
template <class T>
class StepRunner {
 public:
  StepRunner(Task<T>& task, const Comm& comm, std::uint64_t seed);

  /// Forward, backward, sum of gradients and losses over ranks, update (none where loss or gradient is not finite: all ranks see the same
  /// sums and decide alike, on the device). `divisor` is the sum of `loss_weight` over all ranks' shares;
  /// `step` keys the random numbers of layers. Collective.
  StepResult train(const HostBatch& share, double divisor, Optimizer<T>& optimizer, StepRate rate, std::int64_t step, PhaseSeconds* times = nullptr);

  /// Where training stands: what steps know of it from now on.
  void set_position(std::int64_t phase, std::int64_t epoch, std::int64_t phase_epoch);
  /// False: steps make no backward pass (a phase that freezes everything).
  void set_learning(bool learning) { learning_ = learning; }

  /// Forward in evaluation mode, then `use`.
  void run_forward(const HostBatch& share, const std::function<void(const HostBatch&, Step<T>&)>& use);

  /// The memory that training with this share needs, taken from the device now; parameters, moments, counters and buffers stay
  /// as they are. Collective.
  void warm_up(const HostBatch& share, double divisor, Optimizer<T>& optimizer);

  /// Forward in evaluation mode; adds to `measures`. Returns this rank's sum of losses (not divided). Collective.
  double evaluate(const HostBatch& share, Measures& measures);

  const Arena& arena() const { return arena_; }
  const Exec& exec() const { return exec_; }

 private:
  Step<T> make_step(Mode mode, std::int64_t step);

  Task<T>& task_;
  const Comm& comm_;
  std::uint64_t seed_;
  Exec exec_;
  Arena arena_;
  std::int64_t phase_ = 0, epoch_ = 0, phase_epoch_ = 0;
  bool learning_ = true;
  View1<double> losses_;                                       ///< of a training step: the loss, the part of it that evaluations have, named parts
  Kokkos::View<double*, Kokkos::SharedHostPinnedSpace> host_;  ///< the losses, then the optimiser's report
};

}  // namespace gnn_hpc
