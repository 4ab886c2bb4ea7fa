// SPDX-License-Identifier: Apache-2.0
#include "io/protein.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "base/error.hpp"
#include "base/text.hpp"
#include "io/protein_builder.hpp"
#include "io/text_source.hpp"

namespace gnn_hpc {
namespace {

constexpr std::string_view kStandard = "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL ";
constexpr std::string_view kStandardLetters = "ARNDCQEGHILKMFPSTWYV";  // the codes 0..19
constexpr std::string_view kModified = "MSE SEC PYL SEP TPO PTR CSO CME HYP MLY KCX LLP PCA CSD OCS M3L ";
constexpr std::string_view kModifiedLetters = "MCKSTYCCPKKKECCK";
/// Protonation states under the names of force fields.
constexpr std::string_view kForceField = "HID HIE HIP HSD HSE HSP CYX CYM ASH GLH LYN ";
constexpr std::string_view kForceFieldLetters = "HHHHHHCCDEK";

/// Letter of `name` in a list of three-letter names, each followed by a blank; 0 if it is not among them.
char letter_in(std::string_view names, std::string_view letters, std::string_view name) {
  if (name.size() != 3) return 0;
  for (std::size_t i = 0; i < letters.size(); ++i) {
    if (names.substr(4 * i, 3) == name) return letters[i];
  }
  return 0;
}

std::optional<std::size_t> backbone_index(std::string_view atom) {
  constexpr std::string_view names[kBackboneAtoms] = {"N", "CA", "C", "O"};
  const auto* found = std::find(std::begin(names), std::end(names), atom);
  if (found == std::end(names)) return std::nullopt;
  return static_cast<std::size_t>(found - names);
}

/// `data_` behind white space and comments.
bool is_mmcif(std::string_view text) {
  while (true) {
    const std::size_t start = text.find_first_not_of(" \t\n\v\f");
    if (start == std::string_view::npos) return false;
    text.remove_prefix(start);
    if (text[0] != '#') break;
    text.remove_prefix(std::min(text.find('\n'), text.size()));
  }
  constexpr std::string_view want = "data_";
  if (text.size() < want.size()) return false;
  return std::equal(want.begin(), want.end(), text.begin(), [](char w, char c) { return w == (c >= 'A' && c <= 'Z' ? c | 0x20 : c); });
}

/// Text whose lines all end in LF; `storage` holds it if it differs from `text`.
std::string_view with_line_feeds(std::string_view text, std::string& storage) {
  if (text.find('\r') == std::string_view::npos) return text;
  storage.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      storage += text[i];
    } else if (i + 1 == text.size() || text[i + 1] != '\n') {
      storage += '\n';
    }
  }
  return storage;
}

}  // namespace

bool has_all_atoms(std::span<const double> residue) {
  return std::all_of(residue.begin(), residue.end(), [](double x) { return std::isfinite(x); });
}

bool ProteinChain::complete(std::size_t residue) const {
  return has_all_atoms(std::span(coords).subspan(3 * kBackboneAtoms * residue, 3 * kBackboneAtoms));
}

std::size_t ProteinChain::num_complete() const {
  std::size_t count = 0;
  for (std::size_t r = 0; r < size(); ++r) count += complete(r);
  return count;
}

const ProteinChain& Protein::chain(std::string_view name) const {
  if (name.empty()) return chains.front();
  std::vector<std::string> names;
  for (const ProteinChain& c : chains) {
    if (c.name == name) return c;
    names.push_back(c.name.empty() ? "(blank)" : printable_name(c.name));
  }
  throw Error(Exit::data, fmt::format("{}: has no chain {} with a known amino acid; its chains are {} (a blank name takes the first)", path,
                                      quote_for_message(name), join_names(names)));
}

char residue_letter(std::string_view name) {
  if (const char letter = letter_in(kStandard, kStandardLetters, name)) return letter;
  if (const char letter = letter_in(kModified, kModifiedLetters, name)) return letter;
  return letter_in(kForceField, kForceFieldLetters, name);
}

int residue_code(char letter) {
  const std::size_t at = kStandardLetters.find(letter);
  GNN_HPC_REQUIRE(at != std::string_view::npos, "{} is no letter of an amino acid", letter);
  return static_cast<int>(at);
}

bool is_standard_residue(std::string_view name) { return letter_in(kStandard, kStandardLetters, name) != 0; }
bool is_modified_residue(std::string_view name) { return letter_in(kModified, kModifiedLetters, name) != 0; }

bool read_coordinate(std::string_view text, double& out) {
  const std::optional<double> value = parse_number(text);
  if (!value) return false;
  out = std::isfinite(*value) ? *value : std::numeric_limits<double>::quiet_NaN();
  return true;
}

double* ProteinBuilder::add(std::string_view chain, std::string_view residue, std::string_view name, std::string_view atom, bool hetatm) {
  const char letter = residue_letter(name);
  if (letter == 0) {
    if (!hetatm) unknown_.insert(fmt::format("{}\n{}", chain, residue));
    return nullptr;
  }
  const auto column = backbone_index(atom);
  if (!column || (hetatm && !is_modified_residue(name))) return nullptr;
  auto& chains = protein_.chains;
  auto found = std::find_if(chains.rbegin(), chains.rend(), [chain](const ProteinChain& c) { return c.name == chain; });
  std::size_t index = static_cast<std::size_t>(chains.rend() - found) - 1;
  if (found == chains.rend()) {
    index = chains.size();
    chains.emplace_back().name = chain;
    tables_.emplace_back();
  }
  ProteinChain& owner = chains[index];
  const auto [entry, fresh] = tables_[index].try_emplace(std::string(residue));
  Residue& known = entry->second;
  if (fresh) {
    known = {owner.size(), 0, epoch_};
    owner.residues.emplace_back(residue);
    owner.sequence += letter;
    owner.coords.resize(owner.coords.size() + 3 * kBackboneAtoms, std::numeric_limits<double>::quiet_NaN());
  } else if (known.epoch != epoch_ && recurring_.empty()) {
    recurring_ = fmt::format("residue {} of chain {}", printable_name(residue), chain.empty() ? "(blank)" : printable_name(chain));
  }
  const unsigned bit = 1u << *column;
  if (known.atoms & bit) return nullptr;  // of alternatives and copies the first counts
  known.atoms |= bit;
  return &owner.coords[3 * (kBackboneAtoms * known.index + *column)];
}

Protein ProteinBuilder::finish() {
  if (!unknown_.empty()) {
    protein_.warnings.push_back(
        fmt::format("{}: {} residues in ATOM records are no known amino acid and are left out", protein_.path, unknown_.size()));
  }
  if (!recurring_.empty()) {
    protein_.warnings.push_back(fmt::format("{}: {} comes again after TER; its first atoms count", protein_.path, recurring_));
  }
  return std::move(protein_);
}

Protein parse_protein(std::string_view text, const std::string& path) {
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
  std::string storage;
  text = with_line_feeds(text, storage);
  ProteinBuilder builder(path);
  if (is_mmcif(text)) {
    read_mmcif_atoms(text, path, builder);
  } else {
    read_pdb_atoms(text, path, builder);
  }
  if (builder.empty()) {
    const bool blank = trim(text).empty();
    throw Error(Exit::data, fmt::format("{}: no residue of a known amino acid in the first model{}", path,
                                        blank ? " (the file is empty)" : " (looked for ATOM records in PDB columns, or mmCIF's _atom_site)"));
  }
  return builder.finish();
}

Protein read_protein(const std::string& path) { return parse_protein(read_text(path), path); }

std::string too_few_complete(const Protein& protein, const ProteinChain& chain) {
  const std::size_t complete = chain.num_complete();
  if (2 * complete >= chain.size()) return {};
  return fmt::format("{}: chain {} is left out: only {} of {} residues have N, CA, C and O", protein.path,
                     chain.name.empty() ? "(blank)" : printable_name(chain.name), complete, chain.size());
}

}  // namespace gnn_hpc
