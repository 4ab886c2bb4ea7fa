// SPDX-License-Identifier: Apache-2.0
#include "base/yaml_tree.hpp"

#include "base/error.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string_view>
#include <unordered_map>

namespace gnn_hpc {

namespace {

constexpr int kMaxDepth = 60;
constexpr int kMaxValues = 100000;  // aliases of aliases grow exponentially

[[noreturn]] void refuse(const std::string& name, int line, const std::string& why) {
  throw Error(Exit::usage, line > 0 ? fmt::format("{}:{}: {}", name, line, why) : fmt::format("{}: {}", name, why));
}

/// Length of the UTF-8 sequence at `i`, 0 if malformed.
std::size_t utf8_length(std::string_view s, std::size_t i) {
  const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(s[k]); };
  const unsigned char c = byte(i);
  const std::size_t n = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
  if (n == 0 || i + n > s.size()) return 0;
  for (std::size_t k = 1; k < n; ++k) {
    if ((byte(i + k) & 0xC0) != 0x80) return 0;
  }
  return n;
}

/// Checks what yaml-cpp would report in words that help nobody, and normalises line ends.
std::string clean_text(std::string_view text, const std::string& name) {
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    refuse(name, 1, "this is UTF-16 text; save the file as UTF-8");
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::string out;
  out.reserve(text.size());
  int line = 1;
  bool at_start = true;
  for (std::size_t i = 0; i < text.size();) {
    const char ch = text[i];
    if (ch == '\r' && i + 1 < text.size() && text[i + 1] == '\n') {
      ++i;
      continue;
    }
    if (ch == '\r') refuse(name, line, "carriage return inside a line; save the file with LF or CRLF line ends");
    if (ch == '\0') refuse(name, line, "a zero byte: this is no text file");
    if (ch == '\t' && at_start) {
      const std::size_t next = text.find_first_not_of(" \t", i);
      const bool blank = next == std::string_view::npos || text[next] == '\n' || text[next] == '\r' || text[next] == '#';
      if (!blank) refuse(name, line, "a tab in the indentation; YAML allows only spaces there");
    }
    const std::size_t n = utf8_length(text, i);
    if (n == 0) refuse(name, line, "bytes that are no UTF-8; save the file as UTF-8");
    out.append(text.substr(i, n));
    i += n;
    if (ch == '\n') {
      ++line;
      at_start = true;
    } else if (ch != ' ' && ch != '\t') {
      at_start = false;
    }
  }
  return out;
}

class Converter {
 public:
  Converter(const std::string& name, std::vector<YamlProblem>& problems) : name_(name), problems_(problems) {}

  YamlTree convert(const YAML::Node& node, const std::string& path, int depth) {
    YamlTree out;
    out.line = node.Mark().is_null() ? 0 : node.Mark().line + 1;
    if (depth > kMaxDepth) refuse(name_, out.line, fmt::format("nested more than {} levels deep", kMaxDepth));
    if (++count_ > kMaxValues) refuse(name_, out.line, fmt::format("more than {} values", kMaxValues));
    switch (node.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        break;
      case YAML::NodeType::Scalar:
        out.kind = YamlTree::Kind::scalar;
        out.text = node.Scalar();
        out.quoted = node.Tag() == "!";
        break;
      case YAML::NodeType::Sequence:
        out.kind = YamlTree::Kind::list;
        for (const auto& item : node) out.children.push_back(convert(item, path, depth + 1));
        break;
      case YAML::NodeType::Map:
        convert_map(node, path, depth, out);
        break;
    }
    return out;
  }

 private:
  void convert_map(const YAML::Node& node, const std::string& path, int depth, YamlTree& out) {
    out.kind = YamlTree::Kind::map;
    std::unordered_map<std::string_view, int> first_line;  // a list of keys would make many keys quadratic
    for (const auto& item : node) {
      const int line = item.first.Mark().line + 1;
      if (!item.first.IsScalar()) {
        problems_.push_back({line, path, "a key must be a word"});
        continue;
      }
      const std::string& key = item.first.Scalar();
      const std::string key_path = path.empty() ? key : path + "." + key;
      if (key == "<<") {
        problems_.push_back({line, key_path, "merge keys are not supported; write the keys out"});
        continue;
      }
      const auto [seen, is_new] = first_line.emplace(key, line);  // the text lives as long as the document
      if (!is_new) {
        problems_.push_back({line, key_path, fmt::format("key given twice (first in line {}); remove one", seen->second)});
        continue;
      }
      out.keys.push_back(key);
      out.children.push_back(convert(item.second, key_path, depth + 1));
      out.children.back().line = line;  // a value may begin on a later line; a reader looks for the key
    }
  }

  const std::string& name_;
  std::vector<YamlProblem>& problems_;
  int count_ = 0;
};

}  // namespace

const YamlTree* YamlTree::find(std::string_view key) const {
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (keys[i] == key) return &children[i];
  }
  return nullptr;
}
YamlTree* YamlTree::find(std::string_view key) { return const_cast<YamlTree*>(std::as_const(*this).find(key)); }

std::string YamlTree::describe() const {
  switch (kind) {
    case Kind::none:
      return "nothing";
    case Kind::scalar: {
      std::string shown = text.size() > 60 ? text.substr(0, 57) + "..." : text;
      std::replace(shown.begin(), shown.end(), '\n', ' ');
      return quoted ? fmt::format("the text '{}'", shown) : fmt::format("'{}'", shown);
    }
    case Kind::list:
      return fmt::format("a list of {}", children.size());
    case Kind::map:
      return "a block of keys";
  }
  return {};
}

std::string YamlTree::flow() const {
  std::string out;
  switch (kind) {
    case Kind::none:
      return "null";
    case Kind::scalar: {
      if (quoted) return looks_typed(text) ? "\"" + text + "\"" : yaml_scalar(text);
      return looks_typed(text) ? text : yaml_scalar(text);
    }
    case Kind::list:
      for (const YamlTree& item : children) out += (out.empty() ? "" : ", ") + item.flow();
      return "[" + out + "]";
    case Kind::map:
      for (std::size_t i = 0; i < keys.size(); ++i) {
        out += (out.empty() ? "" : ", ") + yaml_scalar(keys[i]) + ": " + children[i].flow();
      }
      return "{" + out + "}";
  }
  return out;
}

YamlTree read_yaml(const std::string& text, const std::string& name, std::vector<YamlProblem>& problems) {
  const std::string clean = clean_text(text, name);
  std::vector<YAML::Node> documents;
  try {
    documents = YAML::LoadAll(clean);
  } catch (const YAML::Exception& e) {
    refuse(name, e.mark.is_null() ? 0 : e.mark.line + 1, fmt::format("not YAML: {}", e.msg));
  }
  if (documents.size() > 1) {
    refuse(name, documents[1].Mark().is_null() ? 0 : documents[1].Mark().line + 1, "a second YAML document; one per file");
  }
  YamlTree root;
  if (!documents.empty()) root = Converter(name, problems).convert(documents[0], "", 0);
  if (root.kind != YamlTree::Kind::map && root.kind != YamlTree::Kind::none) {
    refuse(name, root.line, fmt::format("found {}, expected `key: value` lines", root.describe()));
  }
  root.kind = YamlTree::Kind::map;
  root.line = 0;  // a missing block is missing from the file, not from its first line
  return root;
}

namespace {
void mark_command_line(YamlTree& tree) {
  tree.line = 0;
  tree.from_command_line = true;
  for (YamlTree& child : tree.children) mark_command_line(child);
}
}  // namespace

YamlTree read_override(const std::string& value, const std::string& what) {
  YamlTree out;
  if (!value.empty() && std::string_view("[{\"'").find(value.front()) != std::string_view::npos) {
    std::vector<YamlProblem> problems;
    try {
      out = Converter(what, problems).convert(YAML::Load(clean_text(value, what)), "", 0);
    } catch (const YAML::Exception& e) {
      refuse(what, 0, fmt::format("not YAML: {}", e.msg));
    }
    if (!problems.empty()) refuse(what, 0, fmt::format("{}: {}", problems[0].key, problems[0].message));
  } else {
    out.kind = YamlTree::Kind::scalar;
    out.text = value;
  }
  mark_command_line(out);
  return out;
}

bool looks_typed(std::string_view text) {
  static constexpr std::string_view kWords[] = {"null", "~", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", "-.inf", ".nan"};
  std::string lower(text);
  for (char& ch : lower) ch = static_cast<char>(std::tolower(static_cast<unsigned char>(ch)));
  if (std::find(std::begin(kWords), std::end(kWords), lower) != std::end(kWords)) return true;
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  double number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return !digits.empty() && end == digits.data() + digits.size() && error != std::errc::invalid_argument;
}

std::string yaml_scalar(std::string_view text) {
  const auto plain = [](char ch) {
    return std::isalnum(static_cast<unsigned char>(ch)) != 0 || std::string_view("_-./+()@%^=~<> ").find(ch) != std::string_view::npos;
  };
  const bool safe = !text.empty() && std::all_of(text.begin(), text.end(), plain) && !looks_typed(text) &&
                    std::string_view("-@%=~<> ").find(text.front()) == std::string_view::npos && text.back() != ' ';
  if (safe) return std::string(text);
  std::string out = "\"";
  for (const char ch : text) {
    if (ch == '"' || ch == '\\') out += '\\';
    if (ch == '\n') {
      out += "\\n";
    } else if (ch == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(ch) < 0x20) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(ch)));
    } else {
      out += ch;
    }
  }
  return out + "\"";
}

}  // namespace gnn_hpc
