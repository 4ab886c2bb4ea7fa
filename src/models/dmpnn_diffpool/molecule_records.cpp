// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/molecule_records.hpp"

#include "base/error.hpp"
#include "io/smiles.hpp"
#include "io/text_source.hpp"
#include "models/dmpnn_diffpool/molecule_features.hpp"

namespace gnn_hpc::dmpnn {

namespace {
/// Raise it when reading or featurisation gives other samples from the same input.
constexpr int kSchemaVersion = 2;
}  // namespace

MoleculeColumns::MoleculeColumns(const MoleculeTable& table) : schema{table.polymer ? "polymer" : "molecule", kSchemaVersion, {}} {
  const auto add = [this](const char* name, Domain domain, DType type, std::size_t width = 1, bool resident = false) {
    schema.columns.push_back({name, domain, type, static_cast<int>(width), resident});
    return static_cast<int>(schema.columns.size()) - 1;
  };
  atom_code = add("atom", Domain::node, DType::i32);
  atom_mass = add("mass", Domain::node, DType::f64);
  bond_code = add("bond", Domain::edge, DType::i32);
  begin = add("begin", Domain::edge, DType::i32);
  end = add("end", Domain::edge, DType::i32);
  if (table.polymer) {
    bond_weights = add("bond_weight", Domain::edge, DType::f64, 2);
    atom_weight = add("atom_weight", Domain::node, DType::f64);
    dop = add("dop", Domain::graph, DType::f64, 1, true);
  }
  if (!table.targets.empty()) targets = add("targets", Domain::graph, DType::f64, table.targets.size(), true);
  if (!table.descriptors.empty()) descriptors = add("descriptors", Domain::graph, DType::f64, table.descriptors.size(), true);
}

/// A row as it stands in the file.
struct MoleculeRecords::Row : Record {
  std::string smiles, id, file, problem;
  std::int64_t line = 0, row = 0;
  std::vector<std::string> targets, descriptors;
};

struct MoleculeRecords::Buffers : Workspace {
  PolymerReader polymers;
  Molecule molecule;
  std::vector<std::int32_t> atom_code, bond_code, begin, end;
  std::vector<double> mass, bond_weights, targets, descriptors;
};

MoleculeRecords::MoleculeRecords(MoleculeTable table)
    : table_(std::move(table)), labels_{table_.targets, table_.type, table_.labels, table_.targets_optional}, columns_(table_) {
  require_rdkit();
  open_file(0);
}

std::unique_ptr<RecordSource::Record> MoleculeRecords::new_record() const { return std::make_unique<Row>(); }
std::unique_ptr<RecordSource::Workspace> MoleculeRecords::new_workspace() const { return std::make_unique<Buffers>(); }

double MoleculeRecords::fraction_read() const {
  return (static_cast<double>(file_) + reader_->fraction_read()) / static_cast<double>(table_.paths.size());
}

void MoleculeRecords::open_file(std::size_t file) {
  file_ = file;
  const std::string& path = table_.paths[file];
  reader_ = std::make_unique<CsvReader>(path);
  if (!reader_->next(fields_)) throw Error(Exit::data, fmt::format("{}: the file is empty; a header line is needed", path));
  const std::vector<std::string> names = column_names(fields_);
  num_columns_ = names.size();
  const auto find = [&](const std::string& name, const char* option, bool optional) {
    if (optional) return find_column(names, name, path).value_or(names.size());
    return need_column(names, name, path, fmt::format("correct {}", option));
  };
  smiles_ = find(table_.smiles, "data.smiles", false);
  id_ = table_.id_column.empty() ? smiles_ : find(table_.id_column, "data.id_column", false);
  targets_.clear();
  descriptors_.clear();
  for (const std::string& name : table_.targets) targets_.push_back(find(name, "data.targets", table_.targets_optional));
  for (const std::string& name : table_.descriptors) descriptors_.push_back(find(name, "data.descriptors", false));
  row_ = 0;
}

bool MoleculeRecords::next(Record& record) {
  auto& out = static_cast<Row&>(record);
  while (!reader_->next(fields_)) {
    if (file_ + 1 == table_.paths.size()) return false;
    open_file(file_ + 1);
  }
  const auto field = [this](std::size_t column) { return column < fields_.size ? trim(fields_.fields[column]) : std::string_view{}; };
  out.file = reader_->path();
  out.line = fields_.line;
  out.row = ++row_;
  out.smiles = field(smiles_);
  out.id = field(id_);
  if (out.id.empty()) out.id = fmt::format("row {}", row_);
  out.problem = row_problem(fields_, num_columns_);
  const auto take = [&](const std::vector<std::size_t>& columns, std::vector<std::string>& texts) {
    texts.resize(columns.size());
    for (std::size_t k = 0; k < columns.size(); ++k) texts[k] = columns[k] < num_columns_ ? field(columns[k]) : std::string_view{};
  };
  take(targets_, out.targets);
  take(descriptors_, out.descriptors);
  return true;
}

void MoleculeRecords::convert_row(const Row& row, Buffers& b) const {
  if (!row.problem.empty()) throw Error(Exit::data, fmt::format("row {}: {}", row.row, row.problem));
  read_labels(labels_, row.row, row.targets, b.targets);
  read_numbers(table_.descriptors, row.row, row.descriptors, false, b.descriptors);
  try {
    if (row.smiles.empty()) throw Error(Exit::data, "empty SMILES");
    table_.polymer ? b.polymers.read(row.smiles, b.molecule) : read_smiles(row.smiles, b.molecule);
  } catch (const Error& error) {
    reject_field(row.row, table_.smiles, error.what());
  }
}

void MoleculeRecords::convert(std::int64_t index, const Record& record, Workspace& workspace, SampleBlock& out) const {
  const auto& row = static_cast<const Row&>(record);
  auto& b = static_cast<Buffers&>(workspace);
  try {
    convert_row(row, b);
  } catch (const Error& error) {
    if (error.code() != Exit::data) throw;
    out.skip(index, {row.id, row.file, row.line, error.what()});
    return;
  }
  const Molecule& m = b.molecule;
  for (auto* column : {&b.atom_code, &b.bond_code, &b.begin, &b.end}) column->clear();
  b.mass.clear();
  b.bond_weights.clear();
  for (const MoleculeAtom& atom : m.atoms) {
    b.atom_code.push_back(atom_code(atom));
    b.mass.push_back(atom.mass);
  }
  for (const MoleculeBond& bond : m.bonds) {
    b.bond_code.push_back(bond_code(bond));
    b.begin.push_back(bond.begin);
    b.end.push_back(bond.end);
    b.bond_weights.push_back(bond.forward);
    b.bond_weights.push_back(bond.backward);
  }
  out.begin(index, row.id, static_cast<std::int64_t>(m.atoms.size()), static_cast<std::int64_t>(m.bonds.size()));
  out.put<std::int32_t>(columns_.atom_code, b.atom_code);
  out.put<double>(columns_.atom_mass, b.mass);
  out.put<std::int32_t>(columns_.bond_code, b.bond_code);
  out.put<std::int32_t>(columns_.begin, b.begin);
  out.put<std::int32_t>(columns_.end, b.end);
  if (table_.polymer) {
    out.put<double>(columns_.bond_weights, b.bond_weights);
    out.put<double>(columns_.atom_weight, m.atom_weight);
    out.put<double>(columns_.dop, std::span<const double>(&m.degree_of_polymerisation, 1));
  }
  if (columns_.targets >= 0) out.put<double>(columns_.targets, b.targets);
  if (columns_.descriptors >= 0) out.put<double>(columns_.descriptors, b.descriptors);
  out.end();
}

CacheKey MoleculeRecords::key() const {
  CacheKey key(columns_.schema);
  key.field("rdkit", rdkit_version());
  key.field("data.smiles", table_.smiles);
  key.field("data.id_column", table_.id_column);
  key.field("data.targets", table_.targets);
  key.field("data.targets_optional", table_.targets_optional);
  key.field("data.descriptors", table_.descriptors);
  for (std::size_t k = 0; k < table_.labels.size(); ++k) key.field(fmt::format("data.labels.{}", k), table_.labels[k]);
  key.files("data.files", table_.paths);
  return key;
}

}  // namespace gnn_hpc::dmpnn
