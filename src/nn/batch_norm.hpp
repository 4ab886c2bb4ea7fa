// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/param.hpp"
#include "nn/step.hpp"

#include <string>

namespace gnn_hpc {

/// BatchNorm1d over weighted rows: row r stands for w_r equal rows, W = sum w (Ioffe and Szegedy, 2015; specification
/// spec/comformer.md section 6).
///   mu = sum w x / W,  var = sum w (x - mu)^2 / W,  xh = (x - mu) / sqrt(var + eps),  y = gamma xh + beta
///   backward, with G_r the gradient of row r already summed over its copies:
///     dgamma = sum G xh,  dbeta = sum G,  dx_r = gamma / sqrt(var + eps) (G_r - (w_r / W)(dbeta + xh_r dgamma))
/// Moments are sums over all ranks in double (Chan, Golub and LeVeque's pairwise update), so a global batch gives the same
/// result on any number of ranks. Running statistics: momentum 0.1, unbiased variance W / (W - 1). With W = 1 the variance is
/// taken as 0 and the running variance stays; with W = 0 nothing changes. Evaluation mode uses the running statistics.
///
/// Two users: matrices that exist (`forward`, `backward`), and fused kernels that never store x: those leave partial moments (or partial
/// sums of G and G xh), one row a work item, and apply `scale` and `shift` themselves.
template <class T>
struct BatchNorm {
  Param<T> weight, bias;
  Buffer<T> running_mean, running_var;
  static constexpr double kEps = 1e-5, kMomentum = 0.1;

  struct Saved {
    View1<double> mean, rstd;  ///< [C]
    View1<double> total;       ///< [1] W
    View1<T> scale, shift;     ///< [C] y = scale x + shift
    bool batch_statistics = true;
  };
  /// dx = scale (G - w (from_beta + xh from_gamma)), xh = (x - mean) rstd; both coefficients 0 in evaluation mode.
  struct Coefficients {
    View1<double> from_beta, from_gamma;  ///< [C] dbeta / W, dgamma / W
  };

  BatchNorm() = default;
  /// Registers `name.{weight,bias}` and buffers `name.{running_mean,running_var}`.
  BatchNorm(ParamStore<T>& store, const std::string& name, int width);

  /// From partial moments (training): partial[i, 0:C] = mean of item i, partial[i, C:2C] = sum of its w (x - mean)^2,
  /// item_weight[i] = its sum of w. In evaluation mode the partials are not read and may be empty.
  Saved statistics(Step<T>& step, View2<double> partial, View1<double> item_weight) const;
  /// From partial sums of G (columns 0:C) and G xh (C:2C): adds to the gradients of weight and bias.
  Coefficients backward_sums(Step<T>& step, View2<double> partial, const Saved& saved) const;

  /// Statistics of a matrix; row_weight may be empty (all ones).
  Saved statistics_of(Step<T>& step, View2<T> x, View1<T> row_weight) const;
  /// dx may be the same memory as dy.
  void backward_of(Step<T>& step, View2<T> x, View1<T> row_weight, const Saved& saved, View2<T> dy, View2<T> dx) const;
};

}  // namespace gnn_hpc
