// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/param.hpp"
#include "nn/step.hpp"

#include <string>

namespace gnn_hpc {

/// Normalisation of every row (biased variance, eps 1e-5).
///   forward    xh = (x - mean) r,  r = 1/sqrt(var + eps),  y = xh gamma + beta
///   backward   g = dy gamma;  dx = r (g - mean(g) - xh mean(g xh));  dgamma = sum dy xh,  dbeta = sum dy
/// Kept: r of every row, and xh (or x and the mean, from which xh is made again). The affine map is the caller's: where a Linear
/// follows, it folds into that one's weight (`fold_affine`), and y never exists.
inline constexpr double kLayerNormEpsilon = 1e-5;

template <class T>
struct LayerNorm {
  Param<T> weight, bias;  ///< gamma, beta [D]; initially 1 and 0

  LayerNorm() = default;
  /// Registers `name.weight` and `name.bias`.
  LayerNorm(ParamStore<T>& store, const std::string& name, int width, bool used = true);

  /// xh and r of the rows of x; xh may be x.
  template <class Space>
  static void normalise(const Space& exec, View2<T> x, View2<T> xh, View1<T> rdev);
  /// The same, keeping the mean as well.
  template <class Space>
  static void normalise_keep(const Space& exec, View2<T> x, View2<T> xh, View1<T> mean, View1<T> rdev);
  /// xh from x (may be the same), mean and r.
  template <class Space>
  static void normalise_with(const Space& exec, View2<T> x, View1<T> mean, View1<T> rdev, View2<T> xh);
  /// y = xh gamma + beta
  template <class Space>
  void affine(const Space& exec, View2<T> xh, View2<T> y) const;
  /// dx = r (g - mean(g) - xh mean(g xh)) + beta dx, from g = gradient of xh.
  template <class Space>
  static void backward_hat(const Space& exec, View2<T> xh, View1<T> rdev, View2<T> g, View2<T> dx, T beta);
  /// The same from dy; `partial` [2D] receives the sums of dy xh and of dy over these rows, in double.
  template <class Space>
  void backward_rows(const Space& exec, View2<T> xh, View1<T> rdev, View2<T> dy, View2<T> dx, T beta, View1<double> partial) const;
  /// Adds the sums over all rows of `partial` [chunks, 2D] to the gradients of gamma and beta.
  void add_partials(Step<T>& step, View2<double> partial) const;
};

/// Folding an affine map y = xh gamma + beta into z = y W' + b (W [N,D]):  z = xh W'' + b'' with W''[n,d] = W[n,d] gamma[d],
/// b''[n] = b[n] + sum_d W[n,d] beta[d]. Backward, from dW'' and db'' = db:
///   dW += dW'' diag(gamma) + db beta';  db += db'';  dgamma[d] += sum_n dW''[n,d] W[n,d];  dbeta[d] += sum_n W[n,d] db[n]
template <class T>
struct AffineFold {
  static void forward(const Exec& exec, View2<T> weight, View1<T> bias, View1<T> gamma, View1<T> beta, View2<T> folded, View1<T> folded_bias);
  static void backward(const Exec& exec, View2<T> weight, View1<T> gamma, View1<T> beta, View2<T> dfolded, View1<T> dfolded_bias, View2<T> dweight,
                       View1<T> dbias, View1<T> dgamma, View1<T> dbeta);
};

}  // namespace gnn_hpc
