// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <optional>

#include "base/error.hpp"
#include "io/protein_builder.hpp"
#include "io/text_source.hpp"

namespace gnn_hpc {
namespace {

bool same_word(std::string_view word, std::string_view lower_case) {
  return word.size() == lower_case.size() &&
         std::equal(word.begin(), word.end(), lower_case.begin(), [](char c, char d) { return (c >= 'A' && c <= 'Z' ? c | 0x20 : c) == d; });
}

bool starts_with(std::string_view word, std::string_view lower_case) {
  return word.size() >= lower_case.size() && same_word(word.substr(0, lower_case.size()), lower_case);
}

struct Token {
  enum class Kind { end, block, loop, name, value };
  Kind kind = Kind::end;
  std::string_view text;
  std::int64_t line = 0;
  bool quoted = false;

  /// An unquoted `.` or `?`.
  bool null() const { return !quoted && (text == "." || text == "?"); }
  std::string_view or_blank() const { return null() ? std::string_view{} : text; }
};

/// CIF 1.1 as a stream of tokens. Not gemmi's, because the lines of values are needed for messages.
class Tokens {
 public:
  Tokens(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  Token next() {
    skip_blanks();
    Token out;
    out.line = line_;
    if (at_ == text_.size()) return out;
    const char c = text_[at_];
    if (c == ';' && (at_ == 0 || text_[at_ - 1] == '\n')) return text_field(out);
    if (c == '\'' || c == '"') return quoted(out, c);
    const std::size_t start = at_;
    while (at_ < text_.size() && !blank(text_[at_])) ++at_;
    out.text = text_.substr(start, at_ - start);
    out.kind = Token::Kind::value;
    if (c == '_') out.kind = Token::Kind::name;
    if (same_word(out.text, "loop_")) out.kind = Token::Kind::loop;
    if (starts_with(out.text, "data_") || starts_with(out.text, "save_")) out.kind = Token::Kind::block;
    return out;
  }

  [[noreturn]] void fail(std::int64_t line, const std::string& reason) const {
    throw Error(Exit::data, fmt::format("{}:{}: {}", path_, line, reason));
  }

 private:
  static bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\v' || c == '\f'; }

  void skip_blanks() {
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] == '#') at_ = std::min(text_.find('\n', at_), text_.size());
      if (at_ == text_.size() || !blank(text_[at_])) return;
      line_ += text_[at_] == '\n';
    }
  }

  Token quoted(Token out, char quote) {
    const std::size_t start = ++at_;
    for (; at_ < text_.size() && text_[at_] != '\n'; ++at_) {
      if (text_[at_] != quote || (at_ + 1 < text_.size() && !blank(text_[at_ + 1]))) continue;
      out.text = text_.substr(start, at_ - start);
      out.kind = Token::Kind::value;
      out.quoted = true;
      ++at_;
      return out;
    }
    fail(line_, "a quote without end");
  }

  Token text_field(Token out) {
    const std::size_t start = at_ + 1, end = text_.find("\n;", at_);
    if (end == std::string_view::npos) fail(line_, "a text that begins with ; and has no end");
    out.text = text_.substr(start, end - std::min(start, end));
    out.kind = Token::Kind::value;
    out.quoted = true;
    line_ += std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_), text_.begin() + static_cast<std::ptrdiff_t>(end) + 1, '\n');
    at_ = end + 2;
    return out;
  }

  std::string_view text_;
  const std::string& path_;
  std::size_t at_ = 0;
  std::int64_t line_ = 1;
};

/// The table _atom_site: a loop, or items that make one row.
struct AtomSite {
  std::vector<std::string_view> columns;  ///< behind the dot
  std::vector<Token> values;              ///< row by row
};

constexpr std::string_view kCategory = "_atom_site.";

AtomSite find_atom_site(Tokens& tokens) {
  AtomSite out;
  Token token = tokens.next();
  while (token.kind != Token::Kind::end) {
    if (token.kind == Token::Kind::block) {
      if (!out.columns.empty()) return out;
      token = tokens.next();
    } else if (token.kind == Token::Kind::name) {
      const Token value = tokens.next();
      if (value.kind != Token::Kind::value) tokens.fail(token.line, fmt::format("{} has no value", quote_for_message(token.text)));
      if (starts_with(token.text, kCategory)) {
        out.columns.push_back(token.text.substr(kCategory.size()));
        out.values.push_back(value);
      }
      token = tokens.next();
    } else if (token.kind == Token::Kind::loop) {
      const std::int64_t line = token.line;
      std::vector<std::string_view> names;
      for (token = tokens.next(); token.kind == Token::Kind::name; token = tokens.next()) names.push_back(token.text);
      if (names.empty()) tokens.fail(line, "a loop without data names");
      const bool atoms = starts_with(names[0], kCategory);
      if (atoms && !out.columns.empty()) tokens.fail(line, "_atom_site is given twice");
      std::size_t count = 0;
      std::int64_t last = line;
      for (; token.kind == Token::Kind::value; token = tokens.next(), ++count) {
        last = token.line;
        if (atoms) out.values.push_back(token);
      }
      if (count % names.size() != 0) {
        tokens.fail(last, fmt::format("the last row of the loop of {} has {} of {} values (is the file cut off?)", quote_for_message(names[0]),
                                      count % names.size(), names.size()));
      }
      if (atoms) {
        for (const std::string_view name : names) out.columns.push_back(name.substr(std::min(name.size(), kCategory.size())));
      }
    } else {
      tokens.fail(token.line, fmt::format("{} belongs to no data name", quote_for_message(token.text)));
    }
  }
  return out;
}

class Rows {
 public:
  Rows(const AtomSite& table, const std::string& path) : table_(table), path_(path) {
    group_ = column("group_pdb");
    model_ = column("pdbx_pdb_model_num");
    insertion_ = column("pdbx_pdb_ins_code");
    for (std::size_t d = 0; d < 3; ++d) {
      const std::string name = fmt::format("Cartn_{}", "xyz"[d]), lower = fmt::format("cartn_{}", "xyz"[d]);
      xyz_[d] = column(lower);
      if (!xyz_[d]) missing(name);
    }
    const std::string_view ids[4] = {"asym_id", "seq_id", "comp_id", "atom_id"};
    for (std::size_t i = 0; i < 4; ++i) {
      auth_[i] = column(fmt::format("auth_{}", ids[i]));
      label_[i] = column(fmt::format("label_{}", ids[i]));
      if (!auth_[i] && !label_[i]) missing(fmt::format("auth_{} (or label_{})", ids[i], ids[i]));
    }
  }

  void read(ProteinBuilder& out) const {
    const std::size_t width = table_.columns.size();
    std::string residue;
    for (std::size_t row = 0; row < table_.values.size(); row += width) {
      if (value(row, model_) != value(0, model_)) continue;
      const std::string_view comp = identifier(row, 2), chain = identifier(row, 0), atom = identifier(row, 3);
      residue = identifier(row, 1);
      residue += value(row, insertion_);
      const bool hetatm = group_ ? same_word(value(row, group_), "hetatm") : !is_standard_residue(comp);
      double* xyz = out.add(chain, residue, comp, atom, hetatm);
      for (std::size_t d = 0; xyz && d < 3; ++d) coordinate(table_.values[row + *xyz_[d]], "xyz"[d], xyz[d], residue, chain);
    }
  }

 private:
  std::optional<std::size_t> column(std::string_view lower_case) const {
    for (std::size_t c = 0; c < table_.columns.size(); ++c) {
      if (same_word(table_.columns[c], lower_case)) return c;
    }
    return std::nullopt;
  }

  [[noreturn]] void missing(std::string_view name) const {
    throw Error(Exit::data, fmt::format("{}: the column _atom_site.{} is missing", path_, name));
  }

  std::string_view value(std::size_t row, const std::optional<std::size_t>& column) const {
    return column ? table_.values[row + *column].or_blank() : std::string_view{};
  }

  std::string_view identifier(std::size_t row, std::size_t i) const {
    const std::string_view auth = value(row, auth_[i]);
    return auth.empty() ? value(row, label_[i]) : auth;
  }

  void coordinate(const Token& token, char axis, double& out, std::string_view residue, std::string_view chain) const {
    if (token.null()) return;  // stays missing
    std::string_view word = token.text;
    if (!word.empty() && word.back() == ')') {
      const std::size_t open = word.find('(');
      const std::string_view digits = open == std::string_view::npos ? word : word.substr(open + 1, word.size() - open - 2);
      if (!digits.empty() && digits.find_first_not_of("0123456789") == std::string_view::npos) word = word.substr(0, open);
    }
    if (read_coordinate(word, out)) return;
    throw Error(Exit::data, fmt::format("{}:{}: Cartn_{} of residue {} (chain {}) is no number: {}", path_, token.line, axis,
                                        quote_for_message(residue), quote_for_message(chain), quote_for_message(token.text)));
  }

  const AtomSite& table_;
  const std::string& path_;
  std::optional<std::size_t> group_, model_, insertion_;
  std::array<std::optional<std::size_t>, 3> xyz_;
  std::array<std::optional<std::size_t>, 4> auth_, label_;  ///< chain, number, residue name, atom name
};

}  // namespace

void read_mmcif_atoms(std::string_view text, const std::string& path, ProteinBuilder& out) {
  Tokens tokens(text, path);
  const AtomSite table = find_atom_site(tokens);
  if (!table.columns.empty()) Rows(table, path).read(out);
}

}  // namespace gnn_hpc
