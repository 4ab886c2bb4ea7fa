// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"
#include "nn/growing_array.hpp"
#include "train/task.hpp"

#include <cstdint>
#include <vector>

namespace gnn_hpc::hgnn_moe {

/// B sequences of L tokens in host memory. The caller sets `samples`, `num_sequences`, `length`, `ids` and `mask`, then calls
/// `finish_batch`. Zero sequences are legal.
struct HostTokenBatch : HostBatch {
  int num_sequences = 0;           ///< B
  int length = 0;                  ///< L
  std::vector<int> ids;            ///< [B,L]
  std::vector<std::uint8_t> mask;  ///< [B,L] 1 on real tokens, 0 on padding; empty: all 1
  double tokens = 0.0;             ///< under mask 1

  // Made by finish_batch.
  std::vector<int> seq_ptr;                               ///< [B+1] rows of each sequence; with packing, padding at its end has no rows
  std::vector<int> token, position;                       ///< [R] id and place of each row
  std::vector<std::uint8_t> key;                          ///< [R] 1 where others may attend to the row
  std::vector<int> target;                                ///< [R] the token to predict; -1: none
  std::vector<int> bucket_token, bucket_ptr, bucket_row;  ///< rows by token, for the gradient of the embedding: [U], [U+1], [R]
  std::vector<std::uint64_t> sequence_key;                ///< [B] of the random numbers: the data-set index, so that ranks agree
  int num_targets() const { return static_cast<int>(loss_weight); }
};

/// Completes a batch: a position t counts as a target of t - 1 where its mask is 1; `loss_weight` becomes their number and `tokens` the
/// number of tokens under mask 1. `pack` drops rows of padding at the end of a sequence: they reach no valid token and no loss (only
/// the specialisation losses and the saturation of ghosts, which are means over all positions, would see the difference).
/// Throws Error(Exit::data) for an id outside [0, vocab_size), with row and column, and Error(Exit::internal) for sizes that disagree.
void finish_batch(HostTokenBatch& batch, int vocab_size, bool pack = true);

/// Whole sequences that one thread takes through a layer.
struct TokenChunk {
  int seq_begin = 0, seq_end = 0, row_begin = 0, row_end = 0;
  int num_rows() const { return row_end - row_begin; }
};

/// The same on the device; members as in HostTokenBatch. R rows altogether.
struct TokenBatch {
  int num_sequences = 0, num_rows = 0, longest = 0;
  bool all_keys = true;                     ///< no row is masked
  std::vector<int> seq_ptr;                 ///< host copy
  std::vector<std::uint64_t> sequence_key;  ///< host
  View1<int> token, position, target;
  View1<int> first_row;  ///< [B+1] seq_ptr
  View1<std::uint8_t> key;
  View1<std::uint64_t> row_key;  ///< [R] key of the row's sequence
  View1<int> bucket_token, bucket_ptr, bucket_row;
  std::vector<TokenChunk> chunks;
  int max_chunk_rows = 0;

  /// Reuses memory; valid until the next call.
  void upload(const HostTokenBatch& host, const Exec& exec);

 private:
  GrowingArray<int> token_memory_, position_memory_, target_memory_, bucket_token_memory_, bucket_ptr_memory_, bucket_row_memory_, first_row_memory_;
  GrowingArray<std::uint8_t> key_memory_;
  GrowingArray<std::uint64_t> row_key_memory_;
  std::vector<std::uint64_t> row_keys_;
};

}  // namespace gnn_hpc::hgnn_moe
