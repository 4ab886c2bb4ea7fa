// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"
#include "nn/param.hpp"
#include "train/options.hpp"
#include "train/schedule.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace gnn_hpc {

enum class UpdateRule { adamw, adam, sgd };

/// Updates all parameters of a store from their gradients, in two passes over the flat arrays: the global norm in double, then
/// one fused kernel. With g the clipped gradient, t = 1, 2, ... the number of updates made so far including this one, b1 the
/// beta1 of this step (it may cycle) and eta the learning rate:
///   adamw  p *= 1 - eta decay;  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;
///          p -= eta/(1-b1^t) m / (sqrt(v)/sqrt(1-b2^t) + eps)
///   adam   the same without decay
///   sgd    g += decay p;  m = b1 m + g;  p -= eta m
///   g = gradient min(1, clip_norm/(norm + 1e-6)) if clipping is on
/// As torch.optim.AdamW and SGD (dampening 0). Decay applies to tensors whose name contains no part of `no_decay`; tensors
/// that are not `used` or are frozen keep value and moments bit by bit. Moments are of type T.
///
/// A step whose loss or norm is not finite changes nothing but the counters; parameters, moments and buffers are those before the
/// step (`begin_step` keeps a copy of the buffers, which the forward pass has already updated). Nothing here waits for the
/// device: decisions are taken there, and `report` is read by the caller after its one fence a step. What the report counts as
/// skipped was skipped, and nothing else: messages go by it.
template <class T>
class Optimizer {
 public:
  /// Places in the report; all doubles.
  enum Report : int { kNormSquared = 0, kUpdates, kSkipped, kReportSize };

  Optimizer(ParamStore<T>& store, const TrainOptions& options);

  /// Keeps a copy of the buffers; call before the forward pass.
  void begin_step(const Exec& exec);
  /// @param loss  [1] or more on the device, the first is the loss over all ranks: a loss that is not finite (an overflow beside finite
  /// gradients, a target at infinity) skips the step as a gradient does. Empty: the gradient alone decides.
  void apply(const Exec& exec, StepRate rate, View1<double> loss = {});
  /// Puts back the buffers of `begin_step`, for a forward pass that must leave no trace.
  void restore_buffers(const Exec& exec);

  /// [kReportSize] on the device: squared norm before clipping, updates made, steps skipped.
  View1<double> report() const { return report_; }

  /// State by tensor for checkpoints. `second` is empty for SGD.
  bool has_second_moment() const { return rule_ != UpdateRule::sgd; }
  View1<T> first_moment() const { return m_; }
  View1<T> second_moment() const { return v_; }
  void set_counters(double updates, double skipped);

  /// From now on, tensors whose name contains one of `parts` are frozen (a training stage); empty: none is.
  void freeze(const std::vector<std::string>& parts);
  /// The same for tensors without part in the next step; the list replaces that of the step before.
  void rest(const std::vector<std::string>& parts);

 private:
  void mark_tensors();

  ParamStore<T>& store_;
  TrainOptions options_;
  UpdateRule rule_;
  std::vector<std::string> frozen_, resting_;
  View1<T> m_, v_, saved_buffers_;
  View1<unsigned char> flags_;  ///< [flat/64] what to do with each block of 64 elements; tensors are padded to blocks
  View1<double> report_;
  View1<double> coefficient_;  ///< of this step, computed on the device
};

}  // namespace gnn_hpc
