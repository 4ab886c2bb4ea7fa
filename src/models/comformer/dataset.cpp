// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/dataset.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "graph/cache_build.hpp"
#include "graph/split.hpp"
#include "models/comformer/crystal_records.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace gnn_hpc::comformer {

CrystalDataset::CrystalDataset(DataOptions data, CrystalGraphOptions graph, TableOptions tables)
    : data_(std::move(data)), graph_(graph), tables_(tables), scaler_(LabelScaler::identity(data_.source.targets.size())) {}

void CrystalDataset::add_source(const std::vector<std::string>& paths, Use use, const Comm& comm, const std::string& options_text) {
  const bool prediction = use == Use::prediction;
  CrystalSourceOptions source = data_.source;
  source.paths = paths;
  const auto open = [=, graph = graph_] { return std::make_unique<CrystalRecords>(source, graph, prediction); };
  CacheRequest request;
  request.schema = crystal_schema(source.targets.size());
  request.key = [open] { return open()->key(); };
  request.open_source = open;
  request.source_name = paths.size() <= 3 ? join(paths, ", ") : fmt::format("{} and {} more", paths.front(), paths.size() - 1);
  request.folder = data_.cache_dir;
  request.max_bad_fraction = prediction ? 1.0 : data_.max_bad_fraction;
  request.threads = data_.threads;
  request.options = options_text;
  request.read_only = use == Use::training_if_built;
  request.message = [](const std::string& text) {
    if (text.starts_with("warning: ")) log_text(LogLevel::warning, text.substr(9));
    else log_text(LogLevel::info, text);
  };
  std::optional<Progress> line;
  request.progress = [&line](const BuildProgress& p) {
    if (!line) line.emplace("crystals", 0);
    const std::string bad = p.bad > 0 ? fmt::format(", {} bad", format_count(p.bad)) : std::string();
    if (p.finished) {
      line->finish(p.records, "graphs" + bad);
    } else if (line->due()) {
      line->show(p.records, fmt::format("graphs  {:.0f} %{}, {} left", 100.0 * p.fraction, bad, format_duration(p.remaining())));
    }
  };
  caches_.push_back(open_or_build(request, comm));
  first_sample_.push_back(first_sample_.back() + caches_.back()->num_samples());
  const auto& skipped = caches_.back()->skipped();
  if (comm.is_root() && !skipped.empty()) {
    const BadRecord& bad = skipped.front().bad;
    log_warning("{}: {} of {} records left out, the first: {}:{}: {}: {}", request.source_name, skipped.size(), caches_.back()->num_records(),
                bad.file, bad.line, bad.id, bad.reason);
  }
}

void CrystalDataset::read_labels() {
  labels_.clear();
  for (const auto& cache : caches_) {
    if (num_targets() == 0) continue;
    const auto values = cache->resident(kTargets);
    labels_.insert(labels_.end(), values.begin(), values.end());
  }
  if (!data_.binary()) return;
  for (std::size_t i = 0; i < labels_.size(); ++i) {
    double& y = labels_[i];
    if (std::isnan(y)) continue;
    if (data_.classification == "threshold") {
      y = y > data_.classification_threshold ? 1.0 : 0.0;
    } else if (y != 0.0 && y != 1.0) {
      const auto sample = static_cast<std::int64_t>(i / num_targets());
      throw Error(Exit::data, fmt::format("{}: label {} is {}, but data.classification: label allows only 0 and 1; use threshold",
                                          id(sample), target_names()[i % num_targets()], y));
    }
  }
}

void CrystalDataset::split() {
  splits_ = {};
  const std::int64_t n = caches_.front()->num_samples();
  const auto order = python_shuffled(n, data_.split_seed);
  const auto share = [n](double ratio) { return static_cast<std::int64_t>(ratio * static_cast<double>(n)); };
  std::int64_t validation = share(data_.validation_ratio), test = 0, train = share(data_.train_ratio);
  if (data_.train.empty()) {
    test = n - train - validation;
  } else {  // parts without a file of their own come from the end of the training file's order
    if (!data_.validation.empty()) validation = 0;
    test = data_.test.empty() ? share(data_.test_ratio) : 0;
    train = n - validation - test;
  }
  const auto first = order.begin(), second = first + train, third = second + validation;
  splits_.train.assign(first, second);
  splits_.validation.assign(second, third);
  splits_.test.assign(third, third + test);
  std::size_t cache = 1;
  const auto whole_file = [&](const std::vector<std::string>& paths, std::vector<std::int64_t>& part) {
    if (paths.empty()) return;
    for (std::int64_t s = first_sample_[cache]; s < first_sample_[cache + 1]; ++s) part.push_back(s);
    ++cache;
  };
  whole_file(data_.validation, splits_.validation);
  whole_file(data_.test, splits_.test);
}

void CrystalDataset::open(const Comm& comm, const std::string& options_text) { open_parts(Use::training, comm, options_text); }

bool CrystalDataset::open_built(const Comm& comm) {
  try {
    open_parts(Use::training_if_built, comm, {});
    return true;
  } catch (const Error& error) {  // on all ranks alike
    if (error.code() != Exit::data) throw;
    return false;
  }
}

void CrystalDataset::open_parts(Use use, const Comm& comm, const std::string& options_text) {
  caches_.clear();
  first_sample_ = {0};
  if (data_.train.empty()) {
    add_source(data_.source.paths, use, comm, options_text);
  } else {
    for (const auto* paths : {&data_.train, &data_.validation, &data_.test}) {
      if (!paths->empty()) add_source(*paths, use, comm, options_text);
    }
  }
  read_labels();
  split();
  if (splits_.train.empty() || splits_.validation.empty() || splits_.test.empty()) {
    throw Error(Exit::data, fmt::format("{} crystals give {} for training, {} for validation and {} for test; none may be empty: use more data or other ratios",
                                        num_samples(), splits_.train.size(), splits_.validation.size(), splits_.test.size()));
  }
  scaler_ = data_.binary() ? LabelScaler::identity(num_targets()) : LabelScaler::fit(labels_, splits_.train, target_names());
}

void CrystalDataset::open_for_prediction(const Comm& comm, const std::string& options_text) {
  caches_.clear();
  first_sample_ = {0};
  splits_ = {};
  if (data_.source.paths.empty()) throw Error(Exit::usage, "name the crystals to predict: data.path=FILE or predict --data FILE");
  add_source(data_.source.paths, Use::prediction, comm, options_text);
  read_labels();
  scaler_ = LabelScaler::identity(num_targets());
}

CrystalDataset::Place CrystalDataset::locate(std::int64_t sample) const {
  GNN_HPC_REQUIRE(sample >= 0 && sample < num_samples(), "sample {} of {}", sample, num_samples());
  const auto after = std::upper_bound(first_sample_.begin(), first_sample_.end(), sample);
  const auto cache = static_cast<std::size_t>(after - first_sample_.begin() - 1);
  return {cache, sample - first_sample_[cache]};
}

const std::string& CrystalDataset::id(std::int64_t sample) const {
  const Place p = locate(sample);
  return caches_[p.cache]->id(p.local);
}

std::int64_t CrystalDataset::num_nodes(std::int64_t sample) const {
  const Place p = locate(sample);
  return caches_[p.cache]->num_nodes(p.local);
}

std::int64_t CrystalDataset::num_edges(std::int64_t sample) const {
  const Place p = locate(sample);
  return caches_[p.cache]->num_edges(p.local);
}

std::span<const double> CrystalDataset::labels(std::int64_t sample) const {
  return std::span<const double>(labels_).subspan(static_cast<std::size_t>(sample) * num_targets(), num_targets());
}

std::vector<InputRecord> CrystalDataset::records() const {
  std::vector<InputRecord> out;
  for (std::size_t c = 0; c < caches_.size(); ++c) {
    const GraphCache& cache = *caches_[c];
    std::size_t bad = 0;
    for (std::int64_t s = 0; s <= cache.num_samples(); ++s) {
      const std::int64_t next = s < cache.num_samples() ? cache.record(s) : std::numeric_limits<std::int64_t>::max();
      for (; bad < cache.skipped().size() && cache.skipped()[bad].record < next; ++bad) out.push_back({cache.skipped()[bad].bad.id, -1});
      if (s < cache.num_samples()) out.push_back({cache.id(s), first_sample_[c] + s});
    }
  }
  return out;
}

std::vector<BadRecord> CrystalDataset::skipped() const {
  std::vector<BadRecord> out;
  for (const auto& cache : caches_) {
    for (const auto& s : cache->skipped()) out.push_back(s.bad);
  }
  return out;
}

void CrystalDataset::set_scaler(LabelScaler scaler) {
  if (scaler.mean.size() != num_targets() || scaler.std.size() != num_targets()) {
    throw Error(Exit::data, fmt::format("label scaling for {} targets where data.targets has {}", scaler.mean.size(), num_targets()));
  }
  scaler_ = std::move(scaler);
}

std::string CrystalDataset::digest() const {
  std::string out;
  for (const auto& cache : caches_) out += (out.empty() ? "" : " ") + cache->key().hex();
  return out;
}

}  // namespace gnn_hpc::comformer
