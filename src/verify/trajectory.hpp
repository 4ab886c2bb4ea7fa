// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/param.hpp"
#include "train/options.hpp"
#include "verify/comparison.hpp"
#include "verify/golden_file.hpp"
#include "verify/manifest.hpp"

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace gnn_hpc::verify {

/// What the optimiser did to gradients on the way to parameters: sum of the learning rates of all steps, and the factor of clipping
/// in the first one.
struct Steps {
  double rate_sum = 0.0;
  double clip_factor = 1.0;
  /// clip_norm 0: off. `norm`: of all gradients.
  static Steps of(const std::vector<double>& rates, double clip_norm, double norm);
  /// 2 sum(eta) sqrt(sum_i (c n_i / (c |g_i| + c n_i + 1e-8))^2), how far Adam may carry two copies of a parameter apart whose
  /// gradients g (zero if not given) have the noise n; see ExpectedGradients::walk.
  double walk(const std::vector<double>& noise, const std::vector<double>& gradient = {}) const;
};

/// How a system makes optimiser steps from the present parameters of a store.
struct Trajectory {
  TrainOptions options;
  std::int64_t steps_per_epoch = 1;                                    ///< of the schedule
  std::int64_t most_steps = std::numeric_limits<std::int64_t>::max();  ///< that the schedule is made for
  /// Forward, loss and backward of step s (from 0), the gradient added to the store; returns the loss that files record.
  std::function<double(std::int64_t)> pass;
  /// Parts of names that took no part in the last pass; empty function: none ever.
  std::function<std::vector<std::string>()> resting;
  /// How far rounding may carry a parameter, see ExpectedGradients::walk.
  std::function<double(const TensorInfo&, const Steps&)> walk;
  double gradient_norm = 0.0;        ///< of the first step, as the file tells it
  std::string norms = "final_norm";  ///< group of the norms of the parameters after the last step
  bool stored_rates = true;          ///< false: the file holds no rate of each step
};

/// Adds what a trajectory must hold, if there is one or `required`: `names`, and the final norm of every tensor.
template <class T>
void require_trajectory(const GoldenFile& file, const ParamStore<T>& store, std::initializer_list<std::string_view> names, bool required,
                        Manifest& manifest);

/// Optimiser steps, one for each of `trajectory/loss`, against the losses, rates (`lr`), and, where the file has them, `beta1` and `grad_norm`
/// of the steps, and the norms of the parameters after the last (`norms`/NAME: relative to the file's, plus the walk).
template <class T>
void check_trajectory(GoldenFile& file, ParamStore<T>& store, const Trajectory& trajectory, Report& report);

}  // namespace gnn_hpc::verify
