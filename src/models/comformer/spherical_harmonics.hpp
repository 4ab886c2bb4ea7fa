// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"

namespace gnn_hpc::comformer {

/// Components of the real spherical harmonics of degree 1 and 2, one after the other.
inline constexpr int kHarmonics = 8;

/// Real spherical harmonics of the direction (x, y, z) = r/|r| with |Y_l|^2 = 2l+1 (component normalisation), in the order of the published
/// networks (specification 4.3):
///   Y1 = sqrt3 (x, y, z)
///   Y2 = (sqrt15 xz, sqrt15 xy, sqrt5 (y^2 - (x^2+z^2)/2), sqrt15 yz, sqrt15/2 (z^2 - x^2))
/// Under r -> -r Y1 changes its sign, Y2 does not.
/// @param r [3], not zero  @param out [8]
template <class T>
KOKKOS_INLINE_FUNCTION void spherical_harmonics(const double* r, T* out) {
  constexpr double kRoot3 = 1.7320508075688772, kRoot5 = 2.23606797749979, kRoot15 = 3.872983346207417;
  const double inverse = 1.0 / Kokkos::sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
  const double x = r[0] * inverse, y = r[1] * inverse, z = r[2] * inverse;
  out[0] = static_cast<T>(kRoot3 * x);
  out[1] = static_cast<T>(kRoot3 * y);
  out[2] = static_cast<T>(kRoot3 * z);
  out[3] = static_cast<T>(kRoot15 * x * z);
  out[4] = static_cast<T>(kRoot15 * x * y);
  out[5] = static_cast<T>(kRoot5 * (y * y - 0.5 * (x * x + z * z)));
  out[6] = static_cast<T>(kRoot15 * y * z);
  out[7] = static_cast<T>(0.5 * kRoot15 * (z * z - x * x));
}

}  // namespace gnn_hpc::comformer
