// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/dataset_options.hpp"

#include "dataset/label_fields.hpp"
#include "io/text_source.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace gnn_hpc::dmpnn {

DataOptions DataOptions::parse(Config node) {
  DataOptions o;
  node.paths("path", o.paths,
             "molecules: CSV files with a header (plain or .gz) that hold SMILES, with wildcards * for repeat units, or polymers in text");
  node.text("smiles", o.smiles, "column of the molecules");
  node.choice("notation", o.notation, {"auto", "smiles", "polymer"},
              "of that column; polymer: fragments|weights|<rules~Xn; auto: polymer if the first has a |");
  node.list("targets", o.targets, "columns to learn; empty: every column of numbers that no other option names");
  node.list("ignore", o.ignore, "columns that are no targets");
  node.list("descriptors", o.descriptors, "columns of further inputs to the head; name*: all that begin so");
  node.text("id_column", o.id_column, "names of the molecules in predictions; empty: the SMILES");
  node.choice("task", o.task, {"regression", "binary", "multiclass"},
              "what the targets are: numbers, 0 and 1, or names of classes (whole numbers or words)");
  node.number("classes", o.classes, non_negative, "of a multiclass target; 0: as many as there are different labels");
  o.parse_split(node, "molecules", o.paths);
  node.text("cache_dir", o.cache_dir, "folder of graph caches, shared by runs; several data sets and options side by side");
  node.number("max_bad_fraction", o.max_bad_fraction, unit_interval, "stop if more rows than this cannot be used; 0: stop at any");
  node.number("threads", o.threads, non_negative, "that build graphs; 0: all processors of the rank");
  node.done();
  if (node.is_schema()) return o;
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

TargetKind DataOptions::target_kind() const { return target_kind_of(task); }

}  // namespace gnn_hpc::dmpnn
