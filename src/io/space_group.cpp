// SPDX-License-Identifier: Apache-2.0
// The only file that knows gemmi's tables of space groups.
#include "io/space_group.hpp"

#include <algorithm>
#include <functional>
#include <gemmi/symmetry.hpp>
#include <iterator>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/error.hpp"
#include "base/text.hpp"
#include "io/text_source.hpp"

namespace gnn_hpc {
namespace {

constexpr std::size_t kTabulated = 530;  // settings of the International Tables; gemmi's further entries are cells enlarged beyond need

std::vector<SymmetryOperation> from_gemmi(const gemmi::GroupOps& group) {
  std::vector<SymmetryOperation> out;
  for (const gemmi::Op& op : group) {
    SymmetryOperation mine;
    for (std::size_t r = 0; r < 3; ++r) {
      for (std::size_t c = 0; c < 3; ++c) mine.rotation[3 * r + c] = op.rot[r][c] / gemmi::Op::DEN;
      mine.translation[r] = static_cast<double>(((op.tran[r] % gemmi::Op::DEN) + gemmi::Op::DEN) % gemmi::Op::DEN) / gemmi::Op::DEN;
    }
    out.push_back(mine);
  }
  const auto identity = std::find_if(out.begin(), out.end(), [](const SymmetryOperation& o) { return o.is_identity(); });
  if (identity != out.end()) std::iter_swap(out.begin(), identity);
  return out;
}

/// gemmi's table, with the operations of a setting made when they are first asked for.
class Settings {
 public:
  static const Settings& get() {
    static const Settings settings;
    return settings;
  }
  const gemmi::SpaceGroup& entry(std::size_t s) const { return gemmi::spacegroup_tables::main[s]; }
  const std::vector<SymmetryOperation>& operations(std::size_t s) const {
    std::call_once(made_[s], [&] { operations_[s] = from_gemmi(entry(s).operations()); });
    return operations_[s];
  }
  /// Settings of a name without blanks: those it names in full, else those it is the short form of.
  std::vector<std::size_t> named(const std::string& name) const {
    for (const auto* names : {&full_, &short_}) {
      if (const auto found = names->find(name); found != names->end()) return found->second;
    }
    return {};
  }

 private:
  static constexpr std::size_t kAll = std::size(gemmi::spacegroup_tables::main);

  Settings() {
    for (std::size_t s = 0; s < kAll; ++s) add(entry(s).hm, s);
    for (const auto& alternative : gemmi::spacegroup_tables::alt_names) add(alternative.hm, static_cast<std::size_t>(alternative.pos));
  }
  void add(std::string_view name, std::size_t s) {
    std::vector<std::string_view> words;
    std::string whole;
    while (true) {
      const std::string_view word = next_word(name);
      if (word.empty()) break;
      words.push_back(word);
      whole += word;
    }
    full_[whole].push_back(s);
    if (words.size() != 4 || s < 2 || entry(s).number > 15) return;
    const auto ones = std::count(words.begin() + 1, words.end(), std::string_view("1"));
    if (ones != 2) return;  // monoclinic: P 1 21/c 1 is P 21/c
    std::string brief(words[0]);
    for (std::size_t w = 1; w < 4; ++w) {
      if (words[w] != "1") brief += words[w];
    }
    short_[brief].push_back(s);
  }

  std::unordered_map<std::string, std::vector<std::size_t>> full_, short_;
  mutable std::array<std::once_flag, kAll> made_;
  mutable std::array<std::vector<SymmetryOperation>, kAll> operations_;
};

/// A name as files write it, taken apart.
struct Name {
  std::string plain;   ///< without blanks, first letter large, the others small
  std::string choice;  ///< "1", "2", "H", "R" or empty

  explicit Name(std::string_view given) {
    std::string text(trim(given));
    if (const std::size_t colon = text.find(':'); colon != std::string::npos) {
      choice = std::string(trim(std::string_view(text).substr(colon + 1)));
      text.resize(colon);
    } else {
      take_suffix(text);
    }
    for (char& c : choice) c = static_cast<char>(c >= 'a' && c <= 'z' ? c & ~0x20 : c);
    for (const char c : text) {
      if (c == ' ' || c == '\t' || c == '_' || c == '~' || c == '(' || c == ')') continue;  // P 2_1, P 2~1~, P2(1)
      const bool first = plain.empty();
      plain += static_cast<char>(c >= 'A' && c <= 'Z' && !first ? c | 0x20 : (c >= 'a' && c <= 'z' && first ? c & ~0x20 : c));
    }
    if (!plain.empty() && plain[0] == 'H') plain[0] = 'R', choice = choice.empty() ? "H" : choice;  // H 3: R 3 on hexagonal axes
  }

 private:
  /// ICSD writes the choice behind a blank or large behind the name: F d -3 m Z, Fd-3mS, R -3 c RS.
  void take_suffix(std::string& text) {
    static constexpr std::pair<std::string_view, const char*> kSuffixes[] = {{"HR", "H"}, {"RS", "R"}, {"O1", "1"}, {"O2", "2"},
                                                                             {"S", "1"},  {"Z", "2"},  {"H", "H"},  {"R", "R"}};
    for (const auto& [suffix, meaning] : kSuffixes) {
      if (text.size() < suffix.size() + 2 || text.compare(text.size() - suffix.size(), suffix.size(), suffix) != 0) continue;
      text.resize(text.size() - suffix.size());
      choice = meaning;
      return;
    }
  }
};

std::string lower_case(std::string_view text) {
  std::string out;
  for (const char c : trim(text)) out += static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
  return out;
}

bool has_code(const gemmi::SpaceGroup& group, const std::string& code) {
  const std::string extension = group.ext ? lower_case(std::string_view(&group.ext, 1)) : std::string(), qualifier = group.qualifier;
  const std::string standard = qualifier.empty() ? "abc" : qualifier;
  return code == extension + qualifier || (!extension.empty() && code == extension) || code == qualifier || code == extension + standard ||
         (extension.empty() && qualifier == code + "1");  // b: the only or the first cell choice
}

using Candidates = std::vector<std::size_t>;

void keep_if(Candidates& candidates, const std::function<bool(const gemmi::SpaceGroup&)>& fits) {
  candidates.erase(std::remove_if(candidates.begin(), candidates.end(), [&](std::size_t s) { return !fits(Settings::get().entry(s)); }),
                   candidates.end());
}

std::string list(const Candidates& candidates) {
  std::vector<std::string> names;
  for (const std::size_t s : candidates) names.push_back(Settings::get().entry(s).xhm());
  return join_names(names, 8);
}

std::string what_is_said(const SpaceGroupClues& clues) {
  std::vector<std::string> said;
  if (!clues.hermann_mauguin.empty()) said.push_back(quote_for_message(clues.hermann_mauguin));
  if (!clues.number.empty()) said.push_back(fmt::format("number {}", clues.number));
  if (!clues.code.empty()) said.push_back(fmt::format("coordinate system code {}", quote_for_message(clues.code)));
  return join(said, ", ");
}

bool fits_cell(const std::vector<SymmetryOperation>& operations, const std::array<double, 9>& lattice) {
  return std::all_of(operations.begin(), operations.end(), [&](const SymmetryOperation& o) { return keeps_metric(o, lattice); });
}

std::optional<int> number_of(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const auto number = parse_integer(text);
  if (!number || *number < 1 || *number > 230) {
    throw Error(Exit::data, fmt::format("unknown space group {}; numbers are 1 to 230", quote_for_message(text)));
  }
  return static_cast<int>(*number);
}

/// The settings that name, number, code and suffix leave, before the cell is asked.
Candidates candidates_of(const SpaceGroupClues& clues, std::optional<int> number) {
  Candidates out;
  const Name name(clues.hermann_mauguin);
  if (!clues.hermann_mauguin.empty()) out = Settings::get().named(name.plain);
  if (!out.empty() && number) {
    const Candidates named = out;
    keep_if(out, [&](const gemmi::SpaceGroup& g) { return g.number == *number; });
    if (out.empty()) {
      throw Error(Exit::data, fmt::format("the space group's name {} is number {}, but the file says {}", quote_for_message(clues.hermann_mauguin),
                                          Settings::get().entry(named[0]).number, *number));
    }
  }
  if (out.empty() && number) {  // no name, or one that the tables do not know
    for (std::size_t s = 0; s < kTabulated; ++s) out.push_back(s);
    keep_if(out, [&](const gemmi::SpaceGroup& g) { return g.number == *number; });
  }
  if (out.empty()) {
    throw Error(Exit::data, fmt::format("unknown space group {}, and no operations are listed", what_is_said(clues)));
  }
  const Candidates all = out;
  if (!name.choice.empty()) {
    keep_if(out, [&](const gemmi::SpaceGroup& g) { return std::string_view(&g.ext, 1) == name.choice || has_code(g, lower_case(name.choice)); });
  }
  if (const std::string code = lower_case(clues.code); !code.empty()) keep_if(out, [&](const gemmi::SpaceGroup& g) { return has_code(g, code); });
  if (out.empty()) {
    throw Error(Exit::data, fmt::format("unknown setting of the space group in {}; it has {}", what_is_said(clues), list(all)));
  }
  return out;
}

/// What the rotations are, whatever the axes: their determinants and traces. Settings of one space group have the same.
std::vector<int> crystal_class(const std::vector<SymmetryOperation>& operations) {
  std::vector<std::array<int, 9>> rotations;
  for (const SymmetryOperation& o : operations) {
    if (std::find(rotations.begin(), rotations.end(), o.rotation) == rotations.end()) rotations.push_back(o.rotation);
  }
  std::vector<int> out;
  for (const auto& m : rotations) {
    const int det = m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6]);
    out.push_back(10 * det + m[0] + m[4] + m[8]);
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<SymmetryOperation> from_hall(const SpaceGroupClues& clues, const std::array<double, 9>& lattice, std::optional<int> number) {
  const std::vector<SymmetryOperation> out = from_gemmi(gemmi::symops_from_hall(std::string(clues.hall).c_str()));
  if (!fits_cell(out, lattice)) {
    throw Error(Exit::data,
                fmt::format("the operations of Hall symbol {} do not map the cell onto itself (R'GR = G)", quote_for_message(clues.hall)));
  }
  Candidates others = Settings::get().named(Name(clues.hermann_mauguin).plain);
  for (std::size_t s = 0; s < kTabulated && number && others.empty(); ++s) {
    if (Settings::get().entry(s).number == *number) others.push_back(s);
  }
  if (!others.empty() && crystal_class(Settings::get().operations(others[0])) != crystal_class(out)) {
    throw Error(Exit::data, fmt::format("Hall symbol {} is of another crystal class than {}", quote_for_message(clues.hall), what_is_said(clues)));
  }
  return out;
}

}  // namespace

std::vector<SymmetryOperation> operations_of_group(const SpaceGroupClues& clues, const std::array<double, 9>& lattice) {
  const auto number = number_of(clues.number);
  if (!clues.hall.empty()) {
    try {
      return from_hall(clues, lattice, number);
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {  // gemmi's: the name or the number may still do
      if (clues.hermann_mauguin.empty() && !number) {
        throw Error(Exit::data,
                    fmt::format("unknown space group {} ({}), and no operations are listed", quote_for_message(clues.hall), error.what()));
      }
    }
  }
  const Candidates all = candidates_of(clues, number);
  Candidates fitting;
  for (const std::size_t s : all) {
    if (fits_cell(Settings::get().operations(s), lattice)) fitting.push_back(s);
  }
  if (fitting.empty()) {
    throw Error(Exit::data,
                fmt::format("no setting of the space group fits the cell (R'GR = G): {}, which can be {}", what_is_said(clues), list(all)));
  }
  const auto& operations = Settings::get().operations(fitting[0]);
  const bool one = std::all_of(fitting.begin() + 1, fitting.end(), [&](std::size_t s) {
    const auto& other = Settings::get().operations(s);
    return other.size() == operations.size() && std::all_of(other.begin(), other.end(), [&](const SymmetryOperation& a) {
             return std::any_of(operations.begin(), operations.end(), [&](const SymmetryOperation& b) { return same_operation(a, b); });
           });
  });
  if (!one) {
    throw Error(Exit::data, fmt::format("the setting (origin or axes) of the space group is not told: {} can be {}; list the operations, or give "
                                        "_space_group_IT_coordinate_system_code or the Hall symbol",
                                        what_is_said(clues), list(fitting)));
  }
  return operations;
}

}  // namespace gnn_hpc
