// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/dataset.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "dataset/split_policy.hpp"
#include "graph/split.hpp"
#include "models/hgnn_moe/token_records.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace gnn_hpc::hgnn_moe {

namespace {

/// A column with one value a sequence.
std::vector<std::int64_t> all_of(const GraphCache& cache, TokenColumn column) {
  std::vector<std::int64_t> samples(static_cast<std::size_t>(cache.num_samples()));
  std::iota(samples.begin(), samples.end(), std::int64_t{0});
  std::vector<std::int64_t> out(samples.size());
  cache.read<std::int64_t>(column, samples, std::span<std::int64_t>(out));
  return out;
}

/// "15,744 (98.4 %)"
std::string share_text(std::int64_t bytes, std::int64_t all) {
  return fmt::format("{} ({:.1f} %)", format_count(static_cast<long long>(bytes)), 100.0 * static_cast<double>(bytes) / static_cast<double>(all));
}

constexpr double kMuch = 0.1;  ///< of a text: more than this left out is a warning

}  // namespace

TokenDataset::TokenDataset(DataOptions options) : options_(std::move(options)) {}

void TokenDataset::add_source(const std::vector<std::string>& paths, bool read_only, const Comm& comm, const std::string& options_text) {
  const auto open = [paths, cut = options_.cut, vocabulary = options_.vocabulary] { return std::make_unique<TokenRecords>(paths, cut, vocabulary); };
  CacheRequest request;
  request.schema = token_schema();
  request.key = [open] { return open()->key(); };
  request.open_source = open;
  request.folder = options_.cache_dir;
  request.threads = options_.threads;
  request.options = options_text;
  request.read_only = read_only;
  samples_.add(std::move(request), paths, {"sequences", "records", "cache"}, comm);
  say_what_is_used(samples_.caches().size() - 1, paths);
}

/// Said in every run, from what the cache holds: text that is left out without a word looks like text that was learnt.
void TokenDataset::say_what_is_used(std::size_t cache_number, const std::vector<std::string>& paths) const {
  const GraphCache& cache = *samples_.caches()[cache_number];
  const auto sum = [&](TokenColumn column) {
    const auto values = all_of(cache, column);
    return std::accumulate(values.begin(), values.end(), std::int64_t{0});
  };
  const std::int64_t used = cache.total_nodes(), cut = sum(kCut), passed = sum(kPassed), all = used + cut + passed;
  if (cut + passed == 0) return;
  const std::string name = join_names(paths, 3), total = format_count(static_cast<long long>(all));
  std::string text;
  if (options_.cut.mode == TextMode::lines) {
    text = fmt::format(
        "{}: of {} bytes of text, {} are used; {} are cut off because their lines are longer than model.max_seq_length = {} bytes; {} are not "
        "used because their lines have no more than data.min_chars = {} characters",
        name, total, share_text(used, all), share_text(cut, all), options_.cut.length, share_text(passed, all), options_.cut.min_chars);
  } else {
    text = fmt::format(
        "{}: of {} bytes of text, {} are used; {} at the ends of files are not used: less than a window of model.max_seq_length = {} bytes", name,
        total, share_text(used, all), share_text(passed, all), options_.cut.length);
  }
  if (static_cast<double>(cut + passed) <= kMuch * static_cast<double>(all))
    log_info("{}", text);
  else
    log_warning("{}{}", text, options_.cut.mode == TextMode::lines ? ". data.mode: stream uses the whole text" : "");
}

std::vector<std::uint64_t> TokenDataset::input_digests() const {
  std::vector<std::uint64_t> out;
  for (const auto& cache : samples_.caches()) {
    const auto values = all_of(*cache, kDigest);
    out.insert(out.end(), values.begin(), values.end());
  }
  return out;
}

bool TokenDataset::open(const Comm& comm, DataUse use, const std::string& options_text) {
  const bool read_only = use == DataUse::training_if_built;
  return opened_for(use, [&] {
    samples_.clear();
    add_source(options_.path, read_only, comm, options_text);
    if (!options_.validation.empty()) add_source(options_.validation, read_only, comm, options_text);
    split();
  });
}

/// Moves sequences so that equal ones stand on one side of the end of the training part: all where the last of them stands.
/// @param held of the order's end; grows by those that follow
void TokenDataset::keep_together(std::vector<std::int64_t>& order, std::int64_t& held) const {
  const std::vector<std::uint64_t> digest = input_digests();
  const auto middle = order.end() - held;
  std::set<std::uint64_t> validates;
  for (auto s = middle; s != order.end(); ++s) validates.insert(digest[static_cast<std::size_t>(*s)]);
  const auto first =
      std::stable_partition(order.begin(), middle, [&](std::int64_t s) { return !validates.contains(digest[static_cast<std::size_t>(s)]); });
  held = order.end() - first;
}

void TokenDataset::split() {
  splits_ = {};
  const std::int64_t n = samples_.caches().front()->num_samples();
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  if (options_.shuffle)
    order = python_shuffled(n, options_.split_seed);
  else
    std::iota(order.begin(), order.end(), std::int64_t{0});
  std::int64_t held = 0;
  if (options_.validation.empty()) {
    held = static_cast<std::int64_t>(std::ceil(options_.validation_ratio * static_cast<double>(n) - 1e-9));
  }
  if (!options_.split_file.empty()) {
    std::vector<NamedSample> names;
    for (std::int64_t s = 0; s < n; ++s) names.push_back({id(s), samples_.record_number(s) - 1});
    splits_ = parts_of_files(options_.split_file, names, samples_.caches().front()->num_records());
  } else {
    if (options_.group_by == "input") keep_together(order, held);
    const auto middle = order.end() - held;
    splits_.train.assign(order.begin(), middle);
    splits_.validation.assign(middle, order.end());
  }
  if (!options_.validation.empty()) splits_.validation = samples_.samples_of(1);
  const auto limit = [](std::vector<std::int64_t>& part, std::int64_t most) {
    if (most > 0 && static_cast<std::int64_t>(part.size()) > most) part.resize(static_cast<std::size_t>(most));
  };
  limit(splits_.train, options_.num_train_samples);
  limit(splits_.validation, options_.num_eval_samples);
  if (splits_.train.empty() || splits_.validation.empty()) {
    throw Error(Exit::data, fmt::format("{} sequences give {} for training and {} for validation; none may be empty: use more text, a "
                                        "smaller data.min_chars, another data.validation_ratio, or data.validation",
                                        num_samples(), splits_.train.size(), splits_.validation.size()));
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
