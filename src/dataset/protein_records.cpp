// SPDX-License-Identifier: Apache-2.0
#include "dataset/protein_records.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/signals.hpp"
#include "graph/residue_graph.hpp"
#include "io/cif.hpp"
#include "io/text_source.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <set>

namespace gnn_hpc {

namespace {

namespace fs = std::filesystem;

/// Raise it when reading or featurisation gives other samples from the same input.
constexpr int kSchemaVersion = 2;
constexpr int kMostWarnings = 5;

/// Where a row's file lies: relative to its table.
std::string resolve(const std::string& table, const std::string& path) {
  return fs::path(path).is_absolute() ? path : (fs::path(table).parent_path() / path).string();
}

}  // namespace

ProteinColumns::ProteinColumns(std::size_t num_targets) : schema{"protein", kSchemaVersion, {}} {
  schema.columns = {{"code", Domain::node, DType::i32, 1, false},
                    {"degree", Domain::node, DType::i32, 1, false},
                    {"position", Domain::node, DType::f64, 3, false},
                    {"node_s", Domain::node, DType::f64, kResidueScalars, false},
                    {"node_v", Domain::node, DType::f64, 3 * kResidueVectors, false},
                    {"src", Domain::edge, DType::i32, 1, false},
                    {"residue", Domain::node, DType::i32, 1, false}};
  if (num_targets == 0) return;
  targets = static_cast<int>(schema.columns.size());
  schema.columns.push_back({"targets", Domain::graph, DType::f64, static_cast<int>(num_targets), true});
}

std::int32_t residue_number(const std::string& name) {
  constexpr int kMost = 1 << 23;
  int number = 0;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data(), end, number);
  const std::ptrdiff_t left = end - rest;
  if (error != std::errc() || left > 1 || std::abs(number) >= kMost || (left == 1 && (*rest <= ' ' || *rest > '~'))) return kUnnamedResidue;
  return number * 128 + (left == 1 ? *rest : 0);
}

std::string residue_name(std::int32_t number) {
  if (number == kUnnamedResidue) return {};
  const std::int32_t code = ((number % 128) + 128) % 128;
  std::string out = std::to_string((number - code) / 128);
  if (code != 0) out += static_cast<char>(code);
  return out;
}

bool is_structure_name(const std::string& path) {
  const std::string_view name = ends_with_any_case(path, ".gz") ? std::string_view(path).substr(0, path.size() - 3) : std::string_view(path);
  constexpr std::array tails{".pdb", ".ent", ".cif", ".mmcif"};
  return std::any_of(tails.begin(), tails.end(), [&](const char* tail) { return ends_with_any_case(name, tail); });
}

bool is_structure_input(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored) || is_structure_name(path);
}

std::vector<std::string> structure_files(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return is_structure_name(path) ? std::vector<std::string>{path} : std::vector<std::string>{};
  std::vector<std::string> out;
  fs::recursive_directory_iterator entry(path, fs::directory_options::follow_directory_symlink, error);
  for (const fs::recursive_directory_iterator end; !error && entry != end; entry.increment(error)) {
    throw_if_stop_wanted(path);
    if (entry->is_regular_file(error) && is_structure_name(entry->path().string())) out.push_back(entry->path().string());
  }
  if (error) throw Error(Exit::data, fmt::format("{}: the folder cannot be read: {}", path, error.message()));
  if (out.empty()) throw Error(Exit::data, fmt::format("{}: no structure file in this folder (.pdb, .ent, .cif, .mmcif, also with .gz)", path));
  std::sort(out.begin(), out.end());
  return out;
}

/// A row as it stands in the table.
struct ProteinRecords::Row : Record {
  std::string path, chain, id, file, problem;
  std::int64_t line = 0, row = 0;
  std::vector<std::string> targets;
};

struct ProteinRecords::Buffers : Workspace {
  std::string path;  ///< of `protein`; empty: none yet
  Protein protein;
  const ProteinChain* chain = nullptr;
  ResidueGraph graph;
  std::vector<double> targets;
  std::vector<std::int32_t> code, degree, src, residue;
};

ProteinRecords::ProteinRecords(ProteinTable table) : table_(std::move(table)), columns_(table_.labels.names.size()) { open_input(0); }

std::unique_ptr<RecordSource::Record> ProteinRecords::new_record() const { return std::make_unique<Row>(); }
std::unique_ptr<RecordSource::Workspace> ProteinRecords::new_workspace() const { return std::make_unique<Buffers>(); }

double ProteinRecords::fraction_read() const {
  const double part = reader_ ? reader_->fraction_read() : files_.empty() ? 1.0 : static_cast<double>(row_) / static_cast<double>(files_.size());
  return (static_cast<double>(input_) + part) / static_cast<double>(table_.paths.size());
}

void ProteinRecords::open_input(std::size_t input) {
  input_ = input;
  row_ = 0;
  reader_.reset();
  files_.clear();
  const std::string& path = table_.paths[input];
  if (is_structure_input(path)) {
    if (!table_.labels.optional) {
      throw Error(Exit::data, fmt::format("{}: structures without labels; to train, name a CSV file with the columns {},{},{}", path,
                                          table_.path_column, table_.chain_column, join_names(table_.labels.names, 5)));
    }
    files_ = structure_files(path);
    return;
  }
  reader_ = std::make_unique<CsvReader>(path);
  if (!reader_->next(fields_)) throw Error(Exit::data, fmt::format("{}: the file is empty; a header line is needed", path));
  const std::vector<std::string> names = column_names(fields_);
  num_columns_ = names.size();
  const auto find = [&](const std::string& name, const char* option, bool optional) {
    if (optional) return find_column(names, name, path).value_or(names.size());
    return need_column(names, name, path, fmt::format("correct {}", option));
  };
  path_ = find(table_.path_column, "data.path_column", false);
  chain_ = find(table_.chain_column, "data.chain_column", table_.chain_column == "chain");
  id_ = table_.id_column.empty() ? names.size() : find(table_.id_column, "data.id_column", false);
  targets_.clear();
  for (const std::string& name : table_.labels.names) targets_.push_back(find(name, "data.targets", table_.labels.optional));
}

bool ProteinRecords::next(Record& record) {
  auto& out = static_cast<Row&>(record);
  out.problem.clear();
  out.line = 0;
  if (!reader_ && row_ < static_cast<std::int64_t>(files_.size())) {
    out.path = out.file = out.id = files_[static_cast<std::size_t>(row_)];
    out.chain.clear();
    out.row = ++row_;
    out.targets.assign(table_.labels.names.size(), std::string());
    return true;
  }
  if (!reader_ || !reader_->next(fields_)) {
    if (input_ + 1 == table_.paths.size()) return false;
    open_input(input_ + 1);
    return next(record);
  }
  const auto field = [this](std::size_t column) {
    return column < std::min(fields_.size, num_columns_) ? trim(fields_.fields[column]) : std::string_view{};
  };
  out.file = reader_->path();
  out.line = fields_.line;
  out.row = ++row_;
  out.path = field(path_);
  out.chain = field(chain_);
  out.id = field(id_);
  if (out.id.empty()) out.id = out.chain.empty() ? out.path : out.path + ":" + out.chain;
  if (out.id.empty()) out.id = fmt::format("row {}", row_);
  out.problem = row_problem(fields_, num_columns_);
  out.targets.clear();
  for (const std::size_t column : targets_) out.targets.emplace_back(field(column));
  return true;
}

void ProteinRecords::warn(const Protein& protein) const {
  for (const std::string& warning : protein.warnings) {
    const int before = warnings_.fetch_add(1);
    if (before < kMostWarnings) log_warning("{}", warning);
    if (before == kMostWarnings) log_warning("more warnings of structure files follow and are not shown");
  }
}

void ProteinRecords::convert_row(const Row& row, Buffers& b) const {
  if (!row.problem.empty()) throw Error(Exit::data, fmt::format("row {}: {}", row.row, row.problem));
  read_labels(table_.labels, row.row, row.targets, b.targets);
  const bool of_table = row.line > 0;
  try {
    if (row.path.empty()) throw Error(Exit::data, "empty; name a structure file");
    const std::string path = of_table ? resolve(row.file, row.path) : row.path;
    if (b.path != path) {
      b.path.clear();
      b.protein = read_protein(path);
      b.path = path;
      warn(b.protein);
    }
    b.chain = &b.protein.chain(row.chain);
    if (const std::string reason = too_few_complete(b.protein, *b.chain); !reason.empty()) throw Error(Exit::data, reason);
  } catch (const Error& error) {
    if (error.code() != Exit::data || !of_table) throw;
    reject_field(row.row, table_.path_column, error.what());
  }
  b.graph = build_residue_graph(b.chain->coords, table_.top_k);
}

void ProteinRecords::convert(std::int64_t index, const Record& record, Workspace& workspace, SampleBlock& out) const {
  const auto& row = static_cast<const Row&>(record);
  auto& b = static_cast<Buffers&>(workspace);
  try {
    convert_row(row, b);
  } catch (const Error& error) {
    if (error.code() != Exit::data) throw;
    out.skip(index, {row.id, row.file, row.line, error.what()});
    return;
  }
  const ResidueGraph& g = b.graph;
  b.code.clear();
  b.degree.clear();
  for (const char letter : b.chain->sequence) b.code.push_back(residue_code(letter));
  for (std::size_t i = 0; i + 1 < g.in_ptr.size(); ++i) b.degree.push_back(g.in_ptr[i + 1] - g.in_ptr[i]);
  b.src.assign(g.src.begin(), g.src.end());
  out.begin(index, row.id, g.num_nodes, g.num_edges());
  out.put<std::int32_t>(columns_.code, b.code);
  out.put<std::int32_t>(columns_.degree, b.degree);
  out.put<double>(columns_.position, g.position);
  out.put<double>(columns_.node_s, g.node_s);
  out.put<double>(columns_.node_v, g.node_v);
  out.put<std::int32_t>(columns_.src, b.src);
  b.residue.clear();
  for (const std::string& name : b.chain->residues) b.residue.push_back(residue_number(name));
  out.put<std::int32_t>(columns_.residue, b.residue);
  if (columns_.targets >= 0) out.put<double>(columns_.targets, b.targets);
  out.end();
}

CacheKey ProteinRecords::key(const ProteinTable& table) {
  ProteinRecords rows(table);
  CacheKey key(rows.columns_.schema);
  key.field("graph.top_k", static_cast<std::int64_t>(table.top_k));
  key.field("reader", cif_library());
  key.field("data.path_column", table.path_column);
  key.field("data.chain_column", table.chain_column);
  key.field("data.id_column", table.id_column);
  key.field("data.targets", table.labels.names);
  key.field("data.targets_optional", table.labels.optional);
  for (std::size_t k = 0; k < table.labels.classes.size(); ++k) key.field(fmt::format("data.labels.{}", k), table.labels.classes[k]);
  std::vector<std::string> tables, structures;
  std::set<std::string> known;
  for (Row row; rows.next(row);) {
    throw_if_stop_wanted(row.file);
    const std::string path = row.line > 0 ? resolve(row.file, row.path) : row.path;
    std::error_code ignored;
    if (!row.path.empty() && fs::is_regular_file(path, ignored) && known.insert(path).second) structures.push_back(path);
  }
  for (const std::string& path : table.paths) {
    if (!is_structure_input(path)) tables.push_back(path);
  }
  key.files("data.files", tables);
  key.files("data.structures", structures);
  return key;
}

}  // namespace gnn_hpc
