// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/random.hpp"

#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

namespace gnn_hpc {

/// Digests of inputs (`InputDigests`): equal inputs, equal digests; different ones differ but for a chance of 2^-64 a pair.

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

/// A 64-bit digest of a text as two numbers that a double holds exactly.
inline std::vector<double> digest_numbers(std::string_view text) {
  const std::uint64_t h = fnv1a64(text);
  return {static_cast<double>(h >> 32), static_cast<double>(h & 0xFFFFFFFFULL)};
}

}  // namespace gnn_hpc
