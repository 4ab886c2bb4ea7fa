// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataset/label_fields.hpp"
#include "graph/cache_key.hpp"
#include "graph/record_source.hpp"
#include "io/csv.hpp"
#include "models/dmpnn_diffpool/molecule_table.hpp"

#include <memory>
#include <string>
#include <vector>

namespace gnn_hpc::dmpnn {

/// Columns of a molecule in the cache. Its edges are bonds: two directed edges each. A column that a schema lacks has position -1.
struct MoleculeColumns {
  Schema schema;
  int atom_code = -1, atom_mass = -1;        ///< per atom: `atom_code`, unified atomic mass units
  int bond_code = -1, begin = -1, end = -1;  ///< per bond: `bond_code`, atoms
  int bond_weights = -1;                     ///< polymers, per bond: weights of begin -> end and of end -> begin
  int atom_weight = -1, dop = -1;            ///< polymers: per atom; 1 + log10(Xn)
  int targets = -1, descriptors = -1;
  explicit MoleculeColumns(const MoleculeTable& table);
};

/// Rows of CSV files converted to molecules. A row is bad, with its number in the file and the column to blame, if the molecule cannot be
/// understood, a target or descriptor is no finite number (multi-class: no label, see label_names.hpp), or all targets are missing (one of several
/// may be: NaN; and any descriptor).
class MoleculeRecords final : public RecordSource {
 public:
  explicit MoleculeRecords(MoleculeTable table);

  std::unique_ptr<Record> new_record() const override;
  bool next(Record& record) override;
  double fraction_read() const override;
  std::unique_ptr<Workspace> new_workspace() const override;
  void convert(std::int64_t index, const Record& record, Workspace& workspace, SampleBlock& out) const override;

  /// Everything that decides the samples: columns, RDKit's version, every input byte.
  CacheKey key() const;

 private:
  struct Row;
  struct Buffers;
  void open_file(std::size_t file);
  void convert_row(const Row& row, Buffers& buffers) const;

  MoleculeTable table_;
  LabelColumns labels_;
  MoleculeColumns columns_;
  std::unique_ptr<CsvReader> reader_;
  CsvReader::Row fields_;
  std::size_t file_ = 0, num_columns_ = 0, smiles_ = 0, id_ = 0;
  std::vector<std::size_t> targets_, descriptors_;  ///< places in a row; `num_columns_`: no such column
  std::int64_t row_ = 0;                            ///< of the file, header not counted, from 1
};

}  // namespace gnn_hpc::dmpnn
