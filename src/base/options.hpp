// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gnn_hpc {

struct YamlTree;

/// Interval of allowed numbers, with the words an error message uses for it.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false, high_open = false;
  bool contains(double x) const {
    return (low_open ? x > low : x >= low) && (high_open ? x < high : x <= high);  // false for NaN
  }
  std::string describe() const;  ///< e.g. "> 0", "in [0, 1)"
};
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr Range positive{0.0, kInfinity, true, false};
inline constexpr Range non_negative{0.0, kInfinity, false, false};
inline constexpr Range at_least_one{1.0, kInfinity, false, false};
inline constexpr Range unit_interval{0.0, 1.0, false, false};  ///< [0, 1]
inline constexpr Range open_fraction{0.0, 1.0, true, true};    ///< (0, 1)
inline constexpr Range below_one{0.0, 1.0, false, true};       ///< [0, 1)
inline constexpr Range any_number{};

/// One block of the input file, read key by key into plain structs whose members hold the defaults:
/// @code
///   node.number("learning_rate", o.learning_rate, positive, "peak rate after warm-up");
///   node.done();   // inputs/x.yaml:14: train.learning_rte: unknown key (did you mean learning_rate?)
/// @endcode
/// A missing key leaves the default. Problems (wrong type, out of range, unknown or duplicate key) are collected with file,
/// line and the nearest key, and thrown all at once by `finish()`. Every value read, defaults included, is recorded for
/// `resolved()`. A schema Config reads nothing and records every key with its default and meaning instead.
/// Cheap to copy; copies share one document.
class Config {
 public:
  /// Overrides are `dotted.key=value` texts with the same checks as the file ("command line" is named in messages).
  /// Throws Error(Exit::data) if the file cannot be read, Error(Exit::usage) if it is no YAML. Later overrides win.
  static Config from_file(const std::string& path, const std::vector<std::string>& overrides = {});
  static Config from_text(const std::string& text, const std::string& name, const std::vector<std::string>& overrides = {});
  static Config for_schema();

  void text(std::string_view key, std::string& value, std::string_view doc);
  void choice(std::string_view key, std::string& value, const std::vector<std::string>& allowed, std::string_view doc);
  void number(std::string_view key, double& value, const Range& range, std::string_view doc);
  void number(std::string_view key, int& value, const Range& range, std::string_view doc);
  void number(std::string_view key, std::int64_t& value, const Range& range, std::string_view doc);
  void flag(std::string_view key, bool& value, std::string_view doc);
  /// A list, or a single value standing for a list of one.
  void list(std::string_view key, std::vector<std::string>& value, std::string_view doc);
  void list(std::string_view key, std::vector<double>& value, const Range& range, std::string_view doc);
  void list(std::string_view key, std::vector<std::int64_t>& value, const Range& range, std::string_view doc);
  /// Text that names an existing file or folder: relative paths start at the working directory or, where nothing of that name
  /// is there, at the folder of the input file. Whether it exists is the reader's business.
  void path(std::string_view key, std::string& value, std::string_view doc);
  void paths(std::string_view key, std::vector<std::string>& value, std::string_view doc);
  /// A nested block; empty if absent.
  Config block(std::string_view key, std::string_view doc);

  /// A list of blocks, one Config each, empty if absent; a single block stands for a list of one. Of a schema: none.
  std::vector<Config> blocks(std::string_view key, std::string_view doc);

  /// Any value as it stands, for blocks whose keys are not known beforehand (`sweep.keys`); nullptr if absent.
  const YamlTree* tree(std::string_view key, std::string_view doc);

  bool has(std::string_view key) const;
  /// True if the value of `key` is a block.
  bool is_block(std::string_view key) const;
  /// Reports a problem of `key` (e.g. two options that exclude each other).
  void problem(std::string_view key, const std::string& message);
  /// Call after the last key of the block: any key not asked for (by then or later, from another copy) is a problem.
  void done();
  /// Throws Error(Exit::usage) with the problems of the document, one a line: the first 50 and the number of the rest.
  void finish() const;

  /// All values read so far as YAML text, in order of reading.
  std::string resolved() const;
  /// For a schema Config: every key with default, allowed values and meaning, as commented YAML that reads back as the defaults.
  std::string schema_text() const;
  bool is_schema() const;

 private:
  struct Document;
  struct Node;
  struct Entry;
  Config(std::shared_ptr<Document> document, Node* node);
  Entry& record(std::string_view key, std::string_view doc);
  const YamlTree* value_of(std::string_view key) const;
  void mismatch(std::string_view key, const YamlTree& found, const std::string& allowed, const std::string& hint = {});
  std::string located(const std::string& path) const;
  static void print(const Node& node, int depth, bool documented, std::string& out);
  template <class Number>
  void read_number(std::string_view key, Number& value, const Range& range, std::string_view doc);
  template <class Number>
  void read_numbers(std::string_view key, std::vector<Number>& value, const Range& range, std::string_view doc);
  std::shared_ptr<Document> document_;
  Node* node_ = nullptr;
};

/// The bytes of a file of at most 64 MiB. Throws Error(Exit::data) with the reason of the system.
std::string read_text_file(const std::string& path);

}  // namespace gnn_hpc
