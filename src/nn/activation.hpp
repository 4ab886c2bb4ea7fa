// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"

#include <cstring>

namespace gnn_hpc {

/// e^x. In float on a CPU: range reduction by powers of two (Cody and Waite, 1980) and a polynomial, written so that compilers turn a
/// loop of it into vector instructions, which they cannot do with the library's function; relative error below 2e-7.
/// Elsewhere the library's function.
KOKKOS_INLINE_FUNCTION double exponential(double x) { return Kokkos::exp(x); }
KOKKOS_INLINE_FUNCTION float exponential(float x) {
  if constexpr (kExecIsHost) {
    x = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
    const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
    const float n = (x * 1.44269504f + magic) - magic;
    float r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const int bits = (static_cast<int>(n) + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
  } else {
    return Kokkos::exp(x);
  }
}

/// log(1 + t) for t in [0, 1], as 2 artanh(t / (2 + t)); float error below 1e-7.
KOKKOS_INLINE_FUNCTION double log_one_plus(double t) { return Kokkos::log1p(t); }
KOKKOS_INLINE_FUNCTION float log_one_plus(float t) {
  if constexpr (kExecIsHost) {
    const float z = t / (2.0f + t), z2 = z * z;
    float p = 2.0f / 15.0f;
    p = p * z2 + 2.0f / 13.0f;
    p = p * z2 + 2.0f / 11.0f;
    p = p * z2 + 2.0f / 9.0f;
    p = p * z2 + 2.0f / 7.0f;
    p = p * z2 + 2.0f / 5.0f;
    p = p * z2 + 2.0f / 3.0f;
    p = p * z2 + 2.0f;
    return p * z;
  } else {
    return Kokkos::log1p(t);
  }
}

/// The logistic function.
template <class T>
KOKKOS_INLINE_FUNCTION T sigmoid(T x) {
  return T(1) / (T(1) + exponential(-x));
}

/// x sigmoid(x) and its derivative.
template <class T>
KOKKOS_INLINE_FUNCTION T silu(T x) {
  return x * sigmoid(x);
}
template <class T>
KOKKOS_INLINE_FUNCTION T silu_derivative(T x) {
  const T s = sigmoid(x);
  return s + x * s * (T(1) - s);
}

/// log(1 + e^x), and x itself above 20 as the published networks have it.
template <class T>
KOKKOS_INLINE_FUNCTION T softplus(T x) {
  const T magnitude = x < T(0) ? -x : x;
  const T y = (x > T(0) ? x : T(0)) + log_one_plus(exponential(-magnitude));
  return x > T(20) ? x : y;
}

/// The derivative of softplus from its value: dy/dx = sigmoid(x) = 1 - e^-y; saves keeping x. Small y take the series of 1 - e^-y, which
/// the difference would lose to cancellation.
KOKKOS_INLINE_FUNCTION float softplus_derivative_from_value(float y) {
  const float series = y * (1.0f - y * (0.5f - y * (0.16666667f - y * 0.041666668f)));
  const float difference = y > 20.0f ? 1.0f : 1.0f - exponential(-y);
  return y < 0.0625f ? series : difference;
}
KOKKOS_INLINE_FUNCTION double softplus_derivative_from_value(double y) { return y > 20.0 ? 1.0 : -Kokkos::expm1(-y); }

}  // namespace gnn_hpc
