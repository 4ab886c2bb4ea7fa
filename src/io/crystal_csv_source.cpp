// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"
#include "io/crystal_sources.hpp"
#include "io/csv.hpp"

namespace gnn_hpc {
namespace {

/// CSV files with a header, a column of CIF text, and target columns; several files need the same columns by name.
class CsvSource final : public CrystalSource {
 public:
  explicit CsvSource(CrystalSourceOptions options) : CrystalSource(std::move(options)) { open_file(0); }

  bool next(RawRecord& record) override {
    while (!reader_->next(row_)) {
      if (file_ + 1 == options_.paths.size()) return false;
      open_file(file_ + 1);
    }
    record.index = index_++;
    record.file = reader_->path();
    record.line = row_.line;
    record.format = CrystalFormat::cif;
    record.frame_has_targets = false;
    record.path.clear();
    record.problem.clear();
    record.text.clear();
    const auto field = [&](std::size_t column) -> std::string& { return row_.fields[column]; };
    if (id_column_ < row_.size && !field(id_column_).empty()) {
      record.id = field(id_column_);
    } else {
      record.id = fmt::format("{}_{}", stem_, row_in_file_);
    }
    ++row_in_file_;
    record.problem = row_problem(row_, num_columns_);
    record.targets.resize(target_columns_.size());
    if (!record.problem.empty()) return true;
    record.text.swap(field(cif_column_));
    for (std::size_t t = 0; t < target_columns_.size(); ++t) {
      if (target_columns_[t] < num_columns_)
        record.targets[t] = field(target_columns_[t]);
      else
        record.targets[t].clear();
    }
    return true;
  }

  std::vector<std::string> files() const override { return options_.paths; }
  InputTable table() const override { return {options_.paths, {}, options_.cif_column}; }
  double fraction_read() const override {
    return (static_cast<double>(file_) + reader_->fraction_read()) / static_cast<double>(options_.paths.size());
  }

 private:
  void open_file(std::size_t file) {
    file_ = file;
    const std::string& path = options_.paths[file];
    reader_ = std::make_unique<CsvReader>(path);
    CsvReader::Row header;
    if (!reader_->next(header)) throw Error(Exit::data, fmt::format("{}: the file is empty; a header line is needed", path));
    const std::vector<std::string> names = column_names(header);
    const auto need = [&](const std::string& name, const char* option) { return need_column(names, name, path, option); };
    num_columns_ = names.size();
    cif_column_ = need(options_.cif_column, "set the column of CIF text");
    target_columns_.clear();
    for (const std::string& target : options_.targets) {
      target_columns_.push_back(options_.targets_optional ? find_column(names, target, path).value_or(num_columns_) : need(target, "set the target"));
    }
    id_column_ = names.size();
    if (!options_.id_column.empty()) {
      id_column_ = need(options_.id_column, "set the id column");
    } else {
      for (const char* usual : {"material_id", "id", "jid", "name"}) {
        if (id_column_ == names.size()) id_column_ = find_column(names, usual, path).value_or(names.size());
      }
    }
    stem_ = file_stem(path);
    row_in_file_ = 0;
  }

  std::unique_ptr<CsvReader> reader_;
  CsvReader::Row row_;
  std::string stem_;
  std::size_t file_ = 0, num_columns_ = 0, cif_column_ = 0, id_column_ = 0;
  std::vector<std::size_t> target_columns_;  ///< `num_columns_`: no such column
  std::int64_t index_ = 0, row_in_file_ = 0;
};

}  // namespace

std::unique_ptr<CrystalSource> open_csv_source(CrystalSourceOptions options) { return std::make_unique<CsvSource>(std::move(options)); }

}  // namespace gnn_hpc
