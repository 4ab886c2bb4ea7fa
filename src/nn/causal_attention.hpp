// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/chunks.hpp"
#include "nn/random_mask.hpp"

#include <cstddef>
#include <cstdint>

namespace gnn_hpc {

/// Causal self-attention of the heads of one sequence, in tiles of queries:
///   S = q k'/sqrt(d),  key s allowed for query t when s <= t and key(s) != 0;  P = softmax(S);  o = drop(P) v
/// A query without any allowed key has P = 0, hence o = 0. Blocks of keys behind the last query of a tile are skipped. Kept for the
/// backward pass: the logarithm of the sum of exponentials of every row (infinity where P = 0); P is made again.
///   dV = drop(P)' do;  dP = drop(do V');  dS = P (dP - rowsum(do o));  dq = dS k/sqrt(d);  dk = dS' q/sqrt(d)
/// Memory: a tile of 64 x L per thread, never L x L.
template <class T>
class CausalAttention {
 public:
  /// Scratch for one thread each; `longest` and head widths bound what follows.
  CausalAttention(Arena& arena, int longest, int head_width, bool backward);

  /// One sequence of L rows: qkv [L, 3D] without its bias [3D]; head j owns columns j d .. (j+1) d - 1 of q, k and v. `key` [L] or empty
  /// (all allowed). Writes context [L,D] and lse (L numbers per head, head by head).
  void forward(int lane, const ChunkExec& exec, View2<T> qkv, View1<T> bias, View1<std::uint8_t> key, int heads, View2<T> context, View1<T> lse,
               const RandomMask& mask, std::uint64_t sequence) const;
  /// Overwrites qkv by its gradient.
  void backward(int lane, const ChunkExec& exec, View2<T> qkv, View1<T> bias, View1<std::uint8_t> key, int heads, View2<T> context, View1<T> lse,
                View2<T> dcontext, const RandomMask& mask, std::uint64_t sequence) const;
  /// Probabilities [L,L] of one head, before dropout, made again from lse; for tracing.
  void probabilities(int lane, const ChunkExec& exec, View2<T> qkv, View1<T> bias, View1<std::uint8_t> key, int head, int heads, View1<T> lse,
                     View2<T> p) const;
  /// The random numbers of one head.
  static RandomMask head_mask(RandomMask mask, int head) {
    mask.key = mask.key.fold(static_cast<std::uint64_t>(head));
    return mask;
  }

 private:
  int longest_ = 0, width_ = 0;
  LaneRows<T> q_, k_, v_, scores_, dropped_, dq_, dk_, dv_, dscores_;
};

}  // namespace gnn_hpc
