// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/molecule_table.hpp"

#include "base/error.hpp"
#include "base/signals.hpp"
#include "base/together.hpp"
#include "dataset/label_fields.hpp"
#include "io/csv.hpp"
#include "io/text_source.hpp"
#include "models/dmpnn_diffpool/table_columns.hpp"

#include <algorithm>

namespace gnn_hpc::dmpnn {

namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); }

/// `name*` replaced by what it stands for.
std::vector<std::string> expand(const std::vector<std::string>& patterns, const std::vector<std::string>& columns, const std::string& path) {
  std::vector<std::string> out;
  for (const std::string& pattern : patterns) {
    if (!pattern.ends_with('*')) {
      out.push_back(pattern);
      continue;
    }
    const std::string beginning = pattern.substr(0, pattern.size() - 1);
    const std::size_t before = out.size();
    for (const std::string& column : columns) {
      if (column.starts_with(beginning) && !contains(out, column)) out.push_back(column);
    }
    if (out.size() == before) {
      throw Error(Exit::data, fmt::format("{}:1: no column begins with {} (columns: {}); correct data.descriptors", path,
                                          quote_for_message(beginning), join_names(columns)));
    }
  }
  return out;
}

MoleculeTable read_table(const DataOptions& options, const std::vector<std::string>& paths, bool prediction) {
  MoleculeTable out{paths, options.smiles, options.id_column, options.notation == "polymer", options.targets, {}, options.target_kind(),
                    {},    prediction};
  CsvReader reader(paths.front());
  CsvReader::Row row;
  if (!reader.next(row)) throw Error(Exit::data, fmt::format("{}: the file is empty; a header line is needed", paths.front()));
  const std::vector<std::string> columns = column_names(row);
  for (const std::string& column : columns) {
    if (column.find('\0') != std::string::npos) {
      throw Error(Exit::data, fmt::format("{}: not a text file in UTF-8 (zero bytes in the header); export it as CSV in UTF-8", paths.front()));
    }
  }
  out.descriptors = expand(options.descriptors, columns, paths.front());
  const std::size_t smiles = need_column(columns, options.smiles, paths.front(), "set data.smiles to the column of molecules");

  std::vector<ColumnTally> tally(columns.size());
  bool any_rows = false;
  bool notation_known = options.notation != "auto";
  while ((options.targets.empty() || !notation_known) && reader.next(row)) {
    throw_if_stop_wanted(paths.front());
    any_rows = true;
    if (!notation_known && smiles < row.size && !trim(row.fields[smiles]).empty()) {
      out.polymer = row.fields[smiles].find('|') != std::string::npos;
      notation_known = true;
    }
    for (std::size_t c = 0; c < std::min(row.size, columns.size()) && options.targets.empty(); ++c) {
      tally[c].add(row.fields[c]);
    }
  }
  if (!options.targets.empty()) return out;
  if (!any_rows && !prediction) throw Error(Exit::data, fmt::format("{}: a header without rows", paths.front()));
  std::vector<std::string> ids;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    const std::string& name = columns[c];
    const bool taken = name.empty() || c == smiles || name == options.id_column || contains(options.ignore, name) || contains(out.descriptors, name);
    if (taken || !tally[c].mostly_numbers()) continue;
    out.targets.push_back(name);
    if (tally[c].looks_like_an_id(name)) ids.push_back(name);
  }
  if (out.targets.empty() && !prediction) {
    throw Error(Exit::data,
                fmt::format("{}: no column of numbers is left to learn (columns: {}); name one in data.targets", paths.front(), join_names(columns)));
  }
  if (!prediction) announce_targets(out.targets, ids);
  return out;
}

}  // namespace

MoleculeTable resolve_table(const DataOptions& options, const std::vector<std::string>& paths, bool prediction, const Comm& comm) {
  MoleculeTable out{paths, options.smiles, options.id_column, false, {}, {}, options.target_kind(), {}, prediction};
  together(comm, [&] {  // may read the whole file
    if (!comm.is_root()) return;
    out = read_table(options, paths, prediction);
    if (out.type == TargetKind::classes) out.labels = distinct_labels(out.paths, out.targets);
  });
  std::int64_t polymer = out.polymer ? 1 : 0;
  comm.broadcast(std::span<std::int64_t>(&polymer, 1));
  out.polymer = polymer != 0;
  comm.broadcast(out.targets);
  comm.broadcast(out.descriptors);
  if (out.type == TargetKind::classes) out.labels.resize(out.targets.size());
  for (auto& names : out.labels) comm.broadcast(names);
  return out;
}

}  // namespace gnn_hpc::dmpnn
