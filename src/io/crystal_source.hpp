// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "io/bad_record.hpp"
#include "io/input_table.hpp"
#include "io/structure.hpp"

namespace gnn_hpc {

/// What a record's text is.
enum class CrystalFormat { cif, poscar, extxyz };

/// Where crystals come from and what to take from them.
struct CrystalSourceOptions {
  std::string format = "auto";          ///< auto | csv | folder | extxyz | cif | poscar
  std::vector<std::string> paths{};     ///< one file or folder; cif and poscar: any number of files
  std::vector<std::string> targets{};   ///< names of the values to learn; empty for prediction
  std::string id_column{};              ///< csv, id_prop.csv with a header, extxyz: where the id stands; empty = the usual names
  std::string cif_column = "cif";       ///< csv: the column of CIF text
  std::string non_periodic = "refuse";  ///< extxyz frames that do not repeat in every direction: refuse | box (io/vacuum_box.hpp)
  bool targets_optional = false;        ///< prediction: a target that is absent or no finite number is NaN, and no reason to refuse a record
  std::string index{};                  ///< extxyz: Python slice text (`:1000`, `::10`, `-100:`, `100:200`, an integer); empty = all
};

/// One record as it stands in a file, not yet understood. Cheap to make (reading is sequential), so that the costly part,
/// `parse`, runs in threads; objects are meant to be reused.
struct RawRecord {
  std::int64_t index = 0;  ///< 0-based position among the records of the source (after slicing), good and bad
  std::string id, file;
  std::int64_t line = 0;  ///< first line of the record, from 1
  CrystalFormat format = CrystalFormat::cif;
  bool frame_has_targets = false;    ///< extxyz: id and targets stand in the frame, not in a table beside it
  std::string text;                  ///< the structure; empty if `path` is set
  std::string path;                  ///< a structure file that `parse` reads itself (folders)
  std::vector<std::string> targets;  ///< raw text per requested target (csv, folder); empty text = missing
  std::string problem;               ///< not empty: already known to be bad, and why
};

/// A stream of crystals: `next` in one thread, `parse` in any number. Memory is bounded by a few records.
///
/// Every block of a CIF that holds atoms and every frame of an extended XYZ file is a record, in tables every row. A record is either read or
/// bad; it is bad if its reader refuses it (io/cif.hpp, io/poscar.hpp, io/extxyz.hpp; all end with check_structure of io/structure_check.hpp), if its
/// row is damaged (row_problem of io/csv.hpp), or if it has no target (none of the requested ones; with several, a missing one is NaN) or one that
/// is not a finite number. What is wrong with the source as a whole (no such file, no such column, a damaged gzip file) is an
/// Error(Exit::data) that names what is available.
class CrystalSource {
 public:
  static std::unique_ptr<CrystalSource> open(const CrystalSourceOptions& options);
  virtual ~CrystalSource() = default;

  /// Next record of the input, in file order; false at the end.
  virtual bool next(RawRecord& record) = 0;
  /// Every file whose bytes decide what the source delivers, in a fixed order, for content digests.
  virtual std::vector<std::string> files() const = 0;
  /// What of the input no record stands for, one sentence each, for warnings: structure files of a folder that no row names.
  virtual std::vector<std::string> notes() const { return {}; }
  /// The input as tables, whose columns go beside what is predicted for their rows; none where rows are not records one for one.
  virtual InputTable table() const { return {}; }
  /// Share of the input consumed so far, 0..1 (bytes or files), for progress lines.
  virtual double fraction_read() const = 0;

  /// Understands a record. Thread-safe and a pure function of the record and, for folders, of the file it names.
  std::variant<Crystal, BadRecord> parse(const RawRecord& record) const;

  const CrystalSourceOptions& options() const { return options_; }

 protected:
  explicit CrystalSource(CrystalSourceOptions options) : options_(std::move(options)) {}
  CrystalSourceOptions options_;
};

}  // namespace gnn_hpc
