// SPDX-License-Identifier: Apache-2.0
#include "dataset/split_options.hpp"

#include "io/text_source.hpp"

#include <fmt/format.h>

#include <cmath>

namespace gnn_hpc {

void SplitOptions::parse_split(Config& node, const std::string& records, const std::vector<std::string>& paths) {
  node.paths("train", train, fmt::format("training {} in files of their own; data.path is then only what `predict` reads", records));
  node.paths("validation", validation, fmt::format("validation {}; empty: taken from data.train", records));
  node.paths("test", test, fmt::format("test {}; empty: taken from data.train", records));
  node.choice(
      "split", split, {"ratios", "holdout", "kfold", "auto", "column", "file"},
      "ratios and holdout: at random, as Python's shuffle and as scikit-learn; kfold: cross-validation; auto: kfold below 2,000 records, else "
      "holdout; column, file: as data.split_column or data.split_file say");
  node.number("train_ratio", train_ratio, open_fraction, fmt::format("share of the {} that train", records));
  node.number("validation_ratio", validation_ratio, open_fraction, "share that chooses the best weights");
  node.number("test_ratio", test_ratio, open_fraction, "share that is only predicted");
  node.number("split_seed", split_seed, any_number, "of the split; replicate r has split_seed + r");
  node.number("replicate", replicate, non_negative, "which random split, or which fold is the test part, from 0");
  node.number("folds", folds, Range{2.0, kInfinity}, "of the cross-validation");
  node.text("train_size", train_size, "full, or how many records train: the first of the training order, so that small sets are part of larger ones");
  node.flag("stratify", stratify, "classification of one target: every part has its share of each class");
  node.text("group_by", group_by,
            "none, or what keeps records in one part: input (the same one, however it is written), formula (crystals), or a column");
  node.text("split_column", split_column, "split: column; its values are train, validation (or val) and test");
  node.paths("split_file", split_file, "split: file; JSON with ids or numbers of records for train, val and test, or three files of numbers from 0");
  if (node.is_schema()) return;
  if (paths.empty() && train.empty()) node.problem("path", fmt::format("name the {}: data.path, or data.train and data.validation", records));
  if (train.empty() && !(validation.empty() && test.empty())) node.problem("train", "data.validation and data.test go with data.train");
  if (!train.empty() && (split == "kfold" || is_given())) {
    node.problem("split", fmt::format("{} takes all parts from data.path, but data.train names a file", split));
  }
  if (split == "kfold" && replicate >= folds) node.problem("replicate", fmt::format("fold {} of {}: folds count from 0", replicate, folds));
  const double sum = train_ratio + validation_ratio + test_ratio;
  if (std::abs(sum - 1.0) > 1e-6) node.problem("train_ratio", fmt::format("the three ratios add up to {}, not 1", sum));
  if (split != "ratios" && !is_given() && (split_seed < 0 || split_seed > 4294967295)) {
    node.problem("split_seed", fmt::format("found {}, allowed for split: {}: 0 to 4294967295", split_seed, split));
  }
  if (train_size != "full") {
    const auto count = parse_integer(train_size);
    if (!count || *count < 1) node.problem("train_size", fmt::format("{} is neither `full` nor a positive integer", quote_for_message(train_size)));
  }
  if (split == "file" && split_file.size() != 1 && split_file.size() != 3) {
    node.problem("split_file",
                 fmt::format("{} file(s) named; allowed: one JSON file, or three files of numbers (train, validation, test)", split_file.size()));
  }
  if (split != "file" && !split_file.empty()) node.problem("split_file", fmt::format("is used with split: file only, but split is {}", split));
  if (is_given() && group_by != "none") node.problem("group_by", fmt::format("split: {} says itself which part a record belongs to", split));
}

}  // namespace gnn_hpc
