// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/dataset.hpp"

#include "base/error.hpp"
#include "models/comformer/crystal_records.hpp"

#include <cmath>
#include <map>
#include <numeric>

namespace gnn_hpc::comformer {

CrystalDataset::CrystalDataset(DataOptions data, CrystalGraphOptions graph, TableOptions tables)
    : LabelledDataset({"crystals", "records", "data.classification: label", "use threshold"}, data.target_kind(), data.source.targets),
      data_(std::move(data)),
      graph_(graph),
      tables_(tables) {}

void CrystalDataset::add_source(const std::vector<std::string>& paths, DataUse use, const Comm& comm, const std::string& options_text) {
  const bool prediction = use == DataUse::prediction;
  CrystalSourceOptions source = data_.source;
  source.paths = paths;
  const auto open = [=, graph = graph_] { return std::make_unique<CrystalRecords>(source, graph, prediction); };
  CacheRequest request = request_for(use, data_.cache_dir, data_.max_bad_fraction, data_.threads, options_text);
  request.schema = crystal_schema(source.targets.size());
  request.key = [open] { return open()->key(); };
  request.open_source = open;
  samples_.add(std::move(request), paths, cache_words(), comm);
}

void CrystalDataset::load() {
  for (const auto& cache : samples_.caches()) {
    if (num_targets() == 0) continue;
    const auto values = cache->resident(kTargets);
    labels_.insert(labels_.end(), values.begin(), values.end());
  }
  if (data_.classification != "threshold") return;
  for (double& y : labels_) {
    if (!std::isnan(y)) y = y > data_.classification_threshold ? 1.0 : 0.0;
  }
}

InputTable CrystalDataset::table_of(const std::vector<std::string>& paths) const {
  CrystalSourceOptions source = data_.source;
  source.paths = paths;
  source.targets_optional = true;
  return CrystalSource::open(source)->table();
}

std::vector<std::string> CrystalDataset::group_keys(const std::string& name) const {
  if (name != "formula") return {};
  const GraphCache& cache = *samples_.caches().front();
  std::vector<std::string> out;
  std::vector<std::uint8_t> z;
  for (std::int64_t s = 0; s < cache.num_samples(); ++s) {
    z.resize(static_cast<std::size_t>(cache.num_nodes(s)));
    cache.read<std::uint8_t>(kZ, std::span(&s, 1), z);
    std::map<int, int> count;
    for (const std::uint8_t atom : z) ++count[atom];
    int divisor = 0;
    for (const auto& [atom, n] : count) divisor = std::gcd(divisor, n);
    std::string formula;
    for (const auto& [atom, n] : count) formula += fmt::format("{}:{} ", atom, n / divisor);
    out.push_back(std::move(formula));
  }
  return out;
}

}  // namespace gnn_hpc::comformer
