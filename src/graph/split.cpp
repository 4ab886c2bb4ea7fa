// SPDX-License-Identifier: Apache-2.0
#include "graph/split.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <numeric>
#include <utility>

namespace gnn_hpc {

namespace {

/// The Mersenne twister as Python seeds it. std::mt19937 generates the same words but cannot be seeded by an array.
class PythonRandom {
 public:
  explicit PythonRandom(std::int64_t seed) {
    std::uint64_t magnitude = seed < 0 ? 0 - static_cast<std::uint64_t>(seed) : static_cast<std::uint64_t>(seed);
    std::array<std::uint32_t, 2> key{static_cast<std::uint32_t>(magnitude), static_cast<std::uint32_t>(magnitude >> 32)};
    init_by_array(key, key[1] == 0 ? 1 : 2);
  }

  /// Uniform in [0, bound), bound < 2^32.
  std::uint32_t below(std::uint32_t bound) {
    const int bits = std::bit_width(bound);
    std::uint32_t r = next() >> (32 - bits);
    while (r >= bound) r = next() >> (32 - bits);
    return r;
  }

 private:
  static constexpr std::size_t kSize = 624, kMiddle = 397;

  void init_by_array(const std::array<std::uint32_t, 2>& key, std::size_t length) {
    state_[0] = 19650218U;
    for (std::size_t i = 1; i < kSize; ++i) state_[i] = 1812433253U * (state_[i - 1] ^ (state_[i - 1] >> 30)) + static_cast<std::uint32_t>(i);
    std::size_t i = 1, j = 0;
    for (std::size_t k = 0; k < kSize; ++k) {
      state_[i] = (state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * 1664525U)) + key[j] + static_cast<std::uint32_t>(j);
      advance(i);
      j = (j + 1) % length;
    }
    for (std::size_t k = 0; k + 1 < kSize; ++k) {
      state_[i] = (state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * 1566083941U)) - static_cast<std::uint32_t>(i);
      advance(i);
    }
    state_[0] = 0x80000000U;
    position_ = kSize;
  }
  void advance(std::size_t& i) {
    if (++i >= kSize) {
      state_[0] = state_[kSize - 1];
      i = 1;
    }
  }

  std::uint32_t next() {
    if (position_ == kSize) {
      for (std::size_t i = 0; i < kSize; ++i) {
        const std::uint32_t y = (state_[i] & 0x80000000U) | (state_[(i + 1) % kSize] & 0x7FFFFFFFU);
        state_[i] = state_[(i + kMiddle) % kSize] ^ (y >> 1) ^ ((y & 1U) ? 0x9908B0DFU : 0U);
      }
      position_ = 0;
    }
    std::uint32_t y = state_[position_++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9D2C5680U;
    y ^= (y << 15) & 0xEFC60000U;
    return y ^ (y >> 18);
  }

  std::array<std::uint32_t, kSize> state_{};
  std::size_t position_ = kSize;
};

}  // namespace

std::vector<std::int64_t> python_shuffled(std::int64_t n, std::int64_t seed) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  PythonRandom random(seed);
  for (std::size_t i = order.size(); i-- > 1;) std::swap(order[i], order[random.below(static_cast<std::uint32_t>(i + 1))]);
  return order;
}

}  // namespace gnn_hpc
