// SPDX-License-Identifier: Apache-2.0
// The part of MoleculeDataset that knows labels of classifications: names to numbers, and what a model does not know.
#include "base/error.hpp"
#include "base/log.hpp"
#include "dataset/label_names.hpp"
#include "io/text_source.hpp"
#include "models/dmpnn_diffpool/dataset.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace gnn_hpc::dmpnn {

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// "class 0 is 'low' (20 molecules), class 1 is ...", of many classes the first ones.
std::string table_text(const std::vector<std::string>& names, const std::map<std::string, std::int64_t>& counts) {
  constexpr std::size_t kShown = 20;
  std::string out;
  for (std::size_t c = 0; c < std::min(names.size(), kShown); ++c) {
    const auto count = counts.find(names[c]);
    out += fmt::format("{}class {} is {} ({})", c == 0 ? "" : ", ", c, quote_for_message(names[c]),
                       count == counts.end() ? "never seen" : fmt::format("{} molecules", count->second));
  }
  return names.size() > kShown ? out + fmt::format(" and {} more", names.size() - kShown) : out;
}

}  // namespace

/// Every file numbers the labels that it holds; here they get one numbering over all files, in which only labels of usable rows
/// count.
void MoleculeDataset::number_classes() {
  class_names_.clear();
  unknown_labels_.clear();
  num_classes_ = 1;
  if (target_type() != TargetType::multiclass) return;
  num_classes_ = 2;
  const std::size_t targets = num_targets();
  class_names_.resize(targets);
  for (std::size_t k = 0; k < targets; ++k) {
    std::map<std::string, std::int64_t> counts;
    const auto for_each_label = [&](const auto& work) {
      for (std::size_t c = 0; c < tables_.size(); ++c) {
        for (const std::int64_t s : samples_.samples_of(c)) {
          double& y = labels_[static_cast<std::size_t>(s) * targets + k];
          if (!std::isnan(y)) work(tables_[c].labels[k][static_cast<std::size_t>(y)], y);
        }
      }
    };
    for_each_label([&](const std::string& name, double&) { ++counts[name]; });
    std::vector<std::string> found;
    for (const auto& [name, count] : counts) found.push_back(name);
    sort_names(found);
    class_names_[k] = prediction_ ? found : class_table(target_names_[k], found, options_.classes);
    for_each_label([&](const std::string& name, double& y) { y = static_cast<double>(place_of(class_names_[k], name).value()); });
    num_classes_ = std::max(num_classes_, static_cast<int>(class_names_[k].size()));
    if (prediction_) continue;
    log_info("target {}: {} classes: {}", quote_for_message(target_names_[k]), class_names_[k].size(),
             table_text(class_names_[k], counts));
    if (counts.size() < 2)
      log_warning("target {}: all labels are the same; there is nothing to tell apart", quote_for_message(target_names_[k]));
  }
}

void MoleculeDataset::check_binary_labels() {
  if (target_type() != TargetType::binary) return;
  for (std::size_t i = 0; i < labels_.size(); ++i) {
    double& y = labels_[i];
    if (std::isnan(y) || y == 0.0 || y == 1.0) continue;
    const auto sample = static_cast<std::int64_t>(i / num_targets());
    const std::string& target = target_names_[i % num_targets()];
    if (prediction_) {
      forget_label(sample, target, fmt::format("{}", y));
      y = kNan;
      continue;
    }
    throw Error(Exit::data,
                fmt::format("row {}, {}: {} is {}, but data.task: binary allows only 0 and 1; multiclass takes other labels",
                            record_number(sample), quote_for_message(id(sample)), quote_for_message(target), y));
  }
}

/// Prediction: numbers of the names found in these files become numbers of the model's classes.
void MoleculeDataset::take_classes(std::vector<std::vector<std::string>> names) {
  const std::vector<std::vector<std::string>> here = std::move(class_names_);
  class_names_ = std::move(names);
  for (std::size_t i = 0; i < labels_.size() && !here.empty(); ++i) {
    double& y = labels_[i];
    if (std::isnan(y)) continue;
    const std::size_t k = i % num_targets();
    const std::string& name = here[k][static_cast<std::size_t>(y)];
    const auto place = place_of(class_names_[k], name);
    y = place ? static_cast<double>(*place) : kNan;
    if (!place) forget_label(static_cast<std::int64_t>(i / num_targets()), target_names_[k], name);
  }
}

void MoleculeDataset::forget_label(std::int64_t sample, const std::string& target, const std::string& label) {
  const std::string file = options_.paths.size() == 1 ? options_.paths.front() : std::string();
  unknown_labels_.push_back(
      {id(sample), file, 0,
       fmt::format("row {}, column {}: the label {} is none of the model's classes; the row is predicted, its label not compared",
                   record_number(sample), target, quote_for_message(label))});
}

}  // namespace gnn_hpc::dmpnn
