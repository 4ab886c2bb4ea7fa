// SPDX-License-Identifier: Apache-2.0
#include "io/extxyz.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.hpp"
#include "io/elements.hpp"
#include "io/poscar.hpp"
#include "io/structure_check.hpp"
#include "io/vacuum_box.hpp"

namespace gnn_hpc {
namespace {

struct Column {
  std::string name;
  char type;
  int first, count;  // words of an atom line
};

std::vector<Column> parse_properties(std::string_view text) {
  std::vector<Column> columns;
  int at = 0;
  while (!text.empty()) {
    std::string_view part[3];
    for (auto& p : part) {
      const std::size_t end = text.find(':');
      p = text.substr(0, end);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    const auto count = parse_integer(part[2]);
    if (part[0].empty() || part[1].size() != 1 || !count || *count < 1 || *count > 10000) {
      throw Error(Exit::data, fmt::format("Properties holds {}:{}:{}; name:type:count is expected", part[0], part[1], part[2]));
    }
    columns.push_back({std::string(part[0]), part[1][0], at, static_cast<int>(*count)});
    at += static_cast<int>(*count);
  }
  return columns;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> parse_info(std::string_view s) {
  std::vector<std::pair<std::string, std::string>> out;
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  const auto token = [&](bool is_key) {
    std::string word;
    if (s.empty()) return word;
    const char open = s[0];
    if (open == '"' || open == '\'') {
      s.remove_prefix(1);
      while (!s.empty() && s[0] != open) {
        if (s[0] == '\\' && s.size() > 1) s.remove_prefix(1);
        word += s[0];
        s.remove_prefix(1);
      }
      if (s.empty()) throw Error(Exit::data, fmt::format("a quote in the comment line is never closed: {}", quote_for_message(word)));
      s.remove_prefix(1);
      return word;
    }
    if (!is_key && (open == '{' || open == '[')) {
      int depth = 0;
      while (!s.empty()) {
        depth += s[0] == '{' || s[0] == '[';
        depth -= s[0] == '}' || s[0] == ']';
        if (s[0] != '{' && s[0] != '[' && s[0] != '}' && s[0] != ']') word += s[0] == ',' ? ' ' : s[0];
        s.remove_prefix(1);
        if (depth == 0) break;
      }
      return std::string(trim(word));
    }
    while (!s.empty() && !blank(s[0]) && !(is_key && s[0] == '=')) {
      word += s[0];
      s.remove_prefix(1);
    }
    return word;
  };
  while (true) {
    while (!s.empty() && blank(s[0])) s.remove_prefix(1);
    if (s.empty()) return out;
    if (s[0] == '=') {  // no key: pass over
      s.remove_prefix(1);
      continue;
    }
    std::string key = token(true);
    std::string_view rest = s;
    while (!rest.empty() && blank(rest[0])) rest.remove_prefix(1);
    if (rest.empty() || rest[0] != '=') {
      out.emplace_back(std::move(key), "T");
      continue;
    }
    s = rest.substr(1);
    while (!s.empty() && blank(s[0])) s.remove_prefix(1);
    out.emplace_back(std::move(key), token(false));
  }
}

namespace {

/// The comment line. What is read from it must be said once.
class Info {
 public:
  explicit Info(std::string_view comment) : pairs_(parse_info(comment)) {}

  const std::string* find(std::string_view key) const {
    const std::string* out = nullptr;
    for (const auto& [name, value] : pairs_) {
      if (name != key) continue;
      if (out) throw Error(Exit::data, fmt::format("{} stands twice in the comment line", quote_for_message(key)));
      out = &value;
    }
    return out;
  }
  const std::vector<std::pair<std::string, std::string>>& pairs() const { return pairs_; }

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

void read_id(const Info& info, std::string_view id_key, Crystal& out) {
  if (!id_key.empty()) {
    if (const auto* id = info.find(id_key)) out.id = *id;
    return;
  }
  for (const char* usual : {"material_id", "id", "jid", "name"}) {
    if (const auto* id = info.find(usual)) {
      out.id = *id;
      return;
    }
  }
}

/// Which directions repeat: `pbc="T T F"`; without it all where there is a Lattice, none where there is none.
std::array<bool, 3> read_periodicity(const Info& info, bool has_lattice) {
  std::array<bool, 3> out{has_lattice, has_lattice, has_lattice};
  const std::string* text = info.find("pbc");
  if (!text) return out;
  std::string_view words = *text;
  std::string_view last;
  std::size_t count = 0;
  for (auto word = next_word(words); !word.empty(); word = next_word(words), ++count) {
    const bool yes = word == "T" || word == "1" || word == "True" || word == "true" || word == "TRUE";
    const bool no = word == "F" || word == "0" || word == "False" || word == "false" || word == "FALSE";
    if (!yes && !no) throw Error(Exit::data, fmt::format("pbc is {}; three of T and F are expected", quote_for_message(*text)));
    if (count < 3) out[count] = yes;
  }
  if (count == 1) out[1] = out[2] = out[0];
  if (count != 1 && count != 3) throw Error(Exit::data, fmt::format("pbc is {}; three of T and F are expected", quote_for_message(*text)));
  return out;
}

/// Fills the lattice as far as the frame gives one; returns which directions repeat.
std::array<bool, 3> read_lattice(const Info& info, bool box, Crystal& out) {
  const std::string* cell = info.find("Lattice");
  const std::array<bool, 3> periodic = read_periodicity(info, cell != nullptr);
  const bool whole = periodic[0] && periodic[1] && periodic[2], none = !periodic[0] && !periodic[1] && !periodic[2];
  if (!cell && !(none && box)) {
    throw Error(Exit::data,
                none ? "no Lattice in the comment line: a molecule without a cell, not a periodic crystal; data.non_periodic: box would put "
                       "it into one"
                     : "no Lattice in the comment line, though pbc says that the structure is periodic");
  }
  if (!whole && !box) {
    throw Error(Exit::data,
                fmt::format("pbc=\"{} {} {}\": not periodic in every direction; data.non_periodic: box would put it into a cell with vacuum",
                            periodic[0] ? 'T' : 'F', periodic[1] ? 'T' : 'F', periodic[2] ? 'T' : 'F'));
  }
  out.lattice.fill(0);
  if (!cell) return periodic;
  std::string_view words = *cell;
  for (double& x : out.lattice) {
    const auto word = next_word(words);
    if (word.empty()) throw Error(Exit::data, fmt::format("Lattice needs 9 numbers, found {}", quote_for_message(*cell)));
    x = finite_number(word, "a lattice vector's component");
  }
  if (!next_word(words).empty()) throw Error(Exit::data, fmt::format("Lattice has more than 9 numbers: {}", quote_for_message(*cell)));
  if (whole && !(cell_volume(out.lattice) > 0)) throw Error(Exit::data, "zero volume");
  return periodic;
}

/// The columns of the atom lines that are read.
struct AtomColumns {
  std::vector<Column> all;
  const Column *pos = nullptr, *species = nullptr, *numbers = nullptr;
  int width = 0;
  bool declared = false;  ///< by Properties; else a line may go on behind the four words of plain XYZ

  explicit AtomColumns(const Info& info) {
    const std::string* properties = info.find("Properties");
    declared = properties != nullptr;
    all = parse_properties(declared ? std::string_view(*properties) : "species:S:1:pos:R:3");
    for (const Column& c : all) {
      if (c.name == "pos" && c.count == 3) once(pos, c);
      if (c.name == "species" || c.name == "element" || c.name == "symbols") once(species, c);
      if (c.name == "Z" || c.name == "numbers" || c.name == "atomic_numbers") once(numbers, c);
      width = c.first + c.count;
    }
    if (!pos) throw Error(Exit::data, "Properties has no pos:R:3");
    if (!species && !numbers) throw Error(Exit::data, "Properties has neither species nor Z");
  }
  AtomColumns(const AtomColumns&) = delete;

  const Column* value(std::string_view name) const {
    const Column* out = nullptr;
    for (const Column& c : all) {
      if (c.name == name && (c.type == 'R' || c.type == 'I')) once(out, c);
    }
    return out;
  }

 private:
  static void once(const Column*& place, const Column& column) {
    if (place) throw Error(Exit::data, fmt::format("Properties has {} and {}: two columns of one kind", place->name, column.name));
    place = &column;
  }
};

int element_of(const AtomColumns& columns, const std::vector<std::string_view>& word, std::int64_t atom) {
  int by_symbol = 0, by_number = 0;
  if (columns.species) by_symbol = atomic_number(word[columns.species->first]);
  if (columns.numbers) {
    const auto n = parse_integer(word[columns.numbers->first]);
    by_number = n && *n >= 1 && *n <= kLargestZ ? static_cast<int>(*n) : 0;
  }
  const Column& first = *(columns.species ? columns.species : columns.numbers);
  const int z = columns.species ? by_symbol : by_number;
  if (z == 0) throw Error(Exit::data, fmt::format("unknown element {} (atom {})", quote_for_message(word[first.first]), atom + 1));
  if (columns.species && columns.numbers && by_symbol != by_number) {
    throw Error(Exit::data, fmt::format("atom {} is {} in one column and {} in another", atom + 1, quote_for_message(word[columns.species->first]),
                                        quote_for_message(word[columns.numbers->first])));
  }
  return z;
}

/// The values to learn: a key of the comment line, else a column of numbers, as the mean over atoms and components.
class Targets {
 public:
  Targets(const std::vector<std::string>& names, const Info& info, const AtomColumns& columns)
      : texts_(names.size()), columns_(names.size(), nullptr), sums_(names.size(), 0.0) {
    for (std::size_t t = 0; t < names.size(); ++t) {
      if (const auto* value = info.find(names[t])) {
        texts_[t] = *value;
      } else {
        columns_[t] = columns.value(names[t]);
      }
    }
  }

  void add(const std::vector<std::string_view>& word) {
    for (std::size_t t = 0; t < sums_.size(); ++t) {
      for (int c = 0; columns_[t] && c < columns_[t]->count; ++c) {
        const auto value = parse_number(word[columns_[t]->first + c]);
        sums_[t] += value ? *value : std::numeric_limits<double>::quiet_NaN();
      }
    }
  }

  std::vector<std::string> texts(std::int64_t atoms) const {
    std::vector<std::string> out = texts_;
    for (std::size_t t = 0; t < out.size(); ++t) {
      if (columns_[t]) out[t] = fmt::format("{:.17g}", sums_[t] / (static_cast<double>(atoms) * columns_[t]->count));
    }
    return out;
  }

 private:
  std::vector<std::string> texts_;
  std::vector<const Column*> columns_;
  std::vector<double> sums_;
};

/// The lines of atoms: elements into `out`, Cartesian positions, values of target columns.
void read_atoms(std::string_view text, std::int64_t count, const AtomColumns& columns, std::vector<double>& positions, Targets& targets,
                Crystal& out) {
  out.z.clear();
  std::string_view line;
  std::vector<std::string_view> word(static_cast<std::size_t>(columns.width));
  for (std::int64_t a = 0; a < count; ++a) {
    if (!next_line(text, line)) throw Error(Exit::data, fmt::format("the frame ends after {} of {} atoms", a, count));
    for (auto& w : word) {
      w = next_word(line);
      if (w.empty()) throw Error(Exit::data, fmt::format("atom {} has fewer than the {} columns of Properties", a + 1, columns.width));
    }
    if (const auto more = next_word(line); columns.declared && !more.empty()) {
      throw Error(Exit::data, fmt::format("atom {} has more than the {} columns of Properties: {}", a + 1, columns.width, quote_for_message(more)));
    }
    out.z.push_back(static_cast<std::uint8_t>(element_of(columns, word, a)));
    for (int c = 0; c < 3; ++c) positions.push_back(finite_number(word[columns.pos->first + c], "a coordinate"));
    targets.add(word);
  }
}

}  // namespace

void parse_extxyz(std::string_view text, const std::vector<std::string>& targets, std::string_view id_key, bool box, Crystal& out,
                  std::vector<std::string>& raw_targets, std::vector<std::string>& found) {
  std::string_view line;
  if (!next_line(text, line)) throw Error(Exit::data, "the frame is empty");
  const auto count = parse_integer(line);
  if (!count || *count < 0 || *count > kMostAtomsOfFrame) {
    throw Error(Exit::data, fmt::format("the number of atoms is expected, found {}", quote_for_message(line)));
  }
  if (*count == 0) throw Error(Exit::data, "no atoms");
  if (!next_line(text, line)) throw Error(Exit::data, "the frame ends after the number of atoms");
  const Info info(line);
  read_id(info, id_key, out);
  const std::array<bool, 3> periodic = read_lattice(info, box, out);
  const AtomColumns columns(info);

  found.clear();
  for (const auto& [name, value] : info.pairs()) {
    if (name != "Lattice" && name != "Properties" && name != "pbc") found.push_back(name);
  }
  for (const Column& c : columns.all) {
    if (&c != columns.pos && (c.type == 'R' || c.type == 'I')) found.push_back(c.name);
  }
  Targets wanted(targets, info, columns);
  std::vector<double> positions;
  read_atoms(text, *count, columns, positions, wanted, out);
  raw_targets = wanted.texts(*count);
  if (!(periodic[0] && periodic[1] && periodic[2])) put_into_box(positions, periodic, out.lattice);
  const auto inverse = inverse_lattice(out.lattice);
  out.frac.resize(positions.size());
  for (std::size_t a = 0; a < out.z.size(); ++a) multiply(&positions[3 * a], inverse, &out.frac[3 * a]);
  check_structure(out);
}

}  // namespace gnn_hpc
