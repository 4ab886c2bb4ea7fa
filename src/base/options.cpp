// SPDX-License-Identifier: Apache-2.0
#include "base/options.hpp"

#include "base/error.hpp"
#include "base/foreign_keys.hpp"
#include "base/text.hpp"
#include "base/yaml_tree.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>
#include <unordered_set>

namespace gnn_hpc {

std::string Range::describe() const {
  const bool below = low == -kInfinity, above = high == kInfinity;
  if (below && above) return "";
  if (above) return fmt::format("{} {}", low_open ? ">" : ">=", low);
  if (below) return fmt::format("{} {}", high_open ? "<" : "<=", high);
  return fmt::format("in {}{}, {}{}", low_open ? "(" : "[", low, high, high_open ? ")" : "]");
}

/// One key as it was read.
struct Config::Entry {
  std::string key, doc, allowed;
  std::string value;                         ///< YAML text: default or what was given
  std::unique_ptr<Node> child;               ///< a block
  std::vector<std::unique_ptr<Node>> items;  ///< a list of blocks
};

struct Config::Node {
  std::string path;                ///< "" for the top, else "train" or "train.optimizer"
  const YamlTree* tree = nullptr;  ///< the block in the file; nullptr if absent
  std::vector<std::unique_ptr<Entry>> entries;
  bool closed = false;  ///< `done` was called: keys nobody asked for are problems
};

struct Config::Document {
  struct Problem {
    int line;  ///< 0: none
    bool from_command_line;
    std::string key, message;
  };
  std::string name;
  bool schema = false;
  YamlTree tree;
  Node root;
  std::vector<Problem> problems;

  std::string where(const Problem& p) const {
    std::string place = p.from_command_line ? "command line" : p.line > 0 ? fmt::format("{}:{}", name, p.line) : name;
    return p.key.empty() ? place : place + ": " + p.key;
  }
};

namespace {

std::string dotted(const std::string& path, std::string_view key) { return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key); }

std::string number_text(double x) { return std::isinf(x) ? (x > 0 ? ".inf" : "-.inf") : fmt::format("{}", x); }
std::string number_text(std::int64_t x) { return fmt::format("{}", x); }

/// "a number > 0", "an integer", "numbers in [0, 1]".
std::string allowed_text(const char* what, const Range& range) {
  const std::string interval = range.describe();
  return interval.empty() ? what : fmt::format("{} {}", what, interval);
}

/// Reads a decimal number (an integer if `Number` is one); `hint` may name the remedy of a failure.
template <class Number>
bool parse_number(const YamlTree& tree, Number& out, std::string& hint) {
  if (tree.kind != YamlTree::Kind::scalar) return false;
  if (tree.quoted) {
    hint = "remove the quotes";
    return false;
  }
  std::string_view s = tree.text;
  if (s.starts_with('+') && s.size() > 1 && s[1] != '-') s.remove_prefix(1);
  const char* first = s.data();
  const char* last = first + s.size();
  // from_chars would also read "inf", "nan" and stop before "0x10" or "1d5".
  const bool digits = s.find_first_not_of("0123456789+-.eE") == std::string_view::npos;
  double real = 0;
  const auto [end, error] = std::from_chars(first, last, real);
  const bool is_real = digits && !s.empty() && end == last;
  if (is_real && error == std::errc::result_out_of_range) {
    hint = "out of the range of double precision";
    return false;
  }
  if (!is_real || error != std::errc()) return false;
  if constexpr (std::is_same_v<Number, double>) {
    out = real;
    return true;
  } else {
    std::int64_t whole = 0;
    const auto [end_int, error_int] = std::from_chars(first, last, whole);
    if (error_int == std::errc() && end_int == last && whole >= std::numeric_limits<Number>::min() && whole <= std::numeric_limits<Number>::max()) {
      out = static_cast<Number>(whole);
      return true;
    }
    if (end_int == last) {
      hint = fmt::format("the largest is {}", std::numeric_limits<Number>::max());
    } else if (real == std::floor(real) && std::abs(real) < 9e15) {
      hint = fmt::format("write {}", static_cast<std::int64_t>(real));
    }
    return false;
  }
}

constexpr std::string_view kListOfBlocks = "list of blocks";

void apply_override(YamlTree& root, const std::string& text, std::vector<std::pair<std::string, std::string>>& problems) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    problems.emplace_back("", fmt::format("'{}' is no override; write block.key=value", text));
    return;
  }
  const std::string key = text.substr(0, equals);
  const std::vector<std::string> parts = split(key, '.');
  if (std::any_of(parts.begin(), parts.end(), [](const std::string& p) { return p.empty(); })) {
    problems.emplace_back("", fmt::format("'{}': empty part in the key; write block.key=value", text));
    return;
  }
  YamlTree value;
  try {
    value = read_override(text.substr(equals + 1), key);
  } catch (const Error& e) {
    problems.emplace_back("", e.what());
    return;
  }
  YamlTree* node = &root;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (node->kind == YamlTree::Kind::none) node->kind = YamlTree::Kind::map;
    if (node->kind != YamlTree::Kind::map) {
      const std::string block = join(std::span(parts).first(i), ".");
      problems.emplace_back(key, fmt::format("{} is {}, not a block", block, node->describe()));
      return;
    }
    YamlTree* next = node->find(parts[i]);
    if (next == nullptr) {
      node->keys.push_back(parts[i]);
      node->children.emplace_back();
      next = &node->children.back();
      next->from_command_line = true;
    }
    node = next;
  }
  *node = std::move(value);
}

}  // namespace

Config::Config(std::shared_ptr<Document> document, Node* node) : document_(std::move(document)), node_(node) {}

Config Config::from_text(const std::string& text, const std::string& name, const std::vector<std::string>& overrides) {
  auto document = std::make_shared<Document>();
  document->name = name;
  std::vector<YamlProblem> problems;
  document->tree = read_yaml(text, name, problems);
  for (YamlProblem& p : problems) document->problems.push_back({p.line, false, std::move(p.key), std::move(p.message)});
  std::vector<std::pair<std::string, std::string>> bad;
  for (const std::string& o : overrides) apply_override(document->tree, o, bad);
  for (auto& [key, message] : bad) document->problems.push_back({0, true, key, message});
  document->root.tree = &document->tree;
  Node* root = &document->root;
  return Config(std::move(document), root);
}

Config Config::from_file(const std::string& path, const std::vector<std::string>& overrides) {
  return from_text(read_text_file(path), path, overrides);
}

Config Config::for_schema() {
  auto document = std::make_shared<Document>();
  document->schema = true;
  Node* root = &document->root;
  return Config(std::move(document), root);
}

bool Config::is_schema() const { return document_->schema; }

const YamlTree* Config::value_of(std::string_view key) const { return node_->tree ? node_->tree->find(key) : nullptr; }

bool Config::has(std::string_view key) const { return value_of(key) != nullptr; }

bool Config::is_block(std::string_view key) const {
  const YamlTree* found = value_of(key);
  return found != nullptr && found->kind == YamlTree::Kind::map;
}

Config::Entry& Config::record(std::string_view key, std::string_view doc) {
  for (auto& entry : node_->entries) {
    if (entry->key == key) return *entry;
  }
  node_->entries.push_back(std::make_unique<Entry>());
  Entry& entry = *node_->entries.back();
  entry.key = key;
  entry.doc = doc;
  return entry;
}

void Config::mismatch(std::string_view key, const YamlTree& found, const std::string& allowed, const std::string& hint) {
  document_->problems.push_back({found.line, found.from_command_line, dotted(node_->path, key),
                                 fmt::format("found {}, allowed: {}{}", found.describe(), allowed, hint.empty() ? "" : " (" + hint + ")")});
}

void Config::problem(std::string_view key, const std::string& message) {
  if (document_->schema) return;
  const YamlTree* at = key.empty() ? nullptr : value_of(key);
  if (at == nullptr) at = node_->tree;
  document_->problems.push_back({at ? at->line : 0, at && at->from_command_line, key.empty() ? node_->path : dotted(node_->path, key), message});
}

void Config::text(std::string_view key, std::string& value, std::string_view doc) {
  Entry& entry = record(key, doc);
  entry.allowed = "text";
  if (const YamlTree* found = value_of(key)) {
    if (found->kind == YamlTree::Kind::scalar) {
      value = found->text;
    } else {
      mismatch(key, *found, "text", found->kind == YamlTree::Kind::none ? "remove the line for the default" : "");
    }
  }
  entry.value = yaml_scalar(value);
}

void Config::choice(std::string_view key, std::string& value, const std::vector<std::string>& allowed, std::string_view doc) {
  Entry& entry = record(key, doc);
  entry.allowed = join(allowed, " | ");
  if (const YamlTree* found = value_of(key)) {
    if (found->kind == YamlTree::Kind::scalar && std::find(allowed.begin(), allowed.end(), found->text) != allowed.end()) {
      value = found->text;
    } else {
      const std::string near = found->kind == YamlTree::Kind::scalar ? nearest_word(found->text, allowed) : "";
      mismatch(key, *found, join(allowed, ", "), near.empty() ? "" : "did you mean " + near + "?");
    }
  }
  entry.value = yaml_scalar(value);
}

void Config::flag(std::string_view key, bool& value, std::string_view doc) {
  Entry& entry = record(key, doc);
  entry.allowed = "true | false";
  if (const YamlTree* found = value_of(key)) {
    const bool plain = found->kind == YamlTree::Kind::scalar && !found->quoted;
    const std::string& s = found->text;
    if (plain && (s == "true" || s == "True" || s == "TRUE")) {
      value = true;
    } else if (plain && (s == "false" || s == "False" || s == "FALSE")) {
      value = false;
    } else {
      mismatch(key, *found, "true or false", found->quoted ? "remove the quotes" : "");
    }
  }
  entry.value = value ? "true" : "false";
}

template <class Number>
void Config::read_number(std::string_view key, Number& value, const Range& range, std::string_view doc) {
  constexpr bool kReal = std::is_same_v<Number, double>;
  using Wide = std::conditional_t<kReal, double, std::int64_t>;
  Entry& entry = record(key, doc);
  entry.allowed = allowed_text(kReal ? "number" : "integer", range);
  if (const YamlTree* found = value_of(key)) {
    std::string hint;
    Number x{};
    if (parse_number(*found, x, hint) && range.contains(static_cast<double>(x))) {
      value = x;
    } else {
      mismatch(key, *found, allowed_text(kReal ? "a number" : "an integer", range), hint);
    }
  }
  entry.value = number_text(static_cast<Wide>(value));
}
void Config::number(std::string_view key, double& v, const Range& range, std::string_view doc) { read_number(key, v, range, doc); }
void Config::number(std::string_view key, int& v, const Range& range, std::string_view doc) { read_number(key, v, range, doc); }
void Config::number(std::string_view key, std::int64_t& v, const Range& range, std::string_view doc) { read_number(key, v, range, doc); }

namespace {
/// The items of a list; a single value counts as a list of one. nullptr items never occur.
std::vector<const YamlTree*> items_of(const YamlTree& tree) {
  std::vector<const YamlTree*> items;
  if (tree.kind == YamlTree::Kind::list) {
    for (const YamlTree& item : tree.children) items.push_back(&item);
  } else {
    items.push_back(&tree);
  }
  return items;
}

std::string text_list(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) out += (out.empty() ? "" : ", ") + yaml_scalar(item);
  return "[" + out + "]";
}
}  // namespace

void Config::list(std::string_view key, std::vector<std::string>& value, std::string_view doc) {
  Entry& entry = record(key, doc);
  entry.allowed = "list of texts";
  if (const YamlTree* found = value_of(key)) {
    std::vector<std::string> items;
    bool good = true;
    for (const YamlTree* item : items_of(*found)) {
      if (item->kind == YamlTree::Kind::scalar) {
        items.push_back(item->text);
      } else {
        mismatch(key, *item, "text or a list of texts");
        good = false;
      }
    }
    if (good) value = std::move(items);
  }
  entry.value = text_list(value);
}

template <class Number>
void Config::read_numbers(std::string_view key, std::vector<Number>& value, const Range& range, std::string_view doc) {
  constexpr bool kReal = std::is_same_v<Number, double>;
  Entry& entry = record(key, doc);
  entry.allowed = allowed_text(kReal ? "list of numbers" : "list of integers", range);
  if (const YamlTree* found = value_of(key)) {
    std::vector<Number> items;
    bool good = true;
    for (const YamlTree* item : items_of(*found)) {
      std::string hint;
      Number x{};
      if (parse_number(*item, x, hint) && range.contains(static_cast<double>(x))) {
        items.push_back(x);
      } else {
        mismatch(key, *item, allowed_text(kReal ? "numbers" : "integers", range), hint);
        good = false;
      }
    }
    if (good) value = std::move(items);
  }
  entry.value.clear();
  for (const Number item : value) entry.value += (entry.value.empty() ? "" : ", ") + number_text(item);
  entry.value = "[" + entry.value + "]";
}
void Config::list(std::string_view key, std::vector<double>& value, const Range& range, std::string_view doc) {
  read_numbers(key, value, range, doc);
}
void Config::list(std::string_view key, std::vector<std::int64_t>& value, const Range& range, std::string_view doc) {
  read_numbers(key, value, range, doc);
}

std::string Config::located(const std::string& path) const {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (path.empty() || fs::path(path).is_absolute() || fs::exists(path, ignored)) return path;
  const fs::path beside = (fs::path(document_->name).parent_path() / path).lexically_normal();
  return fs::exists(beside, ignored) ? beside.string() : path;
}

void Config::path(std::string_view key, std::string& value, std::string_view doc) {
  text(key, value, doc);
  Entry& entry = record(key, doc);
  entry.allowed = "path";
  if (is_schema()) return;
  value = located(value);
  entry.value = yaml_scalar(value);
}

void Config::paths(std::string_view key, std::vector<std::string>& value, std::string_view doc) {
  list(key, value, doc);
  Entry& entry = record(key, doc);
  entry.allowed = "path or list of paths";
  if (is_schema()) return;
  for (std::string& item : value) item = located(item);
  entry.value = text_list(value);
}

const YamlTree* Config::tree(std::string_view key, std::string_view doc) {
  Entry& entry = record(key, doc);
  const YamlTree* found = value_of(key);
  entry.allowed = "any";
  entry.value = found ? found->flow() : "{}";
  return found;
}

Config Config::block(std::string_view key, std::string_view doc) {
  Entry& entry = record(key, doc);
  if (!entry.child) {
    entry.child = std::make_unique<Node>();
    entry.child->path = dotted(node_->path, key);
    const YamlTree* found = value_of(key);
    if (found && found->kind == YamlTree::Kind::map) {
      entry.child->tree = found;
    } else if (found && found->kind != YamlTree::Kind::none) {
      mismatch(key, *found, "a block of keys");
    }
  }
  return Config(document_, entry.child.get());
}

std::vector<Config> Config::blocks(std::string_view key, std::string_view doc) {
  Entry& entry = record(key, doc);
  entry.allowed = kListOfBlocks;
  entry.value = "[]";
  const YamlTree* found = value_of(key);
  if (entry.items.empty() && found != nullptr && found->kind != YamlTree::Kind::none) {
    for (const YamlTree* item : items_of(*found)) {
      if (item->kind != YamlTree::Kind::map) {
        mismatch(key, *item, "a list of blocks, `- key: value` and further keys below the first");
        continue;
      }
      entry.items.push_back(std::make_unique<Node>());
      entry.items.back()->path = fmt::format("{}[{}]", dotted(node_->path, key), entry.items.size());
      entry.items.back()->tree = item;
    }
  }
  std::vector<Config> out;
  for (const auto& item : entry.items) out.push_back(Config(document_, item.get()));
  return out;
}

void Config::done() { node_->closed = true; }

namespace {
/// What a message about an input file shows: a file of another program may be wrong in every line.
constexpr std::size_t kMostProblems = 50, kMostShownWhere = 1000;
}  // namespace

void Config::finish() const {
  if (document_->schema) return;
  // Suggestions may come from any block, hence only now, when all have been read.
  std::vector<std::string> all_paths, all_leaves;
  std::vector<const Node*> nodes{&document_->root};
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    for (const auto& entry : nodes[i]->entries) {
      all_paths.push_back(dotted(nodes[i]->path, entry->key));
      all_leaves.push_back(entry->key);
      if (entry->child) nodes.push_back(entry->child.get());
      for (const auto& item : entry->items) nodes.push_back(item.get());
    }
  }
  struct Unknown {
    const Node* node;
    std::size_t key;  ///< in node->tree
  };
  std::vector<Unknown> unknown;
  for (const Node* node : nodes) {
    if (!node->closed || node->tree == nullptr) continue;
    std::unordered_set<std::string_view> known;
    for (const auto& entry : node->entries) known.insert(entry->key);
    for (std::size_t k = 0; k < node->tree->keys.size(); ++k) {
      if (!known.contains(node->tree->keys[k])) unknown.push_back({node, k});
    }
  }
  const auto advice_for = [&](const Unknown& u) -> std::string {
    const std::string& key = u.node->tree->keys[u.key];
    if (std::find(all_paths.begin(), all_paths.end(), key) != all_paths.end()) {
      return "dots are for the command line; in the file write the key inside its block";
    }
    if (const std::string foreign = foreign_key_advice(key); !foreign.empty()) return foreign;
    std::vector<std::string> known;
    for (const auto& entry : u.node->entries) known.push_back(entry->key);
    if (const std::string near = nearest_word(key, known); !near.empty()) return fmt::format("did you mean {}?", near);
    if (const std::string leaf = nearest_word(key, all_leaves); !leaf.empty()) {
      const auto at = std::find(all_leaves.begin(), all_leaves.end(), leaf) - all_leaves.begin();
      return fmt::format("did you mean {}?", all_paths[static_cast<std::size_t>(at)]);
    }
    return fmt::format("known here: {}", known.empty() ? "nothing" : join(known, ", "));
  };
  // A suggestion compares a key with every known one: it is made only for the problems that are shown.
  struct Found {
    Document::Problem problem;
    const Unknown* unknown;
  };
  std::vector<Found> found;
  for (const Document::Problem& p : document_->problems) found.push_back({p, nullptr});
  for (const Unknown& u : unknown) {
    const YamlTree& at = u.node->tree->children[u.key];
    found.push_back({{at.line, at.from_command_line, dotted(u.node->path, u.node->tree->keys[u.key]), {}}, &u});
  }
  if (found.empty()) return;
  std::stable_sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
    return std::pair(a.problem.from_command_line, a.problem.line) < std::pair(b.problem.from_command_line, b.problem.line);
  });
  std::vector<std::string> lines;
  std::unordered_set<std::string> different;
  std::size_t more = 0;
  for (Found& f : found) {
    const bool full = lines.size() == kMostProblems;
    if (f.unknown != nullptr) f.problem.message = full ? "unknown key" : fmt::format("unknown key ({})", advice_for(*f.unknown));
    std::string line = shortened(document_->where(f.problem), kMostShownWhere) + ": " + f.problem.message;
    if (!different.insert(line).second) continue;
    if (full)
      ++more;
    else
      lines.push_back(std::move(line));
  }
  if (more > 0) lines.push_back(fmt::format("{}: ... and {} more problems", document_->name, format_count(static_cast<long long>(more))));
  throw Error(Exit::usage, join(lines, "\n"));
}

namespace {
/// Spaces between a value and its comment, so that the comments of a block line up.
constexpr std::size_t kCommentColumn = 44;
}  // namespace

/// `key: value` lines of a block, indented; with the meaning as a comment if `documented`.
void Config::print(const Node& node, int depth, bool documented, std::string& out) {
  const std::string indent(static_cast<std::size_t>(2 * depth), ' ');
  const auto comment = [&](std::string line, const std::string& text) {
    if (documented && !text.empty()) {
      line.resize(std::max(line.size() + 2, kCommentColumn), ' ');
      line += "# " + text;
    }
    out += line + "\n";
  };
  for (const auto& entry : node.entries) {
    if (entry->child) {
      if (!documented && entry->child->entries.empty()) continue;
      comment(fmt::format("{}{}:", indent, yaml_scalar(entry->key)), entry->doc);
      print(*entry->child, depth + 1, documented, out);
    } else if (!documented && entry->allowed == kListOfBlocks && entry->items.empty()) {
      continue;  // nothing to say, as of a block without keys
    } else if (!entry->items.empty()) {
      out += fmt::format("{}{}:\n", indent, yaml_scalar(entry->key));
      for (const auto& item : entry->items) {
        std::string lines;
        print(*item, depth + 2, documented, lines);
        if (lines.empty()) lines = indent + "    {}\n";
        lines.replace(indent.size() + 2, 1, "-");
        out += lines;
      }
    } else {
      comment(fmt::format("{}{}: {}", indent, yaml_scalar(entry->key), entry->value),
              entry->doc.empty() ? entry->allowed : fmt::format("{}; {}", entry->allowed, entry->doc));
    }
  }
}

std::string Config::resolved() const {
  std::string out;
  print(document_->root, 0, false, out);
  return out;
}

std::string Config::schema_text() const {
  std::string out;
  print(document_->root, 0, true, out);
  return out;
}

std::string read_text_file(const std::string& path) {
  errno = 0;
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(path, ignored);
  constexpr std::uintmax_t kMostBytes = std::uintmax_t{64} << 20;
  if (const auto size = folder ? 0 : std::filesystem::file_size(path, ignored); !ignored && size > kMostBytes) {  // a table given as the input file
    throw Error(Exit::data, fmt::format("'{}' has {}; an input file or a prompt has at most 64 MiB. Data belong under data.path", path,
                                        format_bytes(static_cast<double>(size))));
  }
  std::ifstream file(path, std::ios::binary);
  std::string text;
  if (!folder && file) text.assign(std::istreambuf_iterator<char>(file), {});
  if (folder || !file.is_open() || file.bad()) {
    throw Error(Exit::data, fmt::format("cannot read '{}': {}; relative paths start at the working directory", path,
                                        folder ? "it is a folder" : std::generic_category().message(errno)));
  }
  return text;
}

}  // namespace gnn_hpc
