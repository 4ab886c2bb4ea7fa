// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/dataset.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "graph/split.hpp"
#include "io/text_source.hpp"
#include "models/dmpnn_diffpool/molecule_records.hpp"

#include <algorithm>
#include <cmath>

namespace gnn_hpc::dmpnn {

MoleculeDataset::MoleculeDataset(DataOptions options) : options_(std::move(options)), target_names_(options_.targets) {}

void MoleculeDataset::add_source(const std::vector<std::string>& paths, DataUse use, const Comm& comm, const std::string& options_text) {
  const bool prediction = use == DataUse::prediction;
  DataOptions wanted = options_;
  if (!tables_.empty()) {  // further files have what the first one has
    wanted.targets = tables_.front().targets;
    wanted.descriptors = tables_.front().descriptors;
    wanted.notation = tables_.front().polymer ? "polymer" : "smiles";
  }
  const MoleculeTable table = resolve_table(wanted, paths, prediction, comm);
  const auto open = [table] { return std::make_unique<MoleculeRecords>(table); };
  CacheRequest request;
  request.schema = MoleculeColumns(table).schema;
  request.key = [open] { return open()->key(); };
  request.open_source = open;
  request.folder = options_.cache_dir;
  request.may_be_empty = prediction;
  request.max_bad_fraction = prediction ? 1.0 : options_.max_bad_fraction;
  request.threads = options_.threads;
  request.options = options_text;
  request.read_only = use == DataUse::training_if_built;
  samples_.add(std::move(request), paths, {"molecules", "rows", "graphs"}, comm);
  tables_.push_back(table);
}

bool MoleculeDataset::open(const Comm& comm, DataUse use, const std::string& options_text) {
  if (use == DataUse::prediction && options_.paths.empty()) {
    throw Error(Exit::usage, "name the molecules to predict: data.path=FILE or predict --data FILE");
  }
  return opened_for(use, [&] { open_parts(use, comm, options_text); });
}

void MoleculeDataset::open_parts(DataUse use, const Comm& comm, const std::string& options_text) {
  samples_.clear();
  tables_.clear();
  prediction_ = use == DataUse::prediction;
  if (prediction_ || options_.train.empty()) {
    add_source(options_.paths, use, comm, options_text);
  } else {
    for (const auto* paths : {&options_.train, &options_.validation, &options_.test}) {
      if (!paths->empty()) add_source(*paths, use, comm, options_text);
    }
  }
  target_names_ = tables_.front().targets;
  descriptor_names_ = tables_.front().descriptors;
  load();
  splits_ = {};
  scaler_ = LabelScaler::identity(num_targets());
  descriptor_scaler_ = {};
  number_classes();
  if (!prediction_) {
    check_binary_labels();
    split();
    if (target_type() == TargetType::regression) scaler_ = LabelScaler::fit(labels_, splits_.train, target_names_, true);
    descriptor_scaler_ = DescriptorScaler::fit(raw_descriptors_, descriptor_names_.size(), splits_.train);
  }
  apply_scaling();
}

InputTable MoleculeDataset::input_table() const {
  return {options_.paths, options_.id_column.empty() ? options_.smiles : options_.id_column, {}};
}

std::vector<std::int64_t> MoleculeDataset::classes_to_stratify() const {
  if (!options_.stratify || target_type() == TargetType::regression || num_targets() != 1) return {};
  std::vector<std::int64_t> out;
  for (const std::int64_t s : samples_.samples_of(0)) {
    const double y = labels_[static_cast<std::size_t>(s)];
    out.push_back(std::isnan(y) ? -1 : static_cast<std::int64_t>(y));
  }
  return out;
}

void MoleculeDataset::split() {
  const std::int64_t n = samples_.caches().front()->num_samples();  // parts come from the first file
  const auto classes = classes_to_stratify();
  const auto seed = static_cast<std::uint32_t>(options_.split_seed);
  SampleParts parts;
  if (options_.train.empty() && options_.kfold(n)) {
    if (options_.replicate >= options_.folds) {
      throw Error(Exit::data, fmt::format("data.replicate: {} of {} folds; folds count from 0 (fewer than {} molecules: data.split: auto is kfold)",
                                          options_.replicate, options_.folds, DataOptions::kKfoldBelow));
    }
    parts = kfold_parts(n, seed, options_.folds, options_.replicate, classes);
  } else {
    parts = holdout_parts(n, seed + static_cast<std::uint32_t>(options_.replicate), classes, options_.validation.empty(), options_.test.empty());
  }
  splits_ = {std::move(parts.train), std::move(parts.validation), std::move(parts.test)};
  std::size_t cache = 1;
  const auto whole_file = [&](const std::vector<std::string>& paths, std::vector<std::int64_t>& part) {
    if (paths.empty()) return;
    const auto samples = samples_.samples_of(cache++);
    part.insert(part.end(), samples.begin(), samples.end());
  };
  whole_file(options_.validation, splits_.validation);
  whole_file(options_.test, splits_.test);
  if (splits_.train.empty() || splits_.validation.empty() || splits_.test.empty()) {
    throw Error(Exit::data, fmt::format("{} molecules give {} for training, {} for validation and {} for test; none may be empty: use more data",
                                        num_samples(), splits_.train.size(), splits_.validation.size(), splits_.test.size()));
  }
  if (options_.train_size == "full") return;
  const auto wanted = static_cast<std::size_t>(parse_integer(options_.train_size).value_or(0));
  if (wanted < 1) throw Error(Exit::usage, fmt::format("data.train_size: {} is neither `full` nor a positive integer", options_.train_size));
  if (wanted > splits_.train.size()) {
    log_warning("data.train_size: {} molecules are asked for, all {} of the training part are used", wanted, splits_.train.size());
  } else {
    splits_.train.resize(wanted);
  }
}

}  // namespace gnn_hpc::dmpnn
