// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/dataset.hpp"

#include "base/error.hpp"
#include "graph/split.hpp"
#include "models/comformer/crystal_records.hpp"

#include <cmath>
#include <limits>

namespace gnn_hpc::comformer {

CrystalDataset::CrystalDataset(DataOptions data, CrystalGraphOptions graph, TableOptions tables)
    : data_(std::move(data)), graph_(graph), tables_(tables), scaler_(LabelScaler::identity(data_.source.targets.size())) {}

void CrystalDataset::add_source(const std::vector<std::string>& paths, DataUse use, const Comm& comm, const std::string& options_text) {
  const bool prediction = use == DataUse::prediction;
  CrystalSourceOptions source = data_.source;
  source.paths = paths;
  const auto open = [=, graph = graph_] { return std::make_unique<CrystalRecords>(source, graph, prediction); };
  CacheRequest request;
  request.schema = crystal_schema(source.targets.size());
  request.key = [open] { return open()->key(); };
  request.open_source = open;
  request.folder = data_.cache_dir;
  request.may_be_empty = prediction;
  request.max_bad_fraction = prediction ? 1.0 : data_.max_bad_fraction;
  request.threads = data_.threads;
  request.options = options_text;
  request.read_only = use == DataUse::training_if_built;
  samples_.add(std::move(request), paths, {"crystals", "records", "graphs"}, comm);
}

void CrystalDataset::read_labels(bool prediction) {
  labels_.clear();
  unknown_labels_.clear();
  for (const auto& cache : samples_.caches()) {
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
      const std::string found = fmt::format("record {}, {}: label {} is {}", record_number(sample), id(sample), target_names()[i % num_targets()], y);
      if (!prediction) throw Error(Exit::data, found + ", but data.classification: label allows only 0 and 1; use threshold");
      unknown_labels_.push_back({id(sample), data_.source.paths.size() == 1 ? data_.source.paths.front() : "", 0,
                                 found + ", neither 0 nor 1; the crystal is predicted, its label not compared"});
      y = std::numeric_limits<double>::quiet_NaN();
    }
  }
}

void CrystalDataset::split() {
  splits_ = {};
  const std::int64_t n = samples_.caches().front()->num_samples();
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
    const auto samples = samples_.samples_of(cache++);
    part.insert(part.end(), samples.begin(), samples.end());
  };
  whole_file(data_.validation, splits_.validation);
  whole_file(data_.test, splits_.test);
}

bool CrystalDataset::open(const Comm& comm, DataUse use, const std::string& options_text) {
  return opened_for(use, [&] {
    if (use == DataUse::prediction) open_prediction(comm, options_text);
    else open_training(use, comm, options_text);
  });
}

void CrystalDataset::open_training(DataUse use, const Comm& comm, const std::string& options_text) {
  samples_.clear();
  if (data_.train.empty()) {
    add_source(data_.source.paths, use, comm, options_text);
  } else {
    for (const auto* paths : {&data_.train, &data_.validation, &data_.test}) {
      if (!paths->empty()) add_source(*paths, use, comm, options_text);
    }
  }
  read_labels(false);
  split();
  if (splits_.train.empty() || splits_.validation.empty() || splits_.test.empty()) {
    throw Error(Exit::data, fmt::format("{} crystals give {} for training, {} for validation and {} for test; none may be empty: use more data or other ratios",
                                        num_samples(), splits_.train.size(), splits_.validation.size(), splits_.test.size()));
  }
  scaler_ = data_.binary() ? LabelScaler::identity(num_targets()) : LabelScaler::fit(labels_, splits_.train, target_names());
}

void CrystalDataset::open_prediction(const Comm& comm, const std::string& options_text) {
  samples_.clear();
  splits_ = {};
  if (data_.source.paths.empty()) throw Error(Exit::usage, "name the crystals to predict: data.path=FILE or predict --data FILE");
  add_source(data_.source.paths, DataUse::prediction, comm, options_text);
  read_labels(true);
  scaler_ = LabelScaler::identity(num_targets());
}

InputTable CrystalDataset::input_table() const {
  CrystalSourceOptions source = data_.source;
  source.targets_optional = true;
  return CrystalSource::open(source)->table();
}

std::span<const double> CrystalDataset::labels(std::int64_t sample) const {
  return std::span<const double>(labels_).subspan(static_cast<std::size_t>(sample) * num_targets(), num_targets());
}

void CrystalDataset::set_scaler(LabelScaler scaler) {
  if (scaler.mean.size() != num_targets() || scaler.std.size() != num_targets()) {
    throw Error(Exit::data, fmt::format("label scaling for {} targets where data.targets has {}", scaler.mean.size(), num_targets()));
  }
  scaler_ = std::move(scaler);
}

}  // namespace gnn_hpc::comformer
