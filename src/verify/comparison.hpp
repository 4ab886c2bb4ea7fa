// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc::verify {

/// A tensor in host memory, row-major. Golden files hold double and integers; ours are converted to the same.
template <class T>
struct Tensor {
  std::vector<std::size_t> shape;
  std::vector<T> values;
};
using RealTensor = Tensor<double>;
using IntegerTensor = Tensor<std::int64_t>;

std::string shape_text(std::span<const std::size_t> shape);  ///< "[3,16]"; "[]" for a scalar
double largest_magnitude(std::span<const double> values);    ///< 0 if empty; NaN if one entry is NaN

/// Allowed differences, relative to the largest entry of the expected tensor.
struct Tolerances {
  double input = 1e-12;       ///< what is computed from the file's raw inputs, always in double
  double output = 1e-9;       ///< outputs, loss, updated buffers
  double gradient = 1e-9;
  double trajectory = 1e-8;   ///< losses of the optimiser steps, norms after the last
  double zero_norm = 1e-7;    ///< norms of parameters whose gradient is rounding noise, at least (see `noise_walk`)
  /// double: as above; single: outputs 1e-4, gradients and trajectory 1e-3.
  static Tolerances of(bool single_precision);
};

/// A gradient this small against the largest of all gradients is an exact zero plus rounding noise (a bias in front of a
/// normalisation): it is compared with the largest of all, not with itself. In the reference's own double precision such
/// gradients reach 1e-13, the smallest true ones stay above 1e-6.
inline constexpr double kZeroGradient = 1e-10;

/// A tensor of gradients smaller than this against the largest of all is compared as if its largest entry were this fraction of it:
/// 1e-9 of that is 1e-14 of the largest gradient, the rounding of a few sums, and no order of summation does better.
inline constexpr double kSmallGradient = 1e-5;

/// How far rounding noise can move the norm of a parameter of `size` elements that has no gradient: Adam divides the noise g by
/// |g| + 1e-8, so that each step moves an element by up to lr |g| / (|g| + 1e-8). `noise`: the largest |g| seen in the first
/// step (or the largest error of g, where g is small but not nothing); twice that is allowed for in later ones. `rate_sum`: sum of the learning rates.
double noise_walk(double noise, double rate_sum, std::size_t size);

/// One line of the report.
struct Row {
  std::string name, shape;
  double scale = 0.0;     ///< what the relative difference is relative to
  double absolute = 0.0;  ///< largest |ours - expected|
  double relative = 0.0;  ///< absolute / scale
  double allowed = 0.0;
  bool numbers = true;    ///< false: nothing was compared (missing, wrong shape)
  bool pass = false;
  std::string note;
};

/// Collects the comparisons of one golden file. NaN or infinity on either side never passes.
class Report {
 public:
  /// scale < 0: the largest entry of `expected`; where that is 0 the comparison is absolute.
  void compare(const std::string& name, const RealTensor& expected, const RealTensor& actual, double allowed,
               double scale = -1.0, const std::string& note = {});
  void compare(const std::string& name, const RealTensor& expected, double actual, double allowed);
  /// Equal or not; `absolute` counts the largest difference.
  void compare_exact(const std::string& name, const IntegerTensor& expected, const IntegerTensor& actual);
  /// `expected` = (norm, sum, dot, first entries) of a tensor of which `actual` holds all. Norm: relative to itself; sum and dot:
  /// to norm * sqrt(size), their largest possible value; entries: to the largest entry. scale >= 0 replaces all of these.
  void compare_fingerprint(const std::string& name, const RealTensor& expected, const RealTensor& actual, double allowed,
                           double scale = -1.0);
  void fail(const std::string& name, const std::string& reason);

  bool passed() const;
  const std::vector<Row>& rows() const { return rows_; }
  /// The table, in the order of comparison (`failures_only` drops the lines that pass), then one line of summary.
  void print(std::ostream& out, bool failures_only = false) const;

 private:
  std::vector<Row> rows_;
};

}  // namespace gnn_hpc::verify
