// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/dataset.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "graph/cache_build.hpp"
#include "graph/split.hpp"
#include "models/hgnn_moe/token_records.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

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
  request.source_name = paths.size() <= 3 ? join(paths, ", ") : fmt::format("{} and {} more", paths.front(), paths.size() - 1);
  request.folder = options_.cache_dir;
  request.threads = options_.threads;
  request.options = options_text;
  request.read_only = read_only;
  request.message = [](const std::string& text) {
    if (text.starts_with("warning: ")) log_warning("{}", text.substr(9));
    else log_info("{}", text);
  };
  std::optional<Progress> line;
  request.progress = [&line](const BuildProgress& p) {
    if (!line) line.emplace("sequences", 0);
    if (p.finished) line->finish(p.records, "cache");
    else if (line->due()) line->show(p.records, fmt::format("cache  {:.0f} %, {} left", 100.0 * p.fraction, format_duration(p.remaining())));
  };
  caches_.push_back(open_or_build(request, comm));
  first_sample_.push_back(first_sample_.back() + caches_.back()->num_samples());
}

void TokenDataset::open_all(bool read_only, const Comm& comm, const std::string& options_text) {
  caches_.clear();
  first_sample_ = {0};
  add_source(options_.path, read_only, comm, options_text);
  if (!options_.validation.empty()) add_source(options_.validation, read_only, comm, options_text);
  split();
}

void TokenDataset::open(const Comm& comm, const std::string& options_text) { open_all(false, comm, options_text); }

bool TokenDataset::open_built(const Comm& comm) {
  try {
    open_all(true, comm, {});
    return true;
  } catch (const Error& error) {  // on all ranks alike
    if (error.code() != Exit::data) throw;
    return false;
  }
}

void TokenDataset::split() {
  splits_ = {};
  const std::int64_t n = caches_.front()->num_samples();
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
  if (!options_.validation.empty()) {
    splits_.validation.resize(static_cast<std::size_t>(caches_[1]->num_samples()));
    std::iota(splits_.validation.begin(), splits_.validation.end(), n);
  }
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

TokenDataset::Place TokenDataset::locate(std::int64_t sample) const {
  GNN_HPC_REQUIRE(sample >= 0 && sample < num_samples(), "sample {} of {}", sample, num_samples());
  const auto next = std::upper_bound(first_sample_.begin(), first_sample_.end(), sample);
  const auto cache = static_cast<std::size_t>(next - first_sample_.begin()) - 1;
  return {cache, sample - first_sample_[cache]};
}

const std::string& TokenDataset::id(std::int64_t sample) const {
  const Place p = locate(sample);
  return caches_[p.cache]->id(p.local);
}

std::int64_t TokenDataset::length(std::int64_t sample) const {
  const Place p = locate(sample);
  return caches_[p.cache]->num_nodes(p.local);
}

std::string TokenDataset::digest() const {
  std::string out;
  for (const auto& cache : caches_) out += (out.empty() ? "" : " ") + cache->key().hex();
  return out;
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
    const Place p = locate(samples[b]);
    const GraphCache& cache = *caches_[p.cache];
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
