// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataset/label_fields.hpp"
#include "graph/cache_key.hpp"
#include "graph/record_source.hpp"
#include "io/csv.hpp"
#include "io/protein.hpp"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace gnn_hpc {

/// What protein chains are read from: label tables, or (for prediction) structure files and folders of them.
struct ProteinTable {
  std::vector<std::string> paths;
  std::string path_column, chain_column, id_column;
  LabelColumns labels;
  int top_k = 30;
};

/// Columns of a chain in the cache: coordinates and features of residues once, of an edge its source; what else an edge has the device computes
/// from positions.
struct ProteinColumns {
  Schema schema;
  int code = 0, degree = 1, position = 2, node_s = 3, node_v = 4, src = 5, residue = 6;
  int targets = -1;
  explicit ProteinColumns(std::size_t num_targets);
};

/// A residue's number and insertion code ("-3", "12A") as one number for the cache, and back; a text that is neither becomes `kUnnamedResidue`,
/// whose name is empty.
inline constexpr std::int32_t kUnnamedResidue = INT32_MIN;
std::int32_t residue_number(const std::string& name);
std::string residue_name(std::int32_t number);

/// True for names of structure files: .pdb, .ent, .cif, .mmcif in any case, also with .gz.
bool is_structure_name(const std::string& path);

/// True for a folder or a file called as structures are; anything else is a table.
bool is_structure_input(const std::string& path);

/// The structure files that `path` (a file or a folder, searched through) holds, sorted; empty if it is neither. Throws Error(Exit::data) for a
/// folder that cannot be read or holds none.
std::vector<std::string> structure_files(const std::string& path);

/// Rows `path,chain,labels` of tables, or files of structures without labels, converted to residue graphs. A row is bad, with its number and the
/// column to blame, if its file cannot be read (the reader's file, line and reason), has no such chain, fewer than half of the chain's residues are
/// complete, or a label cannot be used. Consecutive rows of one file read it once.
class ProteinRecords final : public RecordSource {
 public:
  explicit ProteinRecords(ProteinTable table);

  std::unique_ptr<Record> new_record() const override;
  bool next(Record& record) override;
  double fraction_read() const override;
  std::unique_ptr<Workspace> new_workspace() const override;
  void convert(std::int64_t index, const Record& record, Workspace& workspace, SampleBlock& out) const override;

  /// Everything that decides the samples: columns, the readers' version, every byte of tables and structures.
  static CacheKey key(const ProteinTable& table);

 private:
  struct Row;
  struct Buffers;
  void open_input(std::size_t input);
  void convert_row(const Row& row, Buffers& buffers) const;
  void warn(const Protein& protein) const;

  ProteinTable table_;
  ProteinColumns columns_;
  std::unique_ptr<CsvReader> reader_;  ///< of a table
  std::vector<std::string> files_;     ///< of a folder
  CsvReader::Row fields_;
  std::size_t input_ = 0, num_columns_ = 0, path_ = 0, chain_ = 0, id_ = 0;
  std::vector<std::size_t> targets_;  ///< places in a row; `num_columns_`: no such column
  std::int64_t row_ = 0;              ///< of the table, header not counted, or of the folder, from 1
  mutable std::atomic<int> warnings_{0};
};

}  // namespace gnn_hpc
