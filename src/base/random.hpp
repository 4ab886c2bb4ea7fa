// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"

#include <Random123/philox.h>

#include <string_view>

namespace gnn_hpc {

/// 64-bit FNV-1a of a text: a stable name for random streams (std::hash differs between libraries).
constexpr std::uint64_t fnv1a64(std::string_view text) {
  std::uint64_t h = 0xCBF29CE484222325ULL;
  for (const char ch : text) h = (h ^ static_cast<unsigned char>(ch)) * 0x100000001B3ULL;
  return h;
}

/// Counter-based random numbers (Philox4x32-10, Salmon et al., SC11): a number is a pure function of
/// (seed, stream, counter), so that nothing has to be saved in a checkpoint and the result does not depend on the number of
/// threads or ranks. Usable on host and device.
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;  ///< e.g. fnv1a64(layer name) mixed with the step

  /// A derived, statistically independent stream.
  KOKKOS_INLINE_FUNCTION constexpr RandomKey fold(std::uint64_t value) const {
    std::uint64_t z = stream + 0x9E3779B97F4A7C15ULL * (value + 1);  // SplitMix64 finaliser
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return {seed, z ^ (z >> 31)};
  }

  /// Four independent 32-bit words for this counter.
  KOKKOS_INLINE_FUNCTION r123::Philox4x32::ctr_type words(std::uint64_t counter) const {
    r123::Philox4x32::ctr_type c{};
    c[0] = static_cast<std::uint32_t>(counter);
    c[1] = static_cast<std::uint32_t>(counter >> 32);
    c[2] = static_cast<std::uint32_t>(stream);
    c[3] = static_cast<std::uint32_t>(stream >> 32);
    r123::Philox4x32::key_type k{};
    k[0] = static_cast<std::uint32_t>(seed);
    k[1] = static_cast<std::uint32_t>(seed >> 32);
    return r123::Philox4x32()(c, k);
  }

  /// Uniform in [0, 1) with 53 random bits.
  KOKKOS_INLINE_FUNCTION double uniform(std::uint64_t counter) const {
    const auto w = words(counter);
    const std::uint64_t bits = (static_cast<std::uint64_t>(w[1]) << 32) | w[0];
    return static_cast<double>(bits >> 11) * 0x1.0p-53;
  }

  /// Standard normal (Box-Muller on two uniforms of the same counter).
  KOKKOS_INLINE_FUNCTION double normal(std::uint64_t counter) const {
    const auto w = words(counter);
    const double u = (static_cast<double>(((static_cast<std::uint64_t>(w[1]) << 32) | w[0]) >> 11) + 0.5) * 0x1.0p-53;
    const double v = static_cast<double>(((static_cast<std::uint64_t>(w[3]) << 32) | w[2]) >> 11) * 0x1.0p-53;
    return Kokkos::sqrt(-2.0 * Kokkos::log(u)) * Kokkos::cos(6.283185307179586476925286766559 * v);
  }
};

}  // namespace gnn_hpc
