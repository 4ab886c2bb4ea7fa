// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/dataset_options.hpp"

#include "io/token_table.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace gnn_hpc::hgnn_moe {

DataOptions DataOptions::parse(Config node) {
  DataOptions o;
  std::string mode = "lines";
  node.paths("path", o.path, "text (plain or gzip), or HDF5 with input_ids [N,L] or tokens [T]; several files: one after the other");
  node.paths("validation", o.validation, "text or HDF5 that only validates; empty: a share of data.path");
  node.choice("mode", mode, {"lines", "stream"}, "a sequence is a line of the text, or a window of its bytes");
  node.number("min_chars", o.cut.min_chars, non_negative, "lines: kept if longer than this many characters, blanks at both ends apart");
  node.number("validation_ratio", o.validation_ratio, open_fraction, "share of the sequences that validate, without data.validation");
  node.flag("shuffle", o.shuffle, "before the split; false: the end of the text validates");
  node.number("split_seed", o.split_seed, any_number, "of that shuffle");
  node.paths("split_file", o.split_file,
             "instead: JSON with ids or numbers of sequences for train and val (and test, which is left out), or three files of "
             "numbers from 0");
  node.choice("group_by", o.group_by, {"none", "input"}, "input: equal sequences stay in one part");
  node.number("num_train_samples", o.num_train_samples, Range{-1.0, kInfinity}, "use only so many sequences for training; -1 = all");
  node.number("num_eval_samples", o.num_eval_samples, Range{-1.0, kInfinity}, "use only so many sequences for validation; -1 = all");
  node.text("cache_dir", o.cache_dir, "folder of caches, shared by runs; several data sets and options side by side");
  node.number("threads", o.threads, non_negative, "that build the cache; 0: all processors of the rank");
  node.done();
  o.cut.mode = mode == "stream" ? TextMode::stream : TextMode::lines;
  if (node.is_schema()) return o;
  if (o.path.empty()) node.problem("path", "name the text to learn: data.path");
  if (o.num_train_samples == 0) node.problem("num_train_samples", "found 0, allowed: -1 (all) or an integer >= 1");
  if (o.num_eval_samples == 0) node.problem("num_eval_samples", "found 0, allowed: -1 (all) or an integer >= 1");
  if (!o.split_file.empty() && o.split_file.size() != 1 && o.split_file.size() != 3) {
    node.problem("split_file",
                 fmt::format("{} file(s) named; allowed: one JSON file, or three files of numbers (train, validation, test)", o.split_file.size()));
  }
  if (!o.split_file.empty() && !o.validation.empty()) node.problem("split_file", "takes all parts from data.path, but data.validation names a file");
  if (!o.split_file.empty() && o.group_by != "none") node.problem("group_by", "data.split_file says itself which part a sequence belongs to");
  for (const auto* paths : {&o.path, &o.validation}) {
    const auto tables = std::count_if(paths->begin(), paths->end(), [](const std::string& p) { return TokenTable::is_one(p); });
    if (tables != 0 && tables != static_cast<std::ptrdiff_t>(paths->size())) {
      node.problem("path", fmt::format("{} of {} files are HDF5, the others text; give one kind", tables, paths->size()));
    }
  }
  return o;
}

}  // namespace gnn_hpc::hgnn_moe
