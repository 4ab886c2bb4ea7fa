// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/activation.hpp"

namespace gnn_hpc {

/// Distribution and density of the standard normal law: gelu(u) = u Phi(u), gelu'(u) = Phi(u) + u phi(u) (the exact form, with erf).
template <class T>
struct NormalLaw {
  T cdf, density;
};

KOKKOS_INLINE_FUNCTION NormalLaw<double> normal_law(double u) {
  return {0.5 * Kokkos::erfc(-0.70710678118654752440 * u), 0.39894228040143267794 * Kokkos::exp(-0.5 * u * u)};
}
/// On a CPU erfc as a rational function times the exponential that the density needs anyway (Abramowitz and Stegun 7.1.26), which
/// compilers vectorise; error of the distribution below 1e-7.
KOKKOS_INLINE_FUNCTION NormalLaw<float> normal_law(float u) {
  if constexpr (kExecIsHost) {
    const float e = exponential(-0.5f * u * u);
    const float magnitude = u < 0.0f ? -u : u;
    const float t = 1.0f / (1.0f + 0.3275911f * 0.70710678f * magnitude);
    float p = 0.5f * 1.061405429f;
    p = p * t - 0.5f * 1.453152027f;
    p = p * t + 0.5f * 1.421413741f;
    p = p * t - 0.5f * 0.284496736f;
    p = p * t + 0.5f * 0.254829592f;
    const float tail = p * t * e;
    return {u < 0.0f ? tail : 1.0f - tail, 0.39894228f * e};
  } else {
    return {0.5f * Kokkos::erfc(-0.70710678f * u), 0.39894228f * Kokkos::exp(-0.5f * u * u)};
  }
}

template <class T>
KOKKOS_INLINE_FUNCTION T gelu(T u) {
  return u * normal_law(u).cdf;
}
template <class T>
KOKKOS_INLINE_FUNCTION T gelu_derivative(T u) {
  const NormalLaw<T> law = normal_law(u);
  return law.cdf + u * law.density;
}

}  // namespace gnn_hpc
