// SPDX-License-Identifier: Apache-2.0
#include "dataset/labelled_dataset.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "dataset/record_column.hpp"
#include "io/text_source.hpp"

#include <algorithm>
#include <cmath>

namespace gnn_hpc {

namespace {

/// Names of the classes of K targets. A checkpoint of before they had any numbered them: 0 .. C-1.
std::vector<std::vector<std::string>> class_names_of(const DataState& state, std::size_t targets, int classes) {
  std::vector<std::vector<std::string>> out(targets);
  for (std::size_t k = 0; k < targets; ++k) {
    out[k] = state.text(fmt::format("classes_{}", k));
    if (!out[k].empty()) continue;
    for (int c = 0; c < classes; ++c) out[k].push_back(fmt::format("{}", c));
  }
  return out;
}

}  // namespace

bool LabelledDataset::open(const Comm& comm, DataUse use, const std::string& options_text) {
  if (use == DataUse::prediction && paths().empty()) {
    throw Error(Exit::usage, fmt::format("name the {} to predict: data.path=FILE or predict --data FILE", words_.records));
  }
  return opened_for(use, [&] { open_parts(use, comm, options_text); });
}

void LabelledDataset::open_parts(DataUse use, const Comm& comm, const std::string& options_text) {
  const SplitOptions& o = split_options();
  samples_.clear();
  clear_sources();
  prediction_ = use == DataUse::prediction;
  if (prediction_ || o.train.empty()) {
    add_source(paths(), use, comm, options_text);
  } else {
    for (const auto* files : {&o.train, &o.validation, &o.test}) {
      if (!files->empty()) add_source(*files, use, comm, options_text);
    }
  }
  labels_.clear();
  unknown_labels_.clear();
  load();
  splits_ = {};
  scaler_ = LabelScaler::identity(num_targets());
  number_classes();
  if (!prediction_) {
    check_binary_labels();
    split();
    if (kind_ == TargetKind::number) scaler_ = LabelScaler::fit(labels_, splits_.train, target_names_, constant_labels_allowed());
  }
  prepare();
}

CacheRequest LabelledDataset::request_for(DataUse use, const std::string& folder, double max_bad_fraction, int threads,
                                          const std::string& options_text) const {
  CacheRequest request;
  request.folder = folder;
  request.may_be_empty = use == DataUse::prediction;
  request.max_bad_fraction = use == DataUse::prediction ? 1.0 : max_bad_fraction;
  request.threads = threads;
  request.options = options_text;
  request.read_only = use == DataUse::training_if_built;
  return request;
}

std::span<const double> LabelledDataset::labels(std::int64_t sample) const {
  return std::span<const double>(labels_).subspan(static_cast<std::size_t>(sample) * num_targets(), num_targets());
}

std::vector<std::int64_t> LabelledDataset::classes_to_stratify() const {
  if (!split_options().stratify || kind_ == TargetKind::number || num_targets() != 1) return {};
  std::vector<std::int64_t> out;
  for (const std::int64_t s : samples_.samples_of(0)) {
    const double y = labels_[static_cast<std::size_t>(s)];
    out.push_back(std::isnan(y) ? -1 : static_cast<std::int64_t>(y));
  }
  return out;
}

std::vector<NamedSample> LabelledDataset::named_samples() const {
  std::vector<NamedSample> out;
  for (const std::int64_t s : samples_.samples_of(0)) out.push_back({id(s), record_number(s) - 1});
  return out;
}

std::vector<std::string> LabelledDataset::column_of_samples(const std::string& column, const char* option) const {
  const InputTable table = table_of(split_options().train.empty() ? paths() : split_options().train);
  if (table.paths.empty()) {
    throw Error(Exit::usage, fmt::format("{}: {}: the {} come from files that are no table; a table is a CSV file or id_prop.csv with a header",
                                         option, quote_for_message(column), words_.records));
  }
  const std::vector<std::string> all = read_record_column(table, column, option);
  std::vector<std::string> out;
  for (const NamedSample& sample : named_samples()) {
    if (sample.record >= static_cast<std::int64_t>(all.size())) {
      throw Error(Exit::data,
                  fmt::format("{}: has {} rows, the graphs were made of more; do not change it meanwhile", join_names(table.paths, 3), all.size()));
    }
    out.push_back(all[static_cast<std::size_t>(sample.record)]);
  }
  return out;
}

std::vector<std::string> LabelledDataset::group_keys(const std::string& /*name*/) const { return {}; }

std::vector<std::int64_t> LabelledDataset::groups() const {
  const std::string& by = split_options().group_by;
  if (by == "none") return {};
  if (by == "input") {
    std::vector<std::uint64_t> digests = input_digests();
    digests.resize(samples_.samples_of(0).size());
    return groups_of(digests);
  }
  std::vector<std::string> keys = group_keys(by);
  if (keys.empty()) keys = column_of_samples(by, "data.group_by");
  return groups_of(keys);
}

Splits LabelledDataset::split_first_cache() const {
  const SplitOptions& o = split_options();
  const std::int64_t n = samples_.caches().front()->num_samples();
  if (o.split == "column") return parts_of_words(column_of_samples(o.split_column, "data.split_column"), named_samples(), o.split_column);
  if (o.split == "file") return parts_of_files(o.split_file, named_samples(), samples_.caches().front()->num_records());
  const std::vector<std::int64_t> together = groups();
  if (!together.empty()) {
    log_info("split by {}: {} {} in {} groups", quote_for_message(o.group_by), n, words_.records,
             *std::max_element(together.begin(), together.end()) + 1);
  }
  return random_parts(o, n, classes_to_stratify(), together, o.validation.empty(), o.test.empty());
}

void LabelledDataset::split() {
  const SplitOptions& o = split_options();
  splits_ = split_first_cache();
  std::size_t cache = 1;
  const auto whole_file = [&](const std::vector<std::string>& files, std::vector<std::int64_t>& part) {
    if (files.empty()) return;
    const auto samples = samples_.samples_of(cache++);
    part.insert(part.end(), samples.begin(), samples.end());
  };
  whole_file(o.validation, splits_.validation);
  whole_file(o.test, splits_.test);
  if (splits_.train.empty() || splits_.validation.empty() || splits_.test.empty()) {
    throw Error(Exit::data,
                fmt::format("{} {} give {} for training, {} for validation and {} for test; none may be empty: use more data or other parts",
                            num_samples(), words_.records, splits_.train.size(), splits_.validation.size(), splits_.test.size()));
  }
  limit_training();
}

void LabelledDataset::limit_training() {
  const std::string& size = split_options().train_size;
  if (size == "full") return;
  const auto wanted = static_cast<std::size_t>(parse_integer(size).value_or(0));
  if (wanted < 1) throw Error(Exit::usage, fmt::format("data.train_size: {} is neither `full` nor a positive integer", size));
  if (wanted > splits_.train.size()) {
    log_warning("data.train_size: {} {} are asked for, all {} of the training part are used", wanted, words_.records, splits_.train.size());
  } else {
    splits_.train.resize(wanted);
  }
}

DataState LabelledDataset::state() const {
  DataState out{{{"label_mean", scaler_.mean}, {"label_std", scaler_.std}, {"data_digest", digest_numbers(digest())}}, {{"targets", target_names_}}};
  for (std::size_t k = 0; k < class_names_.size(); ++k) out.texts[fmt::format("classes_{}", k)] = class_names_[k];
  return out;
}

void LabelledDataset::set_state(const DataState& state) {
  const std::vector<double>&mean = state.number("label_mean"), &std = state.number("label_std"), &digest_then = state.number("data_digest");
  if (mean.size() != num_targets() || std.size() != num_targets()) {
    throw Error(Exit::data,
                fmt::format("the checkpoint does not hold the label scaling of {} target(s); it belongs to another task or to other data.targets",
                            num_targets()));
  }
  if (!prediction_ && ((!digest_then.empty() && digest_then != digest_numbers(digest())) ||
                       (!state.text("targets").empty() && state.text("targets") != target_names_))) {
    throw Error(Exit::data,
                fmt::format("the {}, their labels, the columns in use or the graph options changed since the checkpoint was written; restore them, "
                            "or start anew in another run.dir (restart: never)",
                            words_.records));
  }
  scaler_ = {mean, std};
  if (kind_ == TargetKind::classes) {
    std::vector<std::vector<std::string>> names = class_names_of(state, num_targets(), num_classes_);
    if (prediction_)
      take_classes(std::move(names));
    else if (names != class_names_)
      throw Error(
          Exit::data,
          "the labels have other classes than when the checkpoint was written; restore them, or start anew in another run.dir (restart: never)");
  }
  if (prediction_) check_binary_labels();
}

}  // namespace gnn_hpc
