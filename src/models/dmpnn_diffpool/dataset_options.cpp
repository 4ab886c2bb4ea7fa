// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/dataset_options.hpp"

#include "io/text_source.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace gnn_hpc::dmpnn {

DataOptions DataOptions::parse(Config node) {
  DataOptions o;
  node.paths("path", o.paths, "molecules: CSV files with a header (plain or .gz) that hold SMILES, with wildcards * for repeat units, or polymers in text");
  node.text("smiles", o.smiles, "column of the molecules");
  node.choice("notation", o.notation, {"auto", "smiles", "polymer"}, "of that column; polymer: fragments|weights|<rules~Xn; auto: polymer if the first has a |");
  node.list("targets", o.targets, "columns to learn; empty: every column of numbers that no other option names");
  node.list("ignore", o.ignore, "columns that are no targets");
  node.list("descriptors", o.descriptors, "columns of further inputs to the head; name*: all that begin so");
  node.text("id_column", o.id_column, "names of the molecules in predictions; empty: the SMILES");
  node.choice("task", o.task, {"regression", "binary", "multiclass"}, "what the targets are: numbers, 0 and 1, or names of classes (whole numbers or words)");
  node.number("classes", o.classes, non_negative, "of a multiclass target; 0: as many as there are different labels");
  node.paths("train", o.train, "training molecules in files of their own; data.path is then only what `predict` reads");
  node.paths("validation", o.validation, "validation molecules; empty: taken from data.train");
  node.paths("test", o.test, "test molecules; empty: taken from data.train");
  node.choice("split", o.split, {"auto", "holdout", "kfold"}, "80/10/10, or cross-validation with a tenth of the rest to validate; auto: kfold below 2,000 molecules");
  node.number("split_seed", o.split_seed, Range{0.0, 4294967295.0}, "of the split; replicate r of a holdout has split_seed + r");
  node.number("replicate", o.replicate, non_negative, "which holdout replicate, or which fold is the test part, from 0");
  node.number("folds", o.folds, Range{2.0, kInfinity}, "of the cross-validation");
  node.text("train_size", o.train_size, "full, or how many molecules train: the first of the training order, so that small sets are part of larger ones");
  node.flag("stratify", o.stratify, "classification of one target: every part has its share of each class");
  node.text("cache_dir", o.cache_dir, "folder of graph caches, shared by runs; several data sets and options side by side");
  node.number("max_bad_fraction", o.max_bad_fraction, unit_interval, "stop if more rows than this cannot be used; 0: stop at any");
  node.number("threads", o.threads, non_negative, "that build graphs; 0: all processors of the rank");
  node.done();
  if (node.is_schema()) return o;
  if (o.paths.empty() && o.train.empty()) node.problem("path", "name the molecules: data.path, or data.train and data.validation");
  if (o.train.empty() && !(o.validation.empty() && o.test.empty())) node.problem("train", "data.validation and data.test go with data.train");
  if (!o.train.empty() && o.split == "kfold") node.problem("split", "kfold takes all parts from data.path, but data.train names a file");
  if (o.split == "kfold" && o.replicate >= o.folds) {
    node.problem("replicate", fmt::format("fold {} of {}: folds count from 0", o.replicate, o.folds));
  }
  if (o.train_size != "full") {
    const auto count = parse_integer(o.train_size);
    if (!count || *count < 1) node.problem("train_size", fmt::format("{} is neither `full` nor a positive integer", quote_for_message(o.train_size)));
  }
  const auto check = [&](const char* key, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      if (name == o.smiles) node.problem(key, fmt::format("{} is the column of the molecules (data.smiles)", quote_for_message(name)));
      if (std::count(names.begin(), names.end(), name) > 1) return node.problem(key, fmt::format("{} is named twice", quote_for_message(name)));
    }
  };
  check("targets", o.targets);
  check("descriptors", o.descriptors);
  for (const std::string& name : o.targets) {
    if (std::find(o.descriptors.begin(), o.descriptors.end(), name) != o.descriptors.end()) {
      node.problem("descriptors", fmt::format("{} is a target", quote_for_message(name)));
    }
  }
  return o;
}

TargetType DataOptions::target_type() const {
  if (task == "binary") return TargetType::binary;
  return task == "multiclass" ? TargetType::multiclass : TargetType::regression;
}

}  // namespace gnn_hpc::dmpnn
