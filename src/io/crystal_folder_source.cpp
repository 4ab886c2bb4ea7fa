// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>

#include "base/error.hpp"
#include "base/signals.hpp"
#include "io/crystal_sources.hpp"
#include "io/csv.hpp"

namespace gnn_hpc {
namespace {

namespace fs = std::filesystem;

/// A structure file of `folder` that `name` (a file name or an id) means; empty if there is none.
std::string find_structure(const fs::path& folder, const std::string& name) {
  const auto exists = [&](const std::string& file) {
    std::error_code error;
    return fs::is_regular_file(folder / file, error);
  };
  if (name.empty()) return {};
  if (exists(name)) return (folder / name).string();
  for (const char* tail : {".cif", ".vasp", ".poscar", ".extxyz", ".xyz", ".cif.gz", ".vasp.gz", ".POSCAR"}) {
    if (exists(name + tail)) return (folder / (name + tail)).string();
  }
  for (const char* tail : {"", ".vasp"}) {
    if (exists("POSCAR-" + name + tail)) return (folder / ("POSCAR-" + name + tail)).string();
  }
  return {};
}

/// Structure files one by one; with id_prop.csv its rows decide, their order and their values.
class FolderSource final : public CrystalSource {
 public:
  explicit FolderSource(CrystalSourceOptions options) : CrystalSource(std::move(options)) {
    if (options_.paths.size() != 1) throw Error(Exit::usage, "one folder is expected");
    folder_ = options_.paths[0];
    if (!fs::is_directory(folder_)) folder_ = folder_.parent_path();
    table_path_ = (folder_ / "id_prop.csv").string();
    if (!fs::exists(table_path_)) {
      throw Error(Exit::data,
                  fmt::format("{}: no id_prop.csv, so no targets; add it (id or file name, then the values)", folder_.string()));
    }
    read_header();
  }

  bool next(RawRecord& record) override {
    if (pending_) {
      pending_ = false;
    } else if (!reader_->next(row_)) {
      return false;
    }
    record.index = index_++;
    record.file = reader_->path();
    record.line = row_.line;
    record.text.clear();
    record.problem.clear();
    const std::string name = id_column_ < row_.size ? std::string(trim(row_.fields[id_column_])) : std::string();
    record.id = name.empty() ? fmt::format("row_{}", record.index) : name;
    record.path = find_structure(folder_, name);
    record.targets.assign(target_columns_.size(), {});
    for (std::size_t t = 0; t < target_columns_.size(); ++t) {
      if (target_columns_[t] < row_.size) record.targets[t] = row_.fields[target_columns_[t]];
    }
    const auto format = structure_format(record.path);
    if (record.path.empty()) {
      record.problem = fmt::format("no structure file for {} in {}", quote_for_message(name), folder_.string());
    } else if (!format) {
      record.path.clear();
      record.problem =
          fmt::format("{} has no known ending (.cif, .vasp, .poscar, .xyz, .extxyz, POSCAR*)", quote_for_message(name));
    } else {
      record.format = *format;
    }
    return true;
  }

  std::vector<std::string> files() const override {
    std::vector<std::string> out{table_path_};
    CsvReader reader(table_path_);
    CsvReader::Row row;
    for (bool first = has_header_; reader.next(row); first = false) {
      if (first || id_column_ >= row.size) continue;
      if (auto path = find_structure(folder_, std::string(trim(row.fields[id_column_]))); !path.empty())
        out.push_back(std::move(path));
    }
    return out;
  }
  double fraction_read() const override { return reader_->fraction_read(); }

 private:
  /// A header is a first row without a single number after the id that names no structure file.
  void read_header() {
    reader_ = std::make_unique<CsvReader>(table_path_);
    if (!reader_->next(row_)) throw Error(Exit::data, fmt::format("{}: the file is empty", table_path_));
    bool number = false;
    for (std::size_t c = 1; c < row_.size; ++c) number = number || parse_number(row_.fields[c]);
    const std::string first(trim(row_.fields[0]));
    has_header_ = !number && find_structure(folder_, first).empty();
    pending_ = !has_header_;
    id_column_ = 0;
    std::vector<std::string> names;
    for (std::size_t c = 0; c < row_.size; ++c) names.emplace_back(trim(row_.fields[c]));
    if (!has_header_) {
      // Without names the values belong to the requested targets by position.
      if (names.size() < 1 + options_.targets.size()) {
        throw Error(Exit::data, fmt::format("{}: {} values in a row without a header, but the targets are {}", table_path_,
                                            names.size() - 1, join_names(options_.targets)));
      }
      for (std::size_t t = 0; t < options_.targets.size(); ++t) target_columns_.push_back(1 + t);
      return;
    }
    const auto need = [&](const std::string& name) {
      const auto at = std::find(names.begin(), names.end(), name);
      if (at == names.end()) {
        throw Error(Exit::data,
                    fmt::format("{}:1: no column {} (columns: {})", table_path_, quote_for_message(name), join_names(names)));
      }
      return static_cast<std::size_t>(at - names.begin());
    };
    if (!options_.id_column.empty()) id_column_ = need(options_.id_column);
    for (const std::string& target : options_.targets) target_columns_.push_back(need(target));
  }

  fs::path folder_;
  std::string table_path_;
  std::unique_ptr<CsvReader> reader_;
  CsvReader::Row row_;
  bool has_header_ = false, pending_ = false;
  std::size_t id_column_ = 0;
  std::vector<std::size_t> target_columns_;
  std::int64_t index_ = 0;
};

class FilesSource final : public CrystalSource {
 public:
  FilesSource(CrystalSourceOptions options, std::vector<std::string> files)
      : CrystalSource(std::move(options)), files_(std::move(files)) {
    if (!options_.targets.empty()) {
      throw Error(Exit::data, fmt::format("structure files hold no targets, but {} is asked for; put the files into a folder with "
                                          "id_prop.csv, or use csv or extxyz",
                                          join_names(options_.targets)));
    }
  }
  bool next(RawRecord& record) override {
    if (at_ == files_.size()) return false;
    record.index = static_cast<std::int64_t>(at_);
    record.path = record.file = files_[at_++];
    record.id = file_stem(record.path);
    record.line = 1;
    record.text.clear();
    record.targets.clear();
    record.problem.clear();
    const auto by_name = structure_format(record.path);
    if (options_.format == "cif") record.format = CrystalFormat::cif;
    if (options_.format == "poscar") record.format = CrystalFormat::poscar;
    if (options_.format == "folder" && by_name) record.format = *by_name;
    return true;
  }
  std::vector<std::string> files() const override { return files_; }
  double fraction_read() const override {
    return files_.empty() ? 1 : static_cast<double>(at_) / static_cast<double>(files_.size());
  }

 private:
  std::vector<std::string> files_;
  std::size_t at_ = 0;
};

}  // namespace

std::unique_ptr<CrystalSource> open_folder_source(CrystalSourceOptions options) {
  const fs::path& path = options.paths.front();
  if (!options.targets.empty() || !fs::is_directory(path) || fs::exists(path / "id_prop.csv")) {
    return std::make_unique<FolderSource>(std::move(options));
  }
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    throw_if_stop_wanted(path.string());  // a million files on a busy file system
    if (entry.is_regular_file() && structure_format(entry.path().string())) files.push_back(entry.path().string());
  }
  if (files.empty())
    throw Error(Exit::data, fmt::format("{}: no structure files (*.cif, *.vasp, POSCAR*, *.xyz, ...)", path.string()));
  std::sort(files.begin(), files.end());  // a folder has no order of its own
  return std::make_unique<FilesSource>(std::move(options), std::move(files));
}

std::unique_ptr<CrystalSource> open_files_source(CrystalSourceOptions options) {
  auto files = options.paths;
  return std::make_unique<FilesSource>(std::move(options), std::move(files));
}

}  // namespace gnn_hpc
