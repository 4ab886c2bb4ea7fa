// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "train/options.hpp"

#include <cstdint>

namespace gnn_hpc {

/// What the schedule sets for one optimiser step.
struct StepRate {
  double learning_rate = 0.0;
  double beta1 = 0.9;  ///< of Adam, or the momentum of SGD
};

/// Learning rate and beta1 as pure functions of the optimiser step s = 0, 1, ..., T-1, with T = epochs * steps per epoch,
/// lr = `learning_rate` and cos(a, b, p) = b + (a - b)(1 + cos(pi p))/2:
///   one_cycle           t1 = 0.3 T - 1 (fractional), t2 = T - 1; s <= t1: cos(lr/25, lr, s/t1), else
///                       cos(lr, lr/250000, (s - t1)/(t2 - t1)); beta1 runs 0.95 -> 0.85 -> 0.95 on the same pieces.
///                       T <= 3 gives t1 < 0: every step lies on the second piece. As torch's OneCycleLR (pct_start 0.3).
///   none                lr
///   step                lr 0.96^floor(s/100000)
///   polynomial          lr (1 - 0.98 s/(T - 1)): linear to lr/50
///   cosine              cos(lr, minimum_learning_rate, s/T)
///   warmup_exponential  w = warmup_epochs steps_per_epoch; s < w: initial + s (lr - initial)/w, then
///                       lr (final/lr)^((s - w)/(T - w)), then final
///   warmup_cosine       by epochs t: t < warmup_epochs: lr (t + 1)/warmup_epochs, then lr/2 (1 + cos(pi (t - warmup_epochs)/max(1, epochs -
///   warmup_epochs)))
class Schedule {
 public:
  Schedule(const TrainOptions& options, std::int64_t steps_per_epoch);
  StepRate at(std::int64_t step) const;
  std::int64_t total_steps() const { return total_; }

 private:
  StepRate one_cycle(double step) const;
  double warmup_exponential(double step) const;
  double warmup_cosine(std::int64_t step) const;

  TrainOptions options_;
  std::int64_t steps_per_epoch_, total_;
};

}  // namespace gnn_hpc
