// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/dataset.hpp"

#include "base/error.hpp"
#include "graph/split.hpp"
#include "models/hgnn_moe/token_records.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace gnn_hpc::hgnn_moe {

TokenDataset::TokenDataset(DataOptions options) : options_(std::move(options)) {}

void TokenDataset::add_source(const std::vector<std::string>& paths, bool read_only, const Comm& comm, const std::string& options_text) {
  const auto open = [paths, cut = options_.cut, vocabulary = options_.vocabulary] {
    return std::make_unique<TokenRecords>(paths, cut, vocabulary);
  };
  CacheRequest request;
  request.schema = token_schema();
  request.key = [open] { return open()->key(); };
  request.open_source = open;
  request.folder = options_.cache_dir;
  request.threads = options_.threads;
  request.options = options_text;
  request.read_only = read_only;
  samples_.add(std::move(request), paths, {"sequences", "records", "cache"}, comm);
}

void TokenDataset::open_all(bool read_only, const Comm& comm, const std::string& options_text) {
  samples_.clear();
  add_source(options_.path, read_only, comm, options_text);
  if (!options_.validation.empty()) add_source(options_.validation, read_only, comm, options_text);
  split();
}

void TokenDataset::open(const Comm& comm, const std::string& options_text) { open_all(false, comm, options_text); }

bool TokenDataset::open_built(const Comm& comm) {
  return opens_without_building([&] { open_all(true, comm, {}); });
}

void TokenDataset::split() {
  splits_ = {};
  const std::int64_t n = samples_.caches().front()->num_samples();
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  if (options_.shuffle) order = python_shuffled(n, options_.split_seed);
  else std::iota(order.begin(), order.end(), std::int64_t{0});
  std::int64_t held = 0;
  if (options_.validation.empty()) {
    held = static_cast<std::int64_t>(std::ceil(options_.validation_ratio * static_cast<double>(n) - 1e-9));
  }
  const auto middle = order.end() - held;
  splits_.train.assign(order.begin(), middle);
  splits_.validation.assign(middle, order.end());
  if (!options_.validation.empty()) splits_.validation = samples_.samples_of(1);
  const auto limit = [](std::vector<std::int64_t>& part, std::int64_t most) {
    if (most > 0 && static_cast<std::int64_t>(part.size()) > most) part.resize(static_cast<std::size_t>(most));
  };
  limit(splits_.train, options_.num_train_samples);
  limit(splits_.validation, options_.num_eval_samples);
  if (splits_.train.empty() || splits_.validation.empty()) {
    throw Error(Exit::data, fmt::format("{} sequences give {} for training and {} for validation; none may be empty: use more text, a "
                                        "smaller data.min_chars, another data.validation_ratio, or data.validation", num_samples(),
                                        splits_.train.size(), splits_.validation.size()));
  }
}

void TokenDataset::collate(std::span<const std::int64_t> samples, bool pack, HostTokenBatch& batch) const {
  static thread_local std::vector<std::int32_t> ids;
  static thread_local std::vector<std::uint8_t> mask;
  const auto columns = static_cast<std::size_t>(options_.cut.length);
  batch.samples.assign(samples.begin(), samples.end());
  batch.num_sequences = static_cast<int>(samples.size());
  batch.length = options_.cut.length;
  batch.ids.assign(samples.size() * columns, 0);
  batch.mask.assign(samples.size() * columns, 0);
  for (std::size_t b = 0; b < samples.size(); ++b) {
    const auto p = samples_.locate(samples[b]);
    const GraphCache& cache = *samples_.caches()[p.cache];
    const auto n = static_cast<std::size_t>(cache.num_nodes(p.local));
    GNN_HPC_REQUIRE(n <= columns, "a sequence of {} tokens in batches of {}", n, columns);
    ids.resize(n);
    mask.resize(n);
    const std::span<const std::int64_t> one(&p.local, 1);
    cache.read<std::int32_t>(kIds, one, ids);
    cache.read<std::uint8_t>(kMask, one, mask);
    std::copy(ids.begin(), ids.end(), batch.ids.begin() + static_cast<std::ptrdiff_t>(b * columns));
    std::copy(mask.begin(), mask.end(), batch.mask.begin() + static_cast<std::ptrdiff_t>(b * columns));
  }
  finish_batch(batch, options_.vocabulary, pack);
}

}  // namespace gnn_hpc::hgnn_moe
