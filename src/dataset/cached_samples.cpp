// SPDX-License-Identifier: Apache-2.0
#include "dataset/cached_samples.hpp"

#include "base/log.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>

namespace gnn_hpc {

void CachedSamples::clear() {
  caches_.clear();
  first_ = {0};
}

void CachedSamples::add(CacheRequest request, const std::vector<std::string>& paths, const Words& words, const Comm& comm) {
  request.source_name = paths.size() <= 3 ? join(paths, ", ") : fmt::format("{} and {} more", paths.front(), paths.size() - 1);
  request.message = [](const std::string& text) {
    if (text.starts_with("warning: "))
      log_text(LogLevel::warning, text.substr(9));
    else
      log_text(LogLevel::info, text);
  };
  std::optional<Progress> line;
  request.progress = [&line, &words](const BuildProgress& p) {
    if (!line) line.emplace(words.records, 0);
    const std::string bad = p.bad > 0 ? fmt::format(", {} bad", format_count(p.bad)) : std::string();
    if (p.finished) {
      line->finish(p.records, words.made + bad);
    } else if (line->due()) {
      line->show(p.records, fmt::format("{}  {:.0f} %{}, {} left", words.made, 100.0 * p.fraction, bad, format_duration(p.remaining())));
    }
  };
  caches_.push_back(open_or_build(request, comm));
  first_.push_back(first_.back() + caches_.back()->num_samples());
  const auto& skipped = caches_.back()->skipped();
  if (comm.is_root() && !skipped.empty()) {
    const BadRecord& bad = skipped.front().bad;
    log_warning("{}: {} of {} {} left out, the first: {}:{}: {}: {}", request.source_name, skipped.size(), caches_.back()->num_records(),
                words.left_out, bad.file, bad.line, shortened(bad.id), bad.reason);
  }
}

std::vector<std::int64_t> CachedSamples::samples_of(std::size_t cache) const {
  std::vector<std::int64_t> out(static_cast<std::size_t>(first_[cache + 1] - first_[cache]));
  std::iota(out.begin(), out.end(), first_[cache]);
  return out;
}

CachedSamples::Place CachedSamples::locate(std::int64_t sample) const {
  GNN_HPC_REQUIRE(sample >= 0 && sample < num_samples(), "sample {} of {}", sample, num_samples());
  const auto after = std::upper_bound(first_.begin(), first_.end(), sample);
  const auto cache = static_cast<std::size_t>(after - first_.begin() - 1);
  return {cache, sample - first_[cache]};
}

const std::string& CachedSamples::id(std::int64_t sample) const {
  const Place p = locate(sample);
  return caches_[p.cache]->id(p.local);
}

std::int64_t CachedSamples::record_number(std::int64_t sample) const {
  const Place p = locate(sample);
  return caches_[p.cache]->record(p.local) + 1;
}

std::int64_t CachedSamples::num_nodes(std::int64_t sample) const {
  const Place p = locate(sample);
  return caches_[p.cache]->num_nodes(p.local);
}

std::int64_t CachedSamples::num_edges(std::int64_t sample) const {
  const Place p = locate(sample);
  return caches_[p.cache]->num_edges(p.local);
}

std::vector<InputRecord> CachedSamples::records() const {
  std::vector<InputRecord> out;
  for (std::size_t c = 0; c < caches_.size(); ++c) {
    const GraphCache& cache = *caches_[c];
    std::size_t bad = 0;
    for (std::int64_t s = 0; s <= cache.num_samples(); ++s) {
      const std::int64_t next = s < cache.num_samples() ? cache.record(s) : std::numeric_limits<std::int64_t>::max();
      for (; bad < cache.skipped().size() && cache.skipped()[bad].record < next; ++bad) out.push_back({cache.skipped()[bad].bad.id, -1});
      if (s < cache.num_samples()) out.push_back({cache.id(s), first_[c] + s});
    }
  }
  return out;
}

std::vector<BadRecord> CachedSamples::skipped() const {
  std::vector<BadRecord> out;
  for (const auto& cache : caches_) {
    for (const auto& s : cache->skipped()) out.push_back(s.bad);
  }
  return out;
}

std::string CachedSamples::digest() const {
  std::string out;
  for (const auto& cache : caches_) out += (out.empty() ? "" : " ") + cache->key().hex();
  return out;
}

}  // namespace gnn_hpc
