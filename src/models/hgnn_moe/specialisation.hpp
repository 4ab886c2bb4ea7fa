// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/hgnn_moe/options.hpp"
#include "nn/param.hpp"
#include "nn/step.hpp"

#include <vector>

namespace gnn_hpc::hgnn_moe {

/// min(1, step / warmup_steps); 1 without a warm-up.
double warmup_factor(const OrthogonalityOptions& options, std::int64_t step);

/// Distance of the experts' outputs X [R, E D] of a layer from being orthogonal (specification, section 5), over all rows of all ranks:
///   mean: R = mean over rows of X_e, G = R R';   pool: G = mean over rows of X_r X_r'
///   gram_identity: mean over all (i,j) of (G_ij - delta_ij)^2;   cosine_similarity: rows divided by max(norm, 1e-12) first, mean over
///   i != j of G_ij^2 (0 for one expert)
/// Backward, with K = (dG + dG') / rows (mean: of the mean; pool: of every row), r the rows that enter the products:
///   dr_i = sum_j K_ij r_j;  dx_i = dr_i, or (dr_i - r_i (r_i . dr_i)) / norm_i
/// All in double; one writer per element.
template <class T>
class OutputOrthogonality {
 public:
  OutputOrthogonality() = default;
  OutputOrthogonality(const OrthogonalityOptions& options, int experts, int width);

  /// Adds factor times the loss to extra[0], on the root only. Collective.
  void forward(Step<T>& step, View2<T> x, double factor, View1<double> extra);
  /// Adds the gradient of X to `dx` [R, E D].
  void backward(Step<T>& step, View2<T> x, View2<T> dx) const;

 private:
  void forward_mean(Step<T>& step, View2<T> x, double factor, View1<double> extra);
  void forward_pool(Step<T>& step, View2<T> x, double factor, View1<double> extra);

  bool pool_ = false, cosine_ = false;
  int experts_ = 0, width_ = 0;
  View1<double> row_gradient_;  ///< mean: [E D], the same for every row
  View2<double> coupling_;      ///< pool: K [E,E]
  View2<double> inverse_norm_;  ///< pool with cosines: [R,E]
};

/// Distance of weight matrices from being orthogonal: W_1 .. W_N flattened (shorter ones padded with zeros), G = W W',
/// mean over all (i,j) of (G_ij - delta_ij)^2, 0 for fewer than two;  dW_i = 4/N^2 sum_j (G - I)_ij W_j.
template <class T>
class WeightOrthogonality {
 public:
  WeightOrthogonality() = default;
  explicit WeightOrthogonality(std::vector<Param<T>> weights) : weights_(std::move(weights)) {}

  /// Adds factor times the loss to extra[0], on the root only.
  void forward(Step<T>& step, double factor, View1<double> extra);
  /// Adds the gradient to those of the weights, on the root only: gradients are summed over ranks.
  void backward(Step<T>& step) const;

 private:
  std::vector<Param<T>> weights_;
  View1<double> gram_;
  double factor_ = 0.0;
};

}  // namespace gnn_hpc::hgnn_moe
