// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

namespace gnn_hpc {

/// Digests of inputs (`Task::input_digests`): equal inputs, equal digests; different ones differ but for a chance of 2^-64 a pair.

/// One more value into a digest; the order counts.
constexpr std::uint64_t digest_with(std::uint64_t digest, std::uint64_t value) {
  std::uint64_t z = digest + 0x9E3779B97F4A7C15ULL * (value + 1);  // SplitMix64 finaliser
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

/// A number to `step`. Numbers of files are round in decimals: the odd shift keeps them away from where one would round up and its
/// copy, written with another digit or computed in another order, down.
inline std::uint64_t digest_number(double x, double step) {
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(std::floor(x / step + 0.37)));
}

}  // namespace gnn_hpc
