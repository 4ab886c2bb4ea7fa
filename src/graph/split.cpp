// SPDX-License-Identifier: Apache-2.0
#include "graph/split.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <random>
#include <utility>

#include "base/error.hpp"

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

std::int64_t at(std::span<const std::int64_t> values, std::int64_t i) { return values[static_cast<std::size_t>(i)]; }

/// Marks `count` of the samples: the first ones, or with classes those at equal distances of the samples sorted by class.
/// @param samples in permuted order; @return [samples] by position
std::vector<char> pick(std::span<const std::int64_t> samples, std::int64_t count, std::span<const std::int64_t> classes) {
  const auto n = static_cast<std::int64_t>(samples.size());
  std::vector<char> picked(samples.size(), 0);
  if (classes.empty()) {
    std::fill_n(picked.begin(), count, 1);
    return picked;
  }
  std::vector<std::size_t> position(samples.size());
  std::iota(position.begin(), position.end(), std::size_t{0});
  std::stable_sort(position.begin(), position.end(), [&](std::size_t a, std::size_t b) { return at(classes, samples[a]) < at(classes, samples[b]); });
  for (std::int64_t i = 0; i < n; ++i) picked[position[static_cast<std::size_t>(i)]] = (i + 1) * count / n > i * count / n;
  return picked;
}

/// The last step of both kinds of split: `rest` in the order of a fresh permutation, `validation` of them set aside.
void divide_rest(const std::vector<std::int64_t>& rest, std::uint32_t seed, std::int64_t validation, std::span<const std::int64_t> classes,
                 SampleParts& out) {
  std::vector<std::int64_t> order = numpy_permutation(static_cast<std::int64_t>(rest.size()), seed);
  for (auto& i : order) i = rest[static_cast<std::size_t>(i)];
  const auto validates = pick(order, validation, classes);
  for (std::size_t i = 0; i < order.size(); ++i) (validates[i] ? out.validation : out.train).push_back(order[i]);
}

/// ceil(ratio n), rounding of the product apart.
std::int64_t share_of(std::int64_t n, double ratio) { return static_cast<std::int64_t>(std::ceil(ratio * static_cast<double>(n) - 1e-9)); }

}  // namespace

std::vector<std::int64_t> numpy_permutation(std::int64_t n, std::uint32_t seed) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::mt19937 words(seed);
  for (std::size_t i = order.size(); i-- > 1;) {
    const auto mask = static_cast<std::uint32_t>((std::uint64_t{1} << std::bit_width(i)) - 1);
    std::uint32_t j = static_cast<std::uint32_t>(words()) & mask;
    while (j > i) j = static_cast<std::uint32_t>(words()) & mask;
    std::swap(order[i], order[j]);
  }
  return order;
}

SampleParts holdout_parts(std::int64_t n, std::uint32_t seed, std::span<const std::int64_t> classes, double validation, double test) {
  SampleParts out;
  const auto order = numpy_permutation(n, seed);
  const auto tests = pick(order, share_of(n, test), classes);
  std::vector<std::int64_t> rest;
  for (std::size_t i = 0; i < order.size(); ++i) (tests[i] ? out.test : rest).push_back(order[i]);
  divide_rest(rest, seed, share_of(static_cast<std::int64_t>(rest.size()), validation / (1.0 - test)), classes, out);
  return out;
}

SampleParts kfold_parts(std::int64_t n, std::uint32_t seed, int folds, int fold, std::span<const std::int64_t> classes) {
  GNN_HPC_REQUIRE(folds >= 2 && fold >= 0 && fold < folds, "fold {} of {}", fold, folds);
  SampleParts out;
  auto order = numpy_permutation(n, seed);
  std::vector<std::int64_t> rest;
  if (classes.empty()) {
    const std::int64_t size = n / folds, longer = n % folds;
    const std::int64_t first = fold * size + std::min<std::int64_t>(fold, longer), last = first + size + (fold < longer);
    for (std::int64_t i = 0; i < n; ++i) (i >= first && i < last ? out.test : rest).push_back(at(order, i));
  } else {
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return at(classes, a) < at(classes, b); });
    for (std::int64_t i = 0; i < n; ++i) (i % folds == fold ? out.test : rest).push_back(at(order, i));
  }
  std::sort(out.test.begin(), out.test.end());
  std::sort(rest.begin(), rest.end());
  divide_rest(rest, seed, share_of(static_cast<std::int64_t>(rest.size()), 0.1), classes, out);
  return out;
}

std::vector<std::int64_t> python_shuffled(std::int64_t n, std::int64_t seed) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  PythonRandom random(seed);
  for (std::size_t i = order.size(); i-- > 1;) std::swap(order[i], order[random.below(static_cast<std::uint32_t>(i + 1))]);
  return order;
}

}  // namespace gnn_hpc
