// SPDX-License-Identifier: Apache-2.0
#include "io/crystal_source.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "base/error.hpp"
#include "io/cif.hpp"
#include "io/crystal_sources.hpp"
#include "io/csv.hpp"
#include "io/extxyz.hpp"
#include "io/poscar.hpp"
#include "io/text_source.hpp"

namespace gnn_hpc {
namespace {

namespace fs = std::filesystem;

/// Text of the requested targets to numbers. A record is bad if all are missing; with several, one may be NaN. Optional targets
/// never make a record bad.
void read_targets(const CrystalSourceOptions& options, const std::vector<std::string>& raw, const std::vector<std::string>* found, Crystal& out) {
  out.targets.assign(options.targets.size(), std::numeric_limits<double>::quiet_NaN());
  std::size_t missing = 0;
  for (std::size_t t = 0; t < options.targets.size(); ++t) {
    const std::string_view text = t < raw.size() ? trim(raw[t]) : std::string_view{};
    if (is_missing_value(text)) {
      ++missing;
      continue;
    }
    const auto value = parse_number(text);
    if (options.targets_optional && !(value && std::isfinite(*value))) continue;
    if (!value) throw Error(Exit::data, fmt::format("target {} is {}", options.targets[t], no_number(text)));
    if (!std::isfinite(*value)) {
      throw Error(Exit::data, fmt::format("target {} is not finite: {}", options.targets[t], quote_for_message(text)));
    }
    out.targets[t] = *value;
  }
  if (missing == options.targets.size() && missing > 0 && !options.targets_optional) {
    throw Error(Exit::data, fmt::format("missing target {}{}", join_names(options.targets),
                                        found ? fmt::format(" (found: {})", join_names(*found)) : std::string()));
  }
}

void parse_frame(const RawRecord& record, const std::string& text, const CrystalSourceOptions& options, Crystal& out) {
  std::vector<std::string> raw, found;
  const bool own = record.frame_has_targets;
  parse_extxyz(text, own ? options.targets : std::vector<std::string>{}, options.id_column, options.non_periodic == "box", out, raw, found);
  if (!own) out.id = record.id;  // id_prop.csv names its structures
  read_targets(options, own ? raw : record.targets, own ? &found : nullptr, out);
}

}  // namespace

std::optional<CrystalFormat> structure_format(const std::string& path) {
  std::string name = fs::path(path).filename().string();
  if (ends_with_any_case(name, ".gz")) name.resize(name.size() - 3);
  const auto ends = [&](std::string_view tail) { return ends_with_any_case(name, tail); };
  if (ends(".cif")) return CrystalFormat::cif;
  if (ends(".xyz") || ends(".extxyz")) return CrystalFormat::extxyz;
  if (ends(".vasp") || ends(".poscar") || name.starts_with("POSCAR") || name.starts_with("CONTCAR")) return CrystalFormat::poscar;
  return std::nullopt;
}

std::string file_stem(const std::string& path) {
  fs::path name = fs::path(path).filename();
  if (ends_with_any_case(name.string(), ".gz")) name = name.stem();
  return name.stem().string();
}

std::variant<Crystal, BadRecord> CrystalSource::parse(const RawRecord& record) const {
  Crystal out;
  out.id = record.id;
  out.file = record.path.empty() ? record.file : record.path;
  out.line = record.path.empty() ? record.line : 1;
  try {
    if (!record.problem.empty()) throw Error(Exit::data, record.problem);
    std::string content;
    if (!record.path.empty()) content = read_text(record.path);
    const std::string& text = record.path.empty() ? record.text : content;
    switch (record.format) {
      case CrystalFormat::cif:
        parse_cif(text, out);
        break;
      case CrystalFormat::poscar:
        parse_poscar(text, out);
        break;
      case CrystalFormat::extxyz:
        parse_frame(record, text, options_, out);
        break;
    }
    if (record.format != CrystalFormat::extxyz) read_targets(options_, record.targets, nullptr, out);
    return out;
  } catch (const std::exception& error) {
    // Whatever is wrong with one record, and only that, is its reason.
    return BadRecord{std::move(out.id), std::move(out.file), out.line, error.what()};
  }
}

std::unique_ptr<CrystalSource> CrystalSource::open(const CrystalSourceOptions& given) {
  CrystalSourceOptions options = given;
  if (options.paths.empty()) throw Error(Exit::usage, "no input file or folder is named");
  for (const std::string& path : options.paths) {
    std::error_code ignored;
    if (!fs::exists(path, ignored)) throw Error(Exit::data, fmt::format("{}: no such file or folder", path));
  }
  const std::string& first = options.paths.front();
  std::string plain = first;
  if (ends_with_any_case(plain, ".gz")) plain.resize(plain.size() - 3);
  if (options.format == "auto") {
    const auto structure = structure_format(first);
    if (fs::is_directory(first)) {
      options.format = "folder";
    } else if (ends_with_any_case(plain, ".csv")) {
      options.format = fs::path(first).filename() == "id_prop.csv" ? "folder" : "csv";
    } else if (structure == CrystalFormat::extxyz) {
      options.format = "extxyz";
    } else if (structure == CrystalFormat::cif) {
      options.format = "cif";
    } else if (structure == CrystalFormat::poscar) {
      options.format = "poscar";
    } else {
      throw Error(Exit::data, fmt::format("{}: the name does not tell the format; set it to csv, folder, extxyz, cif or poscar", first));
    }
  }
  if (!options.index.empty() && options.format != "extxyz") {
    throw Error(Exit::usage, fmt::format("index {} selects frames of an extxyz file; this input is {}", options.index, options.format));
  }
  if (options.format == "csv") return open_csv_source(std::move(options));
  if (options.format == "extxyz") return open_extxyz_source(std::move(options));
  if (options.format == "folder") return open_folder_source(std::move(options));
  if (options.format == "cif" || options.format == "poscar") return open_files_source(std::move(options));
  throw Error(Exit::usage, fmt::format("format {} is unknown; use auto, csv, folder, extxyz, cif or poscar", options.format));
}

}  // namespace gnn_hpc
