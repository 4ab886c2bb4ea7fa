// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/error.hpp"
#include "io/protein_builder.hpp"
#include "io/text_source.hpp"

namespace gnn_hpc {
namespace {

constexpr std::size_t kFirstColumns = 27;  ///< a shorter line does not say which residue it is of

/// Columns [begin,end) of a line, blanks trimmed; what the line is too short for is blank.
std::string_view columns(std::string_view line, std::size_t begin, std::size_t end) {
  return begin < line.size() ? trim(line.substr(begin, end - begin)) : std::string_view{};
}

void read_atom(std::string_view line, std::int64_t number, const std::string& path, ProteinBuilder& out) {
  if (line.size() < kFirstColumns) {
    throw Error(Exit::data, fmt::format("{}:{}: the line is too short for an atom: it ends at column {}, the residue's number ends at column {}",
                                        path, number, line.size(), kFirstColumns));
  }
  const std::string_view chain = columns(line, line[20] == ' ' ? 21 : 20, 22), residue = columns(line, 22, 27);
  double* xyz = out.add(chain, residue, columns(line, 17, 20), columns(line, 12, 16), line[0] == 'H');
  if (!xyz) return;
  for (std::size_t d = 0; d < 3; ++d) {
    const std::string_view word = columns(line, 30 + 8 * d, 38 + 8 * d);
    if (read_coordinate(word, xyz[d])) continue;
    throw Error(Exit::data,
                fmt::format("{}:{}: {} of atom {} of residue {} (chain {}) is no number: {}", path, number, "xyz"[d],
                            quote_for_message(columns(line, 12, 16)), quote_for_message(residue), quote_for_message(chain), quote_for_message(word)));
  }
}

}  // namespace

/// Own columns instead of gemmi's reader, which stops at END, merges alternatives and reads numbers that are not there as 0.
void read_pdb_atoms(std::string_view text, const std::string& path, ProteinBuilder& out) {
  std::int64_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end), tag = line.substr(0, 6);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (tag == "ENDMDL") return;
    if (tag == "ATOM  " || tag == "HETATM") read_atom(line, number, path, out);
    if (tag.substr(0, 3) == "TER" && (tag.size() == 3 || tag[3] == ' ')) out.end_of_chain();
  }
}

}  // namespace gnn_hpc
