// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataset/cached_samples.hpp"
#include "models/hgnn_moe/batch.hpp"
#include "models/hgnn_moe/dataset_options.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc::hgnn_moe {

/// Sequences of tokens of a run: a cache for the text and, where it has a file of its own, one for validation; one numbering over
/// both, splits, batches.
class TokenDataset {
 public:
  explicit TokenDataset(DataOptions options);

  /// Opens or builds the caches and splits. Collective. Throws Error(Exit::data) for a text without any sequence.
  /// False only for `training_if_built`, where a cache is missing or damaged; then nothing is written.
  bool open(const Comm& comm, DataUse use, const std::string& options_text = {});

  std::int64_t num_samples() const { return samples_.num_samples(); }
  const Splits& splits() const { return splits_; }
  const std::string& id(std::int64_t sample) const { return samples_.id(sample); }
  /// Tokens of a sequence, padding at its end apart.
  std::int64_t length(std::int64_t sample) const { return samples_.num_nodes(sample); }
  const DataOptions& options() const { return options_; }
  /// By sample: of the ids, the same for equal sequences.
  std::vector<std::uint64_t> input_digests() const;
  /// Keys of the caches, in order: equal texts, equal samples.
  std::string digest() const { return samples_.digest(); }

  /// The sequences as one batch of `options().cut.length` positions, ready to upload; see `finish_batch` for `pack`. Thread-safe.
  void collate(std::span<const std::int64_t> samples, bool pack, HostTokenBatch& batch) const;

 private:
  void add_source(const std::vector<std::string>& paths, bool read_only, const Comm& comm, const std::string& options_text);
  void split();
  void keep_together(std::vector<std::int64_t>& order, std::int64_t& held) const;
  void say_what_is_used(std::size_t cache, const std::vector<std::string>& paths) const;

  DataOptions options_;
  CachedSamples samples_;
  Splits splits_;
};

}  // namespace gnn_hpc::hgnn_moe
