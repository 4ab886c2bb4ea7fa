// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gnn_hpc {

/// A YAML text as plain values that still know where they stand, so that messages can name the line.
struct YamlTree {
  enum class Kind { none, scalar, list, map };
  Kind kind = Kind::none;
  std::string text;     ///< scalar: as written, quotes removed
  bool quoted = false;  ///< a quoted scalar is text, whatever it looks like
  int line = 0;         ///< from 1; 0: not in the file
  bool from_command_line = false;
  std::vector<std::string> keys;   ///< map: in file order, each once
  std::vector<YamlTree> children;  ///< map: one per key; list: the items

  const YamlTree* find(std::string_view key) const;
  YamlTree* find(std::string_view key);
  /// A few words for messages: `"abc"`, a list, a block, nothing.
  std::string describe() const;
  /// Flow-style YAML text that reads back as the same value.
  std::string flow() const;
};

/// Something wrong with the text that does not hinder reading on.
struct YamlProblem {
  int line = 0;
  std::string key, message;
};

/// Reads one YAML document whose top is a map (or nothing). Windows line ends and a UTF-8 byte order mark are accepted.
/// Duplicate keys, merge keys and keys that are no plain text go to `problems`; the first of two equal keys is kept.
/// Throws Error(Exit::usage), naming `name` and the line, for anything that is no YAML: tabs as indentation, UTF-16, bytes that
/// are no UTF-8, several documents, more than 100,000 values or 60 levels.
YamlTree read_yaml(const std::string& text, const std::string& name, std::vector<YamlProblem>& problems);

/// The value of `key=value`: flow YAML if it opens with one of [ { " ', else the plain text itself.
/// Throws Error(Exit::usage) if such flow YAML cannot be read.
YamlTree read_override(const std::string& value, const std::string& what);

/// `text` as a YAML scalar that reads back as the same text, quoted only where needed.
std::string yaml_scalar(std::string_view text);

/// Words that YAML readers (this or others) take for null, a flag or a number; such text must be quoted when written.
bool looks_typed(std::string_view text);

}  // namespace gnn_hpc
