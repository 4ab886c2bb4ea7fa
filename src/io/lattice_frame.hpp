// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

namespace gnn_hpc {

/// The lattice in a rotated frame in which its matrix is lower triangular, with the third vector along the last axis:
///   (x1,x2,x3) L  =  (s1,s2,s3),  s1 = x1 l11,  s2 = x1 l21 + x2 l22,  s3 = x1 l31 + x2 l32 + x3 l33
/// The images inside a sphere are then three nested intervals (Fincke-Pohst), in lexicographic order and without
/// a single wasted plane, whatever the shape of the cell. All squared distances of the graph come from `squared`, so
/// two of them compare equal whenever they belong to the same pair, from either end: every operation is odd in x.
struct LatticeFrame {
  double l11, l21, l22, l31, l32, l33;
  double i11, i22, i33;  ///< inverse diagonal
  double volume;

  explicit LatticeFrame(std::span<const double, 9> m) {
    const auto dot = [](const double* p, const double* q) { return p[0] * q[0] + p[1] * q[1] + p[2] * q[2]; };
    double e3[3], e2[3], rest[3];
    l33 = std::sqrt(dot(&m[6], &m[6]));
    for (int c = 0; c < 3; ++c) e3[c] = m[6 + c] / l33;
    l32 = dot(&m[3], e3);
    for (int c = 0; c < 3; ++c) e2[c] = m[3 + c] - l32 * e3[c];
    l22 = std::sqrt(dot(e2, e2));
    for (int c = 0; c < 3; ++c) e2[c] /= l22;
    l31 = dot(&m[0], e3);
    l21 = dot(&m[0], e2);
    for (int c = 0; c < 3; ++c) rest[c] = m[c] - l31 * e3[c] - l21 * e2[c];
    l11 = std::sqrt(dot(rest, rest));
    i11 = 1 / l11;
    i22 = 1 / l22;
    i33 = 1 / l33;
    volume = l11 * l22 * l33;
  }

  /// Distance of the lattice planes that each pair of vectors spans: a point within `radius` of the origin has |n_k + x_k| <= radius / spacing_k.
  std::array<double, 3> plane_spacings() const {
    // Columns of the inverse matrix are the reciprocal vectors; their norms are the inverse plane spacings.
    const double i21 = -l21 * i11 * i22, i32 = -l32 * i22 * i33, i31 = (l21 * l32 * i22 - l31) * i11 * i33;
    const double k1 = i11 * i11, k2 = i21 * i21 + i22 * i22, k3 = i31 * i31 + i32 * i32 + i33 * i33;
    return {1 / std::sqrt(k1), 1 / std::sqrt(k2), 1 / std::sqrt(k3)};
  }

  /// Largest |n_k + x_k| of any point within `radius` of the origin, over the three directions.
  double largest_index(double radius) const {
    const std::array<double, 3> spacing = plane_spacings();
    return radius / std::min({spacing[0], spacing[1], spacing[2]});
  }

  double squared(double x1, double x2, double x3) const {
    const double s1 = x1 * l11, s2 = x1 * l21 + x2 * l22, s3 = (x1 * l31 + x2 * l32) + x3 * l33;
    return (s1 * s1 + s2 * s2) + s3 * s3;
  }

  /// Calls f(n1, n2, n3, squared distance) for the integer points n with |(n + x) L|^2 <= radius^2, n ascending.
  /// `half` visits only the lexicographically positive n (for x = 0, where n and -n are equally far).
  template <bool half = false, class F>
  void visit(double x1, double x2, double x3, double radius, F&& f) const {
    const double limit = radius * radius;
    const double wide = radius * (1 + 1e-9) + 1e-9;  // intervals err on the wide side, the test below is exact
    const double wide2 = wide * wide;
    int n1 = half ? 0 : static_cast<int>(std::ceil(-wide * i11 - x1));
    const int n1_end = static_cast<int>(std::floor(wide * i11 - x1));
    for (; n1 <= n1_end; ++n1) {
      const double y1 = n1 + x1, s1 = y1 * l11, t2 = y1 * l21;
      const double left1 = std::max(0.0, wide2 - s1 * s1), h2 = std::sqrt(left1);
      int n2 = static_cast<int>(std::ceil((-h2 - t2) * i22 - x2));
      const int n2_end = static_cast<int>(std::floor((h2 - t2) * i22 - x2));
      if (half && n1 == 0) n2 = std::max(n2, 0);
      for (; n2 <= n2_end; ++n2) {
        const double y2 = n2 + x2, s2 = t2 + y2 * l22, t3 = y1 * l31 + y2 * l32;
        const double s12 = s1 * s1 + s2 * s2;
        const double h3 = std::sqrt(std::max(0.0, wide2 - s12));
        int n3 = static_cast<int>(std::ceil((-h3 - t3) * i33 - x3));
        const int n3_end = static_cast<int>(std::floor((h3 - t3) * i33 - x3));
        if (half && n1 == 0 && n2 == 0) n3 = std::max(n3, 1);
        for (; n3 <= n3_end; ++n3) {
          const double s3 = t3 + (n3 + x3) * l33, d2 = s12 + s3 * s3;
          if (d2 <= limit) f(n1, n2, n3, d2);
        }
      }
    }
  }
};

}  // namespace gnn_hpc
