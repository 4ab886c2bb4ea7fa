// SPDX-License-Identifier: Apache-2.0
// The part of LabelledDataset that knows labels of classifications: names to numbers, and what a model does not know.
#include "base/error.hpp"
#include "base/log.hpp"
#include "dataset/label_names.hpp"
#include "dataset/labelled_dataset.hpp"
#include "io/text_source.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace gnn_hpc {

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// "class 0 is 'low' (20 molecules), class 1 is ...", of many classes the first ones.
std::string table_text(const std::vector<std::string>& names, const std::map<std::string, std::int64_t>& counts, const std::string& records) {
  constexpr std::size_t kShown = 20;
  std::string out;
  for (std::size_t c = 0; c < std::min(names.size(), kShown); ++c) {
    const auto count = counts.find(names[c]);
    out += fmt::format("{}class {} is {} ({})", c == 0 ? "" : ", ", c, quote_for_message(names[c]),
                       count == counts.end() ? "never seen" : fmt::format("{} {}", count->second, records));
  }
  return names.size() > kShown ? out + fmt::format(" and {} more", names.size() - kShown) : out;
}

}  // namespace

const std::vector<std::vector<std::string>>& LabelledDataset::label_table(std::size_t /*cache*/) const {
  GNN_HPC_REQUIRE(kind_ != TargetKind::classes, "this data set of {} knows no classes by name", words_.records);
  static const std::vector<std::vector<std::string>> none;
  return none;
}

/// Every file numbers the labels that it holds; here they get one numbering over all files, in which only labels of usable records
/// count.
void LabelledDataset::number_classes() {
  class_names_.clear();
  num_classes_ = 1;
  if (kind_ != TargetKind::classes) return;
  num_classes_ = 2;
  const std::size_t targets = num_targets();
  class_names_.resize(targets);
  for (std::size_t k = 0; k < targets; ++k) {
    std::map<std::string, std::int64_t> counts;
    const auto for_each_label = [&](const auto& work) {
      for (std::size_t c = 0; c < samples_.caches().size(); ++c) {
        for (const std::int64_t s : samples_.samples_of(c)) {
          double& y = labels_[static_cast<std::size_t>(s) * targets + k];
          if (!std::isnan(y)) work(label_table(c)[k][static_cast<std::size_t>(y)], y);
        }
      }
    };
    for_each_label([&](const std::string& name, double&) { ++counts[name]; });
    std::vector<std::string> found;
    for (const auto& [name, count] : counts) found.push_back(name);
    sort_names(found);
    class_names_[k] = prediction_ ? found : class_table(target_names_[k], found, wanted_classes());
    for_each_label([&](const std::string& name, double& y) { y = static_cast<double>(place_of(class_names_[k], name).value()); });
    num_classes_ = std::max(num_classes_, static_cast<int>(class_names_[k].size()));
    if (prediction_) continue;
    log_info("target {}: {} classes: {}", quote_for_message(target_names_[k]), class_names_[k].size(),
             table_text(class_names_[k], counts, words_.records));
    if (counts.size() < 2) log_warning("target {}: all labels are the same; there is nothing to tell apart", quote_for_message(target_names_[k]));
  }
}

void LabelledDataset::check_binary_labels() {
  if (kind_ != TargetKind::probability) return;
  for (std::size_t i = 0; i < labels_.size(); ++i) {
    double& y = labels_[i];
    if (std::isnan(y) || y == 0.0 || y == 1.0) continue;
    const auto sample = static_cast<std::int64_t>(i / num_targets());
    const std::string& target = target_names_[i % num_targets()];
    if (prediction_) {
      forget_label(sample, target, fmt::format("{}", y), "is neither 0 nor 1");
      y = kNan;
      continue;
    }
    throw Error(Exit::data, fmt::format("row {}, {}: {} is {}, but {} allows only 0 and 1; {}", record_number(sample), quote_for_message(id(sample)),
                                        quote_for_message(target), y, words_.binary, words_.binary_advice));
  }
}

/// Prediction: numbers of the names found in these files become numbers of the model's classes.
void LabelledDataset::take_classes(std::vector<std::vector<std::string>> names) {
  const std::vector<std::vector<std::string>> here = std::move(class_names_);
  class_names_ = std::move(names);
  for (std::size_t i = 0; i < labels_.size() && !here.empty(); ++i) {
    double& y = labels_[i];
    if (std::isnan(y)) continue;
    const std::size_t k = i % num_targets();
    const std::string& name = here[k][static_cast<std::size_t>(y)];
    const auto place = place_of(class_names_[k], name);
    y = place ? static_cast<double>(*place) : kNan;
    if (!place)
      forget_label(static_cast<std::int64_t>(i / num_targets()), target_names_[k], quote_for_message(name), "is none of the model's classes");
  }
}

void LabelledDataset::forget_label(std::int64_t sample, const std::string& target, const std::string& label, const std::string& problem) {
  const std::string file = paths().size() == 1 ? paths().front() : std::string();
  unknown_labels_.push_back({id(sample), file, 0,
                             fmt::format("row {}, column {}: the label {} {}; the row is predicted, its label not compared", record_number(sample),
                                         target, label, problem)});
}

}  // namespace gnn_hpc
