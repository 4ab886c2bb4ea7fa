// SPDX-License-Identifier: Apache-2.0
#include "io/cif_blocks.hpp"

#include <algorithm>

#include "io/text_source.hpp"

namespace gnn_hpc {
namespace {

bool same_word(std::string_view word, std::string_view lower_case) {
  return word.size() == lower_case.size() && std::equal(word.begin(), word.end(), lower_case.begin(), [](char c, char d) {
           return (c == '.' ? '_' : c >= 'A' && c <= 'Z' ? c | 0x20 : c) == d;
         });
}

bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/// The next word of a line that is no comment and no quoted text; empty at the end.
std::string_view next_token(std::string_view& line) {
  while (true) {
    while (!line.empty() && blank(line[0])) line.remove_prefix(1);
    if (line.empty() || line[0] == '#') return {};
    std::size_t end = 0;
    const char open = line[0];
    if (open == '\'' || open == '"') {  // ends at a quote before a blank
      end = 1;
      while (end < line.size() && !(line[end] == open && (end + 1 == line.size() || blank(line[end + 1])))) ++end;
      line.remove_prefix(std::min(line.size(), end + 1));
      continue;
    }
    while (end < line.size() && !blank(line[end])) ++end;
    const std::string_view token = line.substr(0, end);
    line.remove_prefix(end);
    return token;
  }
}

}  // namespace

std::vector<CifBlock> split_cif(std::string_view text) {
  struct Found {
    CifBlock block;
    const char* begin;
    bool atoms = false;
  };
  std::vector<Found> found;
  bool in_text = false;
  std::int64_t number = 0;
  std::string_view rest = text, line;
  while (next_line(rest, line)) {
    ++number;
    if (!line.empty() && line[0] == ';') {
      in_text = !in_text;
      if (in_text) continue;
      line.remove_prefix(1);
    }
    if (in_text) continue;
    const char* begin = line.data();
    for (auto token = next_token(line); !token.empty(); token = next_token(line)) {
      if (token.size() > 5 && same_word(token.substr(0, 5), "data_")) {
        found.push_back({{std::string(token.substr(5)), {}, number}, found.empty() ? text.data() : begin, false});
      } else if (token[0] == '_' && !found.empty() && same_word(token, "_atom_site_fract_x")) {
        found.back().atoms = true;
      }
    }
  }
  std::vector<CifBlock> out;
  for (std::size_t b = 0; b < found.size(); ++b) {
    if (!found[b].atoms) continue;
    const char* end = b + 1 < found.size() ? found[b + 1].begin : text.data() + text.size();
    out.push_back(std::move(found[b].block));
    out.back().text = std::string_view(found[b].begin, static_cast<std::size_t>(end - found[b].begin));
  }
  if (out.size() > 1) return out;
  const std::int64_t at = out.empty() ? 1 : out[0].line;
  return {{out.empty() ? std::string() : out[0].name, text, at}};
}

}  // namespace gnn_hpc
