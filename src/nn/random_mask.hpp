// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/random.hpp"
#include "nn/channels.hpp"

#include <cstdint>

namespace gnn_hpc {

/// Dropout of whole rows of channels: factor 0 with probability p, else 1/(1 - p); a pure function of (key, row, channel), so that the
/// backward pass makes it again and nothing is stored, and neither threads nor ranks change it. p is rounded to 1/65536: one Philox
/// counter gives 8 channels. Channel c of a row: block c/128 of 16 counters, counter c mod 16, half-word (c mod 128)/16.
struct RandomMask {
  RandomKey key;
  std::uint32_t threshold = 0;  ///< of 16 random bits; 0: nothing is dropped
  double scale = 1.0;

  RandomMask() = default;
  RandomMask(RandomKey k, double rate) : key(k), threshold(static_cast<std::uint32_t>(rate * 65536.0 + 0.5)) {
    scale = 65536.0 / (65536.0 - threshold);
  }
  KOKKOS_INLINE_FUNCTION bool active() const { return threshold != 0; }

  /// One factor; for GPUs.
  template <class T>
  KOKKOS_INLINE_FUNCTION T factor(std::uint64_t sequence, std::uint32_t row, int c) const {
    const auto w = key.fold(sequence).words((static_cast<std::uint64_t>(row) << 20) | static_cast<std::uint64_t>((c / 128) * 16 + c % 16));
    const int half = (c % 128) / 16;
    const std::uint32_t bits = (w[half / 2] >> (half % 2 * 16)) & 0xFFFFu;
    return bits < threshold ? T(0) : static_cast<T>(scale);
  }

  /// The factors of channels 128 block .. 128 block + 127 of a row.
  template <class T>
  KOKKOS_INLINE_FUNCTION void fill_block(std::uint64_t sequence, std::uint32_t row, int block, T* out) const {
    const RandomKey stream = key.fold(sequence);
    const T kept = static_cast<T>(scale);
    std::uint32_t w0[16], w1[16], w2[16], w3[16];
    const std::uint32_t base = (row << 20) | static_cast<std::uint32_t>(block * 16), high = row >> 12;
    for (int i = 0; i < 16; ++i) {
      w0[i] = base + static_cast<std::uint32_t>(i);
      w1[i] = high;
      w2[i] = static_cast<std::uint32_t>(stream.stream);
      w3[i] = static_cast<std::uint32_t>(stream.stream >> 32);
    }
    std::uint32_t k0 = static_cast<std::uint32_t>(stream.seed), k1 = static_cast<std::uint32_t>(stream.seed >> 32);
    for (int round = 0; round < 10; ++round) {  // Philox4x32-10, sixteen counters side by side
      GNN_HPC_SIMD
      for (int i = 0; i < 16; ++i) {
        const std::uint64_t a = static_cast<std::uint64_t>(0xD2511F53u) * w0[i], b = static_cast<std::uint64_t>(0xCD9E8D57u) * w2[i];
        const std::uint32_t n0 = static_cast<std::uint32_t>(b >> 32) ^ w1[i] ^ k0, n2 = static_cast<std::uint32_t>(a >> 32) ^ w3[i] ^ k1;
        w1[i] = static_cast<std::uint32_t>(b);
        w3[i] = static_cast<std::uint32_t>(a);
        w0[i] = n0;
        w2[i] = n2;
      }
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    const std::uint32_t limit = threshold;
    GNN_HPC_SIMD
    for (int i = 0; i < 16; ++i) {
      out[i] = (w0[i] & 0xFFFFu) < limit ? T(0) : kept;
      out[16 + i] = (w0[i] >> 16) < limit ? T(0) : kept;
      out[32 + i] = (w1[i] & 0xFFFFu) < limit ? T(0) : kept;
      out[48 + i] = (w1[i] >> 16) < limit ? T(0) : kept;
      out[64 + i] = (w2[i] & 0xFFFFu) < limit ? T(0) : kept;
      out[80 + i] = (w2[i] >> 16) < limit ? T(0) : kept;
      out[96 + i] = (w3[i] & 0xFFFFu) < limit ? T(0) : kept;
      out[112 + i] = (w3[i] >> 16) < limit ? T(0) : kept;
    }
  }
};

/// f(c, factor) for every channel of this team's row; factor 1 where nothing is dropped.
template <class T, class TeamMember, class F>
KOKKOS_INLINE_FUNCTION void each_channel_masked(const TeamMember& team, const RandomMask& mask, std::uint64_t sequence, std::uint32_t row, int width,
                                                const F& f) {
  if (!mask.active()) {
    each_channel(team, width, [&](const int c) { f(c, T(1)); });
  } else if constexpr (kExecIsHost) {
    T factor[128];
    for (int c0 = 0; c0 < width; c0 += 128) {
      mask.fill_block(sequence, row, c0 / 128, factor);
      const int n = width - c0 < 128 ? width - c0 : 128;
      GNN_HPC_SIMD
      for (int c = 0; c < n; ++c) f(c0 + c, factor[c]);
    }
  } else {
    each_channel(team, width, [&](const int c) { f(c, mask.template factor<T>(sequence, row, c)); });
  }
}

}  // namespace gnn_hpc
