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

/// The larger one, NaN if one of them is NaN.
double larger(double a, double b);

/// Allowed differences, relative to the largest entry of the expected tensor.
struct Tolerances {
  double input = 1e-12;  ///< what is computed from the file's raw inputs, always in double
  double output = 1e-9;  ///< outputs, loss, updated buffers
  double gradient = 1e-9;
  double trajectory = 1e-8;   ///< losses of the optimiser steps, norms after the last
  double zero_noise = 3e-13;  ///< rounding noise of a gradient that is zero by cancellation, against the largest of all gradients
  double unit = 0x1p-53;      ///< rounding of one operation
  bool single = false;
  /// double: as above; single: outputs and trajectory 1e-4, gradients 1e-3, noise 1e-6.
  static Tolerances of(bool single_precision);
};

/// A gradient this small against the largest of all is an exact zero plus rounding noise (a bias in front of a normalisation). In the
/// reference's own double precision such gradients reach 1e-13, the smallest true ones of the files at hand stay above 1e-9.
inline constexpr double kZeroGradient = 1e-12;

/// Entries of a tensor that its digest holds.
inline constexpr std::size_t kDigestHead = 32;

/// One line of the report.
struct Row {
  std::string name, shape;
  double scale = 0.0;     ///< what the relative difference is relative to
  double absolute = 0.0;  ///< largest |ours - expected|
  double relative = 0.0;  ///< absolute / scale
  double allowed = 0.0;
  bool numbers = true;  ///< false: nothing was compared (missing, wrong shape)
  bool pass = false;
  std::string note;
};

/// Collects the comparisons of one golden file. NaN or infinity on either side never passes, another shape never passes. What the
/// precision cannot hold is no difference: `least`, its smallest normal number, is added to all that is allowed (below it, numbers may be
/// flushed to zero). So a tensor of zeros is expected to be zero.
class Report {
 public:
  explicit Report(bool single_precision = false);

  /// `allowed` is relative to the largest entry of `expected`.
  void compare(const std::string& name, const RealTensor& expected, const RealTensor& actual, double allowed, const std::string& note = {});
  void compare(const std::string& name, const RealTensor& expected, double actual, double allowed);
  /// Up to `absolute` may differ; `scale` is what the report relates it to.
  void compare_within(const std::string& name, const RealTensor& expected, const RealTensor& actual, double absolute, double scale,
                      const std::string& note = {});
  /// Equal or not; `absolute` counts the largest difference.
  void compare_exact(const std::string& name, const IntegerTensor& expected, const IntegerTensor& actual);
  /// `expected` = (norm, sum, dot, first entries) of the tensor `tensor`, of which `actual` holds all. An entry may differ by
  /// rtol largest + noise, where largest is what the fingerprint proves, max(entries, norm / sqrt(size)); the norm by
  /// rtol norm + noise sqrt(size); sum and dot by sqrt(size) times that (Cauchy and Schwarz; the probe's entries are below 1).
  void compare_fingerprint(const std::string& name, const std::string& tensor, const RealTensor& expected, const RealTensor& actual, double rtol,
                           double noise = 0.0, const std::string& note = {});
  /// The same for `expected` = (sum, norm, dot with cos(0), cos(1), cos(2) ..., first kDigestHead entries).
  void compare_digest(const std::string& name, const RealTensor& expected, const RealTensor& actual, double rtol, double noise = 0.0,
                      const std::string& note = {});
  void fail(const std::string& name, const std::string& reason);

  bool passed() const;
  const std::vector<Row>& rows() const { return rows_; }
  /// The table, in the order of comparison (`failures_only` drops the lines that pass), then one line of summary.
  void print(std::ostream& out, bool failures_only = false) const;

 private:
  void compare_summary(const std::string& name, const std::string& word, const RealTensor& expected, const RealTensor& actual,
                       const std::vector<double>& ours, double rtol, double noise, const std::string& note);

  double least_;
  std::vector<Row> rows_;
};

}  // namespace gnn_hpc::verify
