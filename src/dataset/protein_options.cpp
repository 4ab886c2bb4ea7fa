// SPDX-License-Identifier: Apache-2.0
#include "dataset/protein_options.hpp"

#include "dataset/label_fields.hpp"
#include "io/text_source.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace gnn_hpc {

ProteinDataOptions ProteinDataOptions::parse(Config& root) {
  ProteinDataOptions o;
  Config graph = root.block("graph", "residue graphs");
  graph.number("top_k", o.top_k, at_least_one, "nearest residues that send messages to each residue");
  graph.done();

  Config node = root.block("data", "protein chains and labels");
  node.paths("path", o.paths, "CSV files with a header: a row names a structure file (PDB or mmCIF, plain or .gz), a chain and its labels");
  node.text("path_column", o.path_column, "column of the structure files; names are relative to the table");
  node.text("chain_column", o.chain_column, "column of the chains; empty, or no such column: the first chain of the file");
  node.list("targets", o.targets, "columns to learn");
  node.text("id_column", o.id_column, "names of the chains in predictions; empty: file and chain");
  node.choice("task", o.task, {"multiclass", "binary", "regression"}, "what the targets are: names of classes, 0 and 1, or numbers");
  node.number("classes", o.classes, non_negative, "of a multiclass target; 0: as many as there are different labels");
  o.parse_split(node, "chains", o.paths);
  node.text("cache_dir", o.cache_dir, "folder of graph caches, shared by runs; several data sets and options side by side");
  node.number("max_bad_fraction", o.max_bad_fraction, unit_interval, "stop if more rows than this cannot be used; 0: stop at any");
  node.number("threads", o.threads, non_negative, "that build graphs; 0: all processors of the rank");
  node.done();
  if (root.is_schema()) return o;
  if (o.targets.empty()) {
    node.problem("targets", "empty; name a column of the table");
    o.targets = {"label"};  // already reported; the task must still be built
  }
  for (const std::string& name : o.targets) {
    if (name == o.path_column || name == o.chain_column) {
      node.problem("targets", fmt::format("{} is the column of the files or chains", quote_for_message(name)));
    }
    if (std::count(o.targets.begin(), o.targets.end(), name) > 1) {
      node.problem("targets", fmt::format("{} is named twice", quote_for_message(name)));
      break;
    }
  }
  return o;
}

TargetKind ProteinDataOptions::target_kind() const { return target_kind_of(task); }

}  // namespace gnn_hpc
