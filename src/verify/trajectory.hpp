// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/param.hpp"
#include "verify/comparison.hpp"
#include "verify/golden_file.hpp"

#include <functional>
#include <string>
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

/// `trajectory/final_norm/NAME` against the norms of the store's parameters: relative to the file's by allowed.trajectory, plus
/// walk(NAME).
template <class T>
void compare_final_norms(GoldenFile& file, const ParamStore<T>& store, const Tolerances& allowed,
                         const std::function<double(const TensorInfo&)>& walk, Report& report);

}  // namespace gnn_hpc::verify
