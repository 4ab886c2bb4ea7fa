// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/batch.hpp"

#include "base/error.hpp"
#include "nn/chunks.hpp"

#include <algorithm>
#include <numeric>

namespace gnn_hpc::hgnn_moe {

namespace {

/// Rows of a chunk: enough for products near the top rate, few enough for activations to stay in the last-level cache.
constexpr int kTokenRows = kExecIsHost ? 512 : INT_MAX;

void require_ids(const HostTokenBatch& b, int vocab_size) {
  for (std::size_t i = 0; i < b.ids.size(); ++i) {
    if (b.ids[i] >= 0 && b.ids[i] < vocab_size) continue;
    const std::size_t row = i / static_cast<std::size_t>(b.length), column = i % static_cast<std::size_t>(b.length);
    throw Error(Exit::data, fmt::format("token id {} in row {}, column {} of a batch (sample {}): allowed are 0 to {} (model.vocab_size {})",
                                        b.ids[i], row, column, row < b.samples.size() ? b.samples[row] : -1, vocab_size - 1, vocab_size));
  }
}

/// Counting sort by token, stable.
void fill_buckets(HostTokenBatch& b, int vocab_size) {
  std::vector<int> start(static_cast<std::size_t>(vocab_size) + 1, 0);
  for (const int t : b.token) ++start[static_cast<std::size_t>(t) + 1];
  b.bucket_token.clear();
  b.bucket_ptr.assign(1, 0);
  for (int v = 0; v < vocab_size; ++v) {
    const int count = start[static_cast<std::size_t>(v) + 1];
    start[static_cast<std::size_t>(v) + 1] += start[static_cast<std::size_t>(v)];
    if (count == 0) continue;
    b.bucket_token.push_back(v);
    b.bucket_ptr.push_back(b.bucket_ptr.back() + count);
  }
  b.bucket_row.resize(b.token.size());
  for (std::size_t r = 0; r < b.token.size(); ++r) {
    b.bucket_row[static_cast<std::size_t>(start[static_cast<std::size_t>(b.token[r])]++)] = static_cast<int>(r);
  }
}

}  // namespace

void finish_batch(HostTokenBatch& b, int vocab_size, bool pack) {
  const std::size_t cells = static_cast<std::size_t>(b.num_sequences) * static_cast<std::size_t>(b.length);
  GNN_HPC_REQUIRE(b.ids.size() == cells && (b.mask.empty() || b.mask.size() == cells), "{} ids and {} mask bytes for {} x {} tokens", b.ids.size(),
                  b.mask.size(), b.num_sequences, b.length);
  GNN_HPC_REQUIRE(b.samples.empty() || b.samples.size() == static_cast<std::size_t>(b.num_sequences), "{} samples for {} sequences", b.samples.size(),
                  b.num_sequences);
  require_ids(b, vocab_size);
  const auto real = [&](std::size_t i) { return b.mask.empty() || b.mask[i] != 0; };
  b.seq_ptr.assign(1, 0);
  b.token.clear();
  b.position.clear();
  b.key.clear();
  b.target.clear();
  b.sequence_key.clear();
  double targets = 0.0, tokens = 0.0;
  for (int s = 0; s < b.num_sequences; ++s) {
    const std::size_t first = static_cast<std::size_t>(s) * static_cast<std::size_t>(b.length);
    int rows = b.length;
    while (pack && rows > 0 && !real(first + static_cast<std::size_t>(rows) - 1)) --rows;
    for (int t = 0; t < rows; ++t) {
      const std::size_t i = first + static_cast<std::size_t>(t);
      const bool has_target = t + 1 < b.length && real(i + 1);
      b.token.push_back(b.ids[i]);
      b.position.push_back(t);
      b.key.push_back(real(i) ? 1 : 0);
      b.target.push_back(has_target ? b.ids[i + 1] : -1);
      targets += has_target ? 1.0 : 0.0;
      tokens += real(i) ? 1.0 : 0.0;
    }
    b.seq_ptr.push_back(static_cast<int>(b.token.size()));
    b.sequence_key.push_back(b.samples.empty() ? static_cast<std::uint64_t>(s) : static_cast<std::uint64_t>(b.samples[static_cast<std::size_t>(s)]));
  }
  b.loss_weight = targets;
  b.tokens = tokens;
  fill_buckets(b, vocab_size);
}

void TokenBatch::upload(const HostTokenBatch& host, const Exec& exec) {
  num_sequences = host.num_sequences;
  num_rows = static_cast<int>(host.token.size());
  seq_ptr = host.seq_ptr;
  sequence_key = host.sequence_key;
  all_keys = std::all_of(host.key.begin(), host.key.end(), [](std::uint8_t k) { return k != 0; });
  longest = 0;
  row_keys_.clear();
  for (int s = 0; s < num_sequences; ++s) {
    const int length = seq_ptr[static_cast<std::size_t>(s) + 1] - seq_ptr[static_cast<std::size_t>(s)];
    longest = std::max(longest, length);
    row_keys_.insert(row_keys_.end(), static_cast<std::size_t>(length), sequence_key[static_cast<std::size_t>(s)]);
  }
  token = token_memory_.assign(exec, host.token);
  position = position_memory_.assign(exec, host.position);
  target = target_memory_.assign(exec, host.target);
  key = key_memory_.assign(exec, host.key);
  first_row = first_row_memory_.assign(exec, host.seq_ptr);
  row_key = row_key_memory_.assign(exec, row_keys_);
  bucket_token = bucket_token_memory_.assign(exec, host.bucket_token);
  bucket_ptr = bucket_ptr_memory_.assign(exec, host.bucket_ptr);
  bucket_row = bucket_row_memory_.assign(exec, host.bucket_row);

  // As many chunks as a multiple of the lanes, of about the same size.
  chunks.clear();
  max_chunk_rows = 0;
  if (num_rows == 0) return;
  const long lanes = num_lanes(), rows = num_rows;
  const long pieces = ((rows + kTokenRows - 1L) / kTokenRows + lanes - 1) / lanes * lanes;
  TokenChunk chunk;
  for (int s = 0; s < num_sequences; ++s) {
    chunk.seq_end = s + 1;
    chunk.row_end = seq_ptr[static_cast<std::size_t>(s) + 1];
    const long wanted = rows * static_cast<long>(chunks.size() + 1) / pieces;
    if (chunk.row_end < wanted && s + 1 < num_sequences) continue;
    if (chunk.num_rows() > 0) {
      chunks.push_back(chunk);
      max_chunk_rows = std::max(max_chunk_rows, chunk.num_rows());
    }
    chunk = {s + 1, s + 1, chunk.row_end, chunk.row_end};
  }
}

}  // namespace gnn_hpc::hgnn_moe
