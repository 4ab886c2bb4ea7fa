// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gnn_hpc::verify {

/// Values of parameters and running statistics that a golden file does not store (README.md of tests/reference).
///   key  = FNV-1a64(name) xor (seed * 0x9E3779B97F4A7C15 mod 2^64)
///   z_i  = SplitMix64 finaliser of key + (i+1) * 0x9E3779B97F4A7C15,  u = (z >> 11)/2^53,  c = 2u - 1, row-major
/// The i-th centred number c in [-1, 1).
std::vector<double> centred_uniforms(std::string_view name, std::uint64_t seed, std::size_t count);

/// running_var 1 + 0.4c; running_mean 0.2c; names with `.bn` that end in `weight` 1 + 0.3c; other names that end in `bias` 0.2c;
/// everything else sqrt(3/last dimension) c.
std::vector<double> synthetic_values(std::string_view name, std::span<const std::size_t> shape, std::uint64_t seed);

/// The vector that fingerprints project on: name `probe:<name>`, seed 0.
std::vector<double> probe_vector(std::string_view name, std::size_t count);

/// (L2 norm, sum, dot with the probe, first min(16, size) entries) of a flattened tensor.
std::vector<double> fingerprint(std::string_view name, std::span<const double> values);

}  // namespace gnn_hpc::verify
