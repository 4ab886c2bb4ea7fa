// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <deque>
#include <filesystem>
#include <optional>
#include <set>

#include "base/error.hpp"
#include "base/signals.hpp"
#include "io/cif_blocks.hpp"
#include "io/crystal_sources.hpp"
#include "io/csv.hpp"
#include "io/extxyz.hpp"

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

/// One structure of a file.
struct Part {
  std::string name;       ///< of the CIF block, or the number of the frame from 0
  std::string text;       ///< empty: the whole file, which `parse` reads
  std::int64_t line = 1;  ///< where it begins
  std::string problem;    ///< why it cannot be used
};

/// The structures of a file, at least one: blocks of a CIF, frames of an extended XYZ file.
std::vector<Part> parts_of(const std::string& path, CrystalFormat format) {
  std::vector<Part> out;
  try {
    if (format == CrystalFormat::cif) {
      const std::string text = read_text(path);
      for (CifBlock& block : split_cif(text)) out.push_back({std::move(block.name), std::string(block.text), block.line, {}});
      std::set<std::string> names;
      for (std::size_t b = 0; b < out.size(); ++b) {
        if (out[b].name.empty() || !names.insert(out[b].name).second) out[b].name = std::to_string(b + 1);
      }
    } else if (format == CrystalFormat::extxyz) {
      ExtxyzReader reader(path);
      for (ExtxyzReader::Frame frame; reader.next(&frame);) {
        out.push_back({std::to_string(out.size()), std::move(frame.text), frame.line, std::move(frame.problem)});
      }
    }
  } catch (const Error& error) {
    out.push_back({std::to_string(out.size()), {}, 1, error.what()});
  }
  if (out.empty()) out.emplace_back();
  return out;
}

void set_structure(const std::string& path, CrystalFormat format, Part part, RawRecord& record) {
  record.format = format;
  record.frame_has_targets = false;
  record.file = path;
  record.line = part.line;
  record.text = std::move(part.text);
  record.path = record.text.empty() ? path : std::string();
  record.problem = std::move(part.problem);
}

/// A folder with id_prop.csv: its rows decide, their order and their values.
class FolderSource final : public CrystalSource {
 public:
  explicit FolderSource(CrystalSourceOptions options) : CrystalSource(std::move(options)) {
    if (options_.paths.size() != 1) throw Error(Exit::usage, "one folder is expected");
    folder_ = options_.paths[0];
    if (!fs::is_directory(folder_)) folder_ = folder_.parent_path();
    table_path_ = (folder_ / "id_prop.csv").string();
    if (!fs::exists(table_path_)) {
      throw Error(Exit::data, fmt::format("{}: no id_prop.csv, so no targets; add it (id or file name, then the values)", folder_.string()));
    }
    read_header();
  }

  bool next(RawRecord& record) override {
    if (left_.empty()) {
      if (pending_) {
        pending_ = false;
      } else if (!reader_->next(row_)) {
        return false;
      }
      read_row(record);
    } else {
      record = std::move(left_.front());
      left_.pop_front();
    }
    record.index = index_++;
    return true;
  }

  std::vector<std::string> files() const override {
    std::vector<std::string> out{table_path_};
    each_name([&](const std::string& name) {
      if (auto path = locate(name).path; !path.empty()) out.push_back(std::move(path));
    });
    return out;
  }

  std::vector<std::string> notes() const override {
    std::set<std::string> used;
    each_name([&](const std::string& name) { used.insert(fs::path(locate(name).path).filename().string()); });
    std::vector<std::string> left;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      throw_if_stop_wanted(table_path_);
      const std::string name = entry.path().filename().string();
      if (entry.is_regular_file() && structure_format(name) && !used.count(name)) left.push_back(name);
    }
    if (left.empty()) return {};
    std::sort(left.begin(), left.end());
    return {fmt::format("{}: no row names {} of the structure files beside it: {}", table_path_, left.size(), join_names(left, 5))};
  }

  double fraction_read() const override { return reader_->fraction_read(); }

 private:
  struct Place {
    std::string path;   ///< empty: there is no such file
    std::string block;  ///< of it; empty: the first structure
  };

  /// `ID` or `ID#BLOCK`; a file whose own name holds a # is found first.
  Place locate(const std::string& name) const {
    if (auto path = find_structure(folder_, name); !path.empty()) return {std::move(path), {}};
    const std::size_t mark = name.rfind('#');
    if (mark == std::string::npos) return {};
    return {find_structure(folder_, name.substr(0, mark)), name.substr(mark + 1)};
  }

  /// Calls f(id) for every row.
  template <class F>
  void each_name(F&& f) const {
    CsvReader reader(table_path_);
    CsvReader::Row row;
    for (bool first = has_header_; reader.next(row); first = false) {
      if (!first && id_column_ < row.size) f(std::string(trim(row.fields[id_column_])));
    }
  }

  void read_row(RawRecord& record) {
    const std::string name = id_column_ < row_.size ? std::string(trim(row_.fields[id_column_])) : std::string();
    record.id = name.empty() ? fmt::format("row_{}", index_) : name;
    record.targets.assign(target_columns_.size(), {});
    for (std::size_t t = 0; t < target_columns_.size(); ++t) {
      if (target_columns_[t] < row_.size) record.targets[t] = row_.fields[target_columns_[t]];
    }
    record.file = table_path_;
    record.line = row_.line;
    record.path.clear();
    record.text.clear();
    record.problem = row_problem(row_, num_columns_, has_header_ ? "the header" : "the first row");
    if (!record.problem.empty()) return;
    const Place place = locate(name);
    const auto format = structure_format(place.path);
    if (place.path.empty()) {
      record.problem = fmt::format("no structure file for {} in {}", quote_for_message(name), folder_.string());
    } else if (!format) {
      record.problem = fmt::format("{} has no known ending (.cif, .vasp, .poscar, .xyz, .extxyz, POSCAR*)", quote_for_message(name));
    } else {
      take_part(place, *format, record);
    }
  }

  /// The structure that a row means. A row names one: those of the file that no row names are bad records of their own.
  void take_part(const Place& place, CrystalFormat format, RawRecord& record) {
    std::vector<Part> parts = parts_of(place.path, format);
    if (!place.block.empty()) {
      const auto part = std::find_if(parts.begin(), parts.end(), [&](const Part& p) { return p.name == place.block; });
      if (part == parts.end()) {
        record.problem = fmt::format("no structure called {} in {}", quote_for_message(place.block), place.path);
      } else {
        set_structure(place.path, format, std::move(*part), record);
      }
      return;
    }
    for (std::size_t p = 1; p < parts.size(); ++p) {
      if (!named_) {
        named_.emplace();
        each_name([&](const std::string& name) {
          const Place other = locate(name);
          if (!other.block.empty()) named_->insert(other.path + '#' + other.block);
        });
      }
      if (named_->count(place.path + '#' + parts[p].name)) continue;
      RawRecord left;
      left.id = fmt::format("{}#{}", record.id, parts[p].name);
      left.targets.assign(target_columns_.size(), {});
      set_structure(place.path, format, std::move(parts[p]), left);
      if (left.problem.empty()) {
        left.problem = fmt::format("structure {} of a file of which a row of id_prop.csv names the first; give {} a row of its own", p + 1,
                                   quote_for_message(left.id));
      }
      left_.push_back(std::move(left));
    }
    set_structure(place.path, format, std::move(parts[0]), record);
  }

  /// A header is a first row that holds the name of a target or of the id column, or one without a single number after the id that names no
  /// structure file. Without one the values belong to the targets by position, and there must be as many.
  void read_header() {
    reader_ = std::make_unique<CsvReader>(table_path_);
    if (!reader_->next(row_)) throw Error(Exit::data, fmt::format("{}: the file is empty", table_path_));
    const std::vector<std::string> names = column_names(row_);
    num_columns_ = names.size();
    bool number = false, asked = false;
    for (std::size_t c = 0; c < names.size(); ++c) {
      number = number || (c > 0 && parse_number(names[c]));
      asked = asked || (!names[c].empty() && names[c] == options_.id_column) ||
              (c > 0 && std::find(options_.targets.begin(), options_.targets.end(), names[c]) != options_.targets.end());
    }
    has_header_ = asked || (!number && locate(names[0]).path.empty());
    pending_ = !has_header_;
    id_column_ = 0;
    if (has_header_) {
      if (!options_.id_column.empty()) id_column_ = need_column(names, options_.id_column, table_path_, "set data.id_column");
      for (const std::string& target : options_.targets) {
        target_columns_.push_back(options_.targets_optional ? find_column(names, target, table_path_).value_or(num_columns_)
                                                            : need_column(names, target, table_path_, "set data.targets"));
      }
      return;
    }
    if (!options_.id_column.empty()) {
      throw Error(Exit::data, fmt::format("{}: no header, so no column {}; add a header line", table_path_, quote_for_message(options_.id_column)));
    }
    if (!options_.targets.empty() && names.size() != 1 + options_.targets.size()) {
      target_columns_.assign(options_.targets.size(), num_columns_);  // whose values they are cannot be known
      if (options_.targets_optional) return;
      throw Error(Exit::data,
                  fmt::format("{}: a row without a header has {} values, but the targets are {}; add a header line that names the columns",
                              table_path_, names.size() - 1, join_names(options_.targets)));
    }
    for (std::size_t t = 0; t < options_.targets.size(); ++t) target_columns_.push_back(1 + t);
  }

  fs::path folder_;
  std::string table_path_;
  std::unique_ptr<CsvReader> reader_;
  CsvReader::Row row_;
  bool has_header_ = false, pending_ = false;
  std::size_t id_column_ = 0, num_columns_ = 0;
  std::vector<std::size_t> target_columns_;  ///< `num_columns_`: no such column
  std::int64_t index_ = 0;
  std::deque<RawRecord> left_;                  ///< structures of the last row's file that no row names
  std::optional<std::set<std::string>> named_;  ///< "path#block" of the rows that name a block
};

/// Structure files without targets, every structure of each.
class FilesSource final : public CrystalSource {
 public:
  FilesSource(CrystalSourceOptions options, std::vector<std::string> files, std::vector<std::string> others)
      : CrystalSource(std::move(options)), files_(std::move(files)), others_(std::move(others)) {
    if (!options_.targets.empty() && !options_.targets_optional) {
      throw Error(Exit::data, fmt::format("structure files hold no targets, but {} is asked for; put the files into a folder with "
                                          "id_prop.csv, or use csv or extxyz",
                                          join_names(options_.targets)));
    }
  }
  bool next(RawRecord& record) override {
    while (next_part_ == parts_.size()) {
      if (at_ == files_.size()) return false;
      parts_ = parts_of(files_[at_], format_of(files_[at_]));
      next_part_ = 0;
      ++at_;
    }
    const std::string& path = files_[at_ - 1];
    Part& part = parts_[next_part_++];
    record.index = index_++;
    record.id = file_stem(path);
    if (parts_.size() > 1) record.id += '#' + part.name;
    record.targets.clear();
    set_structure(path, format_of(path), std::move(part), record);
    return true;
  }
  std::vector<std::string> files() const override { return files_; }
  std::vector<std::string> notes() const override {
    if (others_.empty()) return {};
    return {fmt::format("{}: {} files are no structures by their names: {}", options_.paths.front(), others_.size(), join_names(others_, 5))};
  }
  double fraction_read() const override {
    if (at_ == files_.size() && next_part_ == parts_.size()) return 1;
    return static_cast<double>(at_) / static_cast<double>(files_.size());
  }

 private:
  CrystalFormat format_of(const std::string& path) const {
    if (options_.format == "cif") return CrystalFormat::cif;
    if (options_.format == "poscar") return CrystalFormat::poscar;
    return structure_format(path).value_or(CrystalFormat::cif);
  }

  std::vector<std::string> files_, others_;
  std::vector<Part> parts_;  ///< of the file before at_
  std::size_t at_ = 0, next_part_ = 0;
  std::int64_t index_ = 0;
};

}  // namespace

std::unique_ptr<CrystalSource> open_folder_source(CrystalSourceOptions options) {
  const fs::path& path = options.paths.front();
  const bool needs_table = !options.targets.empty() && !options.targets_optional;
  if (needs_table || !fs::is_directory(path) || fs::exists(path / "id_prop.csv")) {
    return std::make_unique<FolderSource>(std::move(options));
  }
  std::vector<std::string> files, others;
  for (const auto& entry : fs::directory_iterator(path)) {
    throw_if_stop_wanted(path.string());  // a million files on a busy file system
    if (!entry.is_regular_file()) continue;
    if (structure_format(entry.path().string()))
      files.push_back(entry.path().string());
    else
      others.push_back(entry.path().filename().string());
  }
  std::sort(others.begin(), others.end());
  if (files.empty() && !options.targets_optional)  // an empty list has an empty prediction
    throw Error(Exit::data, fmt::format("{}: no structure files (*.cif, *.vasp, POSCAR*, *.xyz, ...)", path.string()));
  std::sort(files.begin(), files.end());  // a folder has no order of its own
  return std::make_unique<FilesSource>(std::move(options), std::move(files), std::move(others));
}

std::unique_ptr<CrystalSource> open_files_source(CrystalSourceOptions options) {
  auto files = options.paths;
  return std::make_unique<FilesSource>(std::move(options), std::move(files), std::vector<std::string>{});
}

}  // namespace gnn_hpc
