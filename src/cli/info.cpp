// SPDX-License-Identifier: Apache-2.0
#include "cli/info.hpp"

#include "base/text.hpp"
#include "io/hdf5.hpp"
#include "io/seal.hpp"

#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>

namespace gnn_hpc {

namespace {

constexpr std::int64_t kFewNumbers = 8;
constexpr std::size_t kLongText = 70;

bool is_number(const Hdf5Reader& file, const std::string& dataset) { return !file.is_text(dataset); }

/// A text, or a few numbers; empty if the dataset is larger.
std::string short_value(const Hdf5Reader& file, const std::string& dataset) {
  const Shape shape = file.shape(dataset);
  if (file.is_text(dataset)) {
    if (!shape.empty() && (shape.size() > 1 || shape[0] > kFewNumbers)) return {};
    if (!shape.empty()) {
      std::vector<std::string> shown;
      for (const std::string& text : file.read_texts(dataset)) shown.push_back(printable_name(text));
      return fmt::format("[{}]", fmt::join(shown, ", "));
    }
    const std::string text = file.read_text(dataset);
    if (text.find('\n') != std::string::npos) {
      return fmt::format("{} lines (--full shows them)", std::count(text.begin(), text.end(), '\n'));
    }
    return printable(text, kLongText);
  }
  if (element_count(shape) > kFewNumbers || shape.size() > 1) return {};
  const std::vector<double> values = file.read<double>(dataset);
  return shape.empty() ? fmt::format("{}", values.at(0)) : fmt::format("[{}]", fmt::join(values, ", "));
}

std::string kind_of(const Hdf5Reader& file) {
  if (file.has_attribute("/", "kind") && file.has_attribute("/", "system")) {
    return fmt::format("golden data, kind {}, system {}", file.attribute_text("/", "kind"), file.attribute_text("/", "system"));
  }
  if (file.exists("/Info/kind") && !file.is_group("/Info/kind")) return file.read_text("/Info/kind");
  if (file.exists("/Info") && file.has_attribute("/Info", "kind")) return "graph cache of " + file.attribute_text("/Info", "kind") + "s";
  return "HDF5 file of another program";
}

void print_attributes(const Hdf5Reader& file, const std::string& object, std::ostream& out) {
  for (const std::string& name : file.attributes(object)) {
    const std::string value = file.attribute_is_text(object, name) ? file.attribute_text(object, name)
                                                                   : fmt::format("{}", fmt::join(file.attribute_numbers(object, name), ", "));
    fmt::print(out, "  {:<27} {}\n", object == "/" ? name : fmt::format("{}@{}", object.substr(1), name), printable(value));
  }
}

/// "/params/fc.0.weight" -> "/params", "/state/step" -> "/state", "/config" -> "/".
std::string group_of(const std::string& dataset) {
  const std::size_t slash = dataset.rfind('/');
  return slash == 0 ? "/" : dataset.substr(0, slash);
}

}  // namespace

void print_file(const std::string& path, bool full, std::ostream& out) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    throw Error(Exit::data, fmt::format("'{}' is a folder; name a file, e.g. its checkpoints/best.h5", path));
  }
  const Hdf5Reader file(path, SealCheck::if_sealed);
  const bool sealed = check_seal(path) == SealState::good;
  fmt::print(out, "{}: {}, {}{}\n", path, kind_of(file), format_bytes(static_cast<double>(std::filesystem::file_size(path))),
             sealed ? ", checksums verified" : "");
  print_attributes(file, "/", out);
  if (file.exists("/Info")) print_attributes(file, "/Info", out);
  if (file.exists("/config") && file.is_group("/config")) print_attributes(file, "/config", out);

  struct Sum {
    std::int64_t tensors = 0, values = 0, bytes = 0;
  };
  std::map<std::string, Sum> sums;
  for (const std::string& dataset : file.datasets()) {
    const Shape shape = file.shape(dataset);
    const std::string value = short_value(file, dataset);
    const std::string group = group_of(dataset);
    const bool is_note = group == "/" || group == "/state" || group == "/config" || group.starts_with("/Info") || group == "/data_state";
    if (is_number(file, dataset) && (value.empty() || !is_note)) {
      Sum& sum = sums[group];
      const std::int64_t count = element_count(shape);
      ++sum.tensors;
      sum.values += count;
      sum.bytes += count * static_cast<std::int64_t>(size_of(file.dtype(dataset)));
      if (full) fmt::print(out, "  {:<50} {} [{}]\n", dataset, name_of(file.dtype(dataset)), fmt::join(shape, ", "));
    } else if (!value.empty()) {
      fmt::print(out, "  {:<27} {}\n", dataset.substr(1), value);
      if (full && value.ends_with("(--full shows them)")) fmt::print(out, "{}\n", printable(file.read_text(dataset), 0, LineEnds::keep));
    } else if (full) {
      fmt::print(out, "  {:<50} text [{}]\n", dataset, fmt::join(shape, ", "));
    }
  }
  if (sums.empty()) return;
  fmt::print(out, "\n  {:<28}{:>8} {:>16} {:>12}\n", "group", "tensors", "values", "size");
  for (const auto& [group, sum] : sums) {
    fmt::print(out, "  {:<28}{:>8} {:>16} {:>12}\n", group, sum.tensors, format_count(sum.values), format_bytes(static_cast<double>(sum.bytes)));
  }
}

}  // namespace gnn_hpc
