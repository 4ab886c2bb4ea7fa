// SPDX-License-Identifier: Apache-2.0
#include "verify/generator.hpp"

#include "base/random.hpp"

#include <algorithm>
#include <cmath>

namespace gnn_hpc::verify {

namespace {
constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15ULL;
}

std::vector<double> centred_uniforms(std::string_view name, std::uint64_t seed, std::size_t count) {
  const std::uint64_t key = fnv1a64(name) ^ (seed * kGolden);
  std::vector<double> c(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t z = key + (static_cast<std::uint64_t>(i) + 1) * kGolden;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    z ^= z >> 31;
    c[i] = 2.0 * (static_cast<double>(z >> 11) * 0x1.0p-53) - 1.0;
  }
  return c;
}

std::vector<double> synthetic_values(std::string_view name, std::span<const std::size_t> shape, std::uint64_t seed) {
  std::size_t count = 1;
  for (const std::size_t extent : shape) count *= extent;
  double centre = 0.0, scale = 0.0;
  if (name.ends_with("running_var")) {
    centre = 1.0, scale = 0.4;
  } else if (name.ends_with("running_mean")) {
    scale = 0.2;
  } else if (name.find(".bn") != std::string_view::npos && name.ends_with("weight")) {
    centre = 1.0, scale = 0.3;
  } else if (name.ends_with("bias")) {
    scale = 0.2;
  } else {
    scale = std::sqrt(3.0 / (shape.empty() ? 1.0 : static_cast<double>(shape.back())));
  }
  std::vector<double> values = centred_uniforms(name, seed, count);
  for (double& v : values) v = centre + scale * v;
  return values;
}

std::vector<double> probe_vector(std::string_view name, std::size_t count) { return centred_uniforms("probe:" + std::string(name), 0, count); }

std::vector<double> fingerprint(std::string_view name, std::span<const double> values) {
  const std::vector<double> probe = probe_vector(name, values.size());
  double squares = 0.0, sum = 0.0, dot = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    squares += values[i] * values[i];
    sum += values[i];
    dot += values[i] * probe[i];
  }
  std::vector<double> out{std::sqrt(squares), sum, dot};
  out.insert(out.end(), values.begin(), values.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(16, values.size())));
  return out;
}

}  // namespace gnn_hpc::verify
