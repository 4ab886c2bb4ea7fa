// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <limits>

namespace gnn_hpc {

/// R2 = 1 - sum (p - y)^2 / sum (y - mean y)^2 compares with the spread of the targets. Where there is none (fewer than two
/// targets, or targets that differ by no more than rounding) it is NaN, never the quotient of two rounding errors, which looks like
/// a number.
/// @param spread   sum (y - mean y)^2, in two passes
/// @param largest  largest |y|
inline double r_squared(double squared_errors, double spread, double count, double largest) {
  const double noise = 4.0 * std::numeric_limits<double>::epsilon() * largest;  // of one y - mean where all are equal
  return count >= 2.0 && spread > count * noise * noise ? 1.0 - squared_errors / spread : std::numeric_limits<double>::quiet_NaN();
}

/// The same from sum y and sum y^2 of scaled targets, as ranks add them up. Unscaled ones far from zero would cancel.
inline double r_squared_of_sums(double squared_errors, double sum, double sum_of_squares, double count) {
  const double spread = sum_of_squares - sum * sum / std::max(1.0, count);
  const double noise = 1e-12 * sum_of_squares;  // of the difference
  return count >= 2.0 && spread > noise ? 1.0 - squared_errors / spread : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace gnn_hpc
