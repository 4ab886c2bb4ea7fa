// SPDX-License-Identifier: Apache-2.0
// The only file that knows RDKit.
#include "io/smiles.hpp"

#include <GraphMol/MolOps.h>
#include <GraphMol/SmilesParse/SmilesParse.h>
#include <RDGeneral/RDLog.h>
#include <RDGeneral/versions.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <shared_mutex>
#include <sstream>
#include <utility>

#include "base/error.hpp"
#include "io/text_source.hpp"

namespace gnn_hpc {
namespace {

/// RDKit's logs are global. They are off (null) but while one text is read again to learn why it was refused; then all other
/// readers wait.
std::shared_mutex logs;

/// "[12:00:00] SMILES Parse Error: syntax error while parsing: C(" -> "syntax error"
std::string reason_of(std::string_view log) {
  std::string_view line;
  while (next_line(log, line)) {
    if (const auto stamp = line.find("] "); line.starts_with('[') && stamp != line.npos) line.remove_prefix(stamp + 2);
    constexpr std::string_view kOpening = "SMILES Parse Error: ";
    if (line.starts_with(kOpening)) line.remove_prefix(kOpening.size());
    for (const char* rest : {" while parsing: ", " for input: ", " whilst parsing: "}) line = line.substr(0, line.find(rest));
    line = trim(line);
    if (!line.empty()) return std::string(line);
  }
  return "syntax error";
}

std::string why_refused(const std::string& text) {
  const std::unique_lock lock(logs);
  std::ostringstream log;
  rdErrorLog = std::make_shared<boost::logging::rdLogger>(&log);
  try {
    const std::unique_ptr<RDKit::RWMol> molecule(RDKit::SmilesToMol(text, RDKit::SmilesParserParams()));
  } catch (const std::exception&) {  // has its own message, and did not the first time
  }
  rdErrorLog.reset();
  return reason_of(log.str());
}

std::unique_ptr<RDKit::RWMol> parse(std::string_view given) {
  const std::string text(trim(given));
  if (text.empty()) throw Error(Exit::data, "empty SMILES");
  if (text.size() > kLongestSmiles) {
    throw Error(Exit::data, fmt::format("SMILES {} has {} characters; at most {} are read, as RDKit's time grows with the cube of a chain's length",
                                        quote_for_message(text, 30), text.size(), kLongestSmiles));
  }
  const auto foreign = std::find_if(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80 || c == '\0'; });
  if (foreign < std::find(text.begin(), text.end(), ' ')) {  // RDKit would end the molecule there without a word; after a blank is a name
    throw Error(Exit::data, fmt::format("invalid SMILES {}: byte {} is no ASCII character", quote_for_message(text, 80), foreign - text.begin() + 1));
  }
  std::unique_ptr<RDKit::RWMol> molecule;
  std::string reason;
  try {
    const std::shared_lock lock(logs);
    molecule.reset(RDKit::SmilesToMol(text, RDKit::SmilesParserParams()));
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    reason = error.what();
  }
  if (molecule && molecule->getNumAtoms() == 0) reason = "no atoms";
  if (!molecule && reason.empty()) reason = why_refused(text);
  if (!reason.empty()) throw Error(Exit::data, fmt::format("invalid SMILES {}: {}", quote_for_message(text, 80), trim(reason)));
  return molecule;
}

Hybridisation hybridisation_of(const RDKit::Atom& atom) {
  switch (atom.getHybridization()) {
    case RDKit::Atom::S:
      return Hybridisation::s;
    case RDKit::Atom::SP:
      return Hybridisation::sp;
    case RDKit::Atom::SP2:
      return Hybridisation::sp2;
    case RDKit::Atom::SP3:
      return Hybridisation::sp3;
    case RDKit::Atom::SP2D:
      return Hybridisation::sp2d;
    case RDKit::Atom::SP3D:
      return Hybridisation::sp3d;
    case RDKit::Atom::SP3D2:
      return Hybridisation::sp3d2;
    default:
      return Hybridisation::other;
  }
}

BondOrder order_of(RDKit::Bond::BondType type) {
  switch (type) {
    case RDKit::Bond::SINGLE:
      return BondOrder::single;
    case RDKit::Bond::DOUBLE:
      return BondOrder::twofold;
    case RDKit::Bond::TRIPLE:
      return BondOrder::triple;
    case RDKit::Bond::AROMATIC:
      return BondOrder::aromatic;
    default:
      return BondOrder::other;
  }
}

MoleculeAtom describe(const RDKit::Atom& atom) {
  return {.atomic_number = atom.getAtomicNum(),
          .degree = static_cast<int>(atom.getTotalDegree()),
          .charge = atom.getFormalCharge(),
          .chirality = static_cast<int>(atom.getChiralTag()),
          .hydrogens = static_cast<int>(atom.getTotalNumHs()),
          .hybridisation = hybridisation_of(atom),
          .aromatic = atom.getIsAromatic(),
          .mass = atom.getMass()};
}

MoleculeBond describe(const RDKit::Bond& bond) {
  return {.begin = static_cast<std::int32_t>(bond.getBeginAtomIdx()),
          .end = static_cast<std::int32_t>(bond.getEndAtomIdx()),
          .order = order_of(bond.getBondType()),
          .conjugated = bond.getIsConjugated(),
          .in_ring = bond.getOwningMol().getRingInfo()->numBondRings(bond.getIdx()) != 0,
          .stereo = static_cast<int>(bond.getStereo())};
}

/// Where a fragment's wildcard was: the atom it hung on, and by what bond.
struct AttachmentPoint {
  std::size_t fragment = 0;
  int atom = 0;  ///< in the fragment with wildcards
  RDKit::Bond::BondType order = RDKit::Bond::SINGLE;
  int count = 0;  ///< wildcards of this label
};

/// A fragment that has lost its wildcards.
struct Core {
  std::unique_ptr<RDKit::RWMol> molecule;
  std::vector<int> renumbered;  ///< atom with wildcards -> atom of `molecule`, -1: wildcard
  std::int32_t first = 0;       ///< number of its first atom among those of all cores
};

/// Aromatic rings that lost a wildcard cannot always be written with single and double bonds, and need not be.
void sanitise_without_kekulising(RDKit::RWMol& molecule) {
  unsigned failed = 0;
  RDKit::MolOps::sanitizeMol(molecule, failed, RDKit::MolOps::SANITIZE_ALL ^ RDKit::MolOps::SANITIZE_KEKULIZE);
}

void find_attachment_points(const RDKit::RWMol& fragment, std::size_t number, std::map<std::int64_t, AttachmentPoint>& points) {
  for (const RDKit::Atom* atom : fragment.atoms()) {
    if (atom->getAtomicNum() != 0) continue;
    const std::int64_t label = atom->getAtomMapNum();
    if (atom->getDegree() != 1) {
      throw Error(Exit::data, fmt::format("attachment point {} has {} neighbours; it must have one", label, atom->getDegree()));
    }
    const RDKit::Bond* bond = *fragment.atomBonds(atom).begin();
    AttachmentPoint& point = points[label];
    point.fragment = number;
    point.atom = static_cast<int>(bond->getOtherAtomIdx(atom->getIdx()));
    point.order = bond->getBondType();
    ++point.count;
  }
}

/// Appends a fragment's atoms, described while still bonded to wildcards (saturation is then right), and bonds, described without.
Core take_fragment(std::unique_ptr<RDKit::RWMol> fragment, Molecule& out) {
  Core core;
  core.first = static_cast<std::int32_t>(out.atoms.size());
  core.renumbered.assign(fragment->getNumAtoms(), -1);
  int next = 0;
  for (const RDKit::Atom* atom : fragment->atoms()) {
    if (atom->getAtomicNum() == 0) continue;
    core.renumbered[atom->getIdx()] = next++;
    out.atoms.push_back(describe(*atom));
  }
  for (std::size_t i = core.renumbered.size(); i-- > 0;) {
    if (core.renumbered[i] < 0) fragment->removeAtom(static_cast<unsigned>(i));
  }
  sanitise_without_kekulising(*fragment);
  const auto first_bond = static_cast<std::ptrdiff_t>(out.bonds.size());
  for (const RDKit::Bond* rdkit_bond : fragment->bonds()) {
    MoleculeBond bond = describe(*rdkit_bond);
    if (bond.begin > bond.end) std::swap(bond.begin, bond.end);
    bond.begin += core.first;
    bond.end += core.first;
    out.bonds.push_back(bond);
  }
  std::sort(out.bonds.begin() + first_bond, out.bonds.end(),
            [](const MoleculeBond& a, const MoleculeBond& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  core.molecule = std::move(fragment);
  return core;
}

/// The bonds of the rules, appended to `out.bonds`. Only the two fragments that a rule joins decide what its bond is.
void add_rules(const std::vector<PolymerText::Rule>& rules, const std::map<std::int64_t, AttachmentPoint>& points, const std::vector<Core>& cores,
               Molecule& out) {
  std::map<std::pair<std::int32_t, std::int32_t>, MoleculeBond> known;  // (lower, higher): both directions join the same
  for (const auto& rule : rules) {
    const Core* core[2] = {nullptr, nullptr};
    int atom[2] = {0, 0};  // in the core
    RDKit::Bond::BondType orders[2] = {RDKit::Bond::SINGLE, RDKit::Bond::SINGLE};
    for (int k = 0; k < 2; ++k) {
      const std::int64_t label = k == 0 ? rule.from : rule.to;
      const auto point = points.find(label);
      if (point == points.end() || point->second.count != 1) {
        throw Error(Exit::data, fmt::format("rule {}-{}: attachment point {} {}", rule.from, rule.to, label,
                                            point == points.end() ? "is not in the fragments" : "occurs more than once"));
      }
      core[k] = &cores[point->second.fragment];
      atom[k] = core[k]->renumbered[static_cast<std::size_t>(point->second.atom)];
      if (atom[k] < 0) throw Error(Exit::data, fmt::format("attachment point {} hangs on another attachment point", label));
      orders[k] = point->second.order;
    }
    if (orders[0] != orders[1]) {
      throw Error(Exit::data, fmt::format("rule {}-{}: its attachment points have different bond orders", rule.from, rule.to));
    }
    const std::int32_t begin = core[0]->first + atom[0], end = core[1]->first + atom[1];
    auto [place, fresh] = known.try_emplace(std::minmax(begin, end));
    if (fresh || place->second.order != order_of(orders[0])) {
      RDKit::RWMol joined(*core[0]->molecule);
      joined.insertMol(*core[1]->molecule);
      const auto second = static_cast<unsigned>(core[0]->molecule->getNumAtoms()) + static_cast<unsigned>(atom[1]);
      const unsigned bond = joined.addBond(static_cast<unsigned>(atom[0]), second, orders[0]) - 1;
      sanitise_without_kekulising(joined);
      place->second = describe(*joined.getBondWithIdx(bond));
    }
    MoleculeBond bond = place->second;
    bond.begin = begin;
    bond.end = end;
    out.bonds.push_back(bond);
  }
}

/// The block of every fragment; Error for an attachment point or a fragment that no rule bonds to anything.
std::vector<std::size_t> find_blocks(const PolymerText& polymer, const std::map<std::int64_t, AttachmentPoint>& points) {
  const std::size_t n = polymer.fragments.size();
  std::vector<std::size_t> block(n);
  for (std::size_t f = 0; f < n; ++f) block[f] = f;
  if (polymer.rules.empty()) {
    if (n > 1) throw Error(Exit::data, fmt::format("no rule says how the {} fragments are bonded", n));
    return block;
  }
  std::set<std::int64_t> used;
  for (const auto& rule : polymer.rules) {
    used.insert({rule.from, rule.to});
    const std::size_t a = block[points.at(rule.from).fragment], b = block[points.at(rule.to).fragment];
    for (std::size_t& f : block) f = f == std::max(a, b) ? std::min(a, b) : f;
  }
  std::vector<bool> bonded(n, false);
  for (const auto& [label, point] : points) {
    if (used.count(label) == 0 || point.count > 1)
      throw Error(Exit::data, fmt::format("attachment point {} dangles: no rule bonds it to another", label));
    bonded[point.fragment] = true;
  }
  const auto loose = std::find(bonded.begin(), bonded.end(), false);
  if (loose != bonded.end()) {
    throw Error(Exit::data, fmt::format("fragment {} has no attachment point: it is bonded to nothing", loose - bonded.begin() + 1));
  }
  return block;
}

/// A share each fragment, or, where fragments of a block have one weight, a share each block.
void check_weights(const std::vector<double>& weights, const std::vector<std::size_t>& block) {
  double all = 0, blocks = 0;
  bool equal = std::any_of(block.begin(), block.end(), [](std::size_t b) { return b > 0; });  // several blocks
  for (std::size_t f = 0; f < weights.size(); ++f) {
    all += weights[f];
    if (block[f] == f) blocks += weights[f];
    equal = equal && weights[f] == weights[block[f]];
  }
  if (std::abs(all - 1) <= 1e-5 || (equal && std::abs(blocks - 1) <= 1e-5)) return;
  throw Error(Exit::data, fmt::format("the weights of the fragments add up to {:.8g}, not 1", all));
}

}  // namespace

std::string rdkit_version() { return RDKit::rdkitVersion; }
void require_rdkit() {}

int count_smiles_atoms(std::string_view text) { return static_cast<int>(parse(text)->getNumAtoms()); }

void read_smiles(std::string_view text, Molecule& out) {
  const auto molecule = parse(text);
  out.clear();
  out.atoms.reserve(molecule->getNumAtoms());
  out.bonds.reserve(molecule->getNumBonds());
  for (const RDKit::Atom* atom : molecule->atoms()) out.atoms.push_back(describe(*atom));
  for (const RDKit::Bond* bond : molecule->bonds()) out.bonds.push_back(describe(*bond));
}

/// All of a polymer but its numbers: weights stay 1, `atom_weight` holds the number of the atom's fragment.
PolymerReader::Structure PolymerReader::structure_of(const PolymerText& polymer) {
  Structure out;
  std::vector<std::unique_ptr<RDKit::RWMol>> fragments;
  for (const std::string& text : polymer.fragments) fragments.push_back(parse(text));
  try {
    std::map<std::int64_t, AttachmentPoint> points;
    for (std::size_t f = 0; f < fragments.size(); ++f) find_attachment_points(*fragments[f], f, points);
    std::vector<Core> cores;
    for (std::size_t f = 0; f < fragments.size(); ++f) {
      cores.push_back(take_fragment(std::move(fragments[f]), out.molecule));
      out.molecule.atom_weight.resize(out.molecule.atoms.size(), static_cast<double>(f));
    }
    if (out.molecule.atoms.empty()) throw Error(Exit::data, "no atom but attachment points");
    add_rules(polymer.rules, points, cores, out.molecule);
    out.block = find_blocks(polymer, points);
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {  // RDKit's
    throw Error(Exit::data, fmt::format("the polymer cannot be put together: {}", error.what()));
  }
  return out;
}

void PolymerReader::read(std::string_view text, Molecule& out) {
  const PolymerText polymer = parse_polymer_text(text);
  key_.clear();
  for (const std::string& fragment : polymer.fragments) (key_ += fragment) += '.';
  for (const auto& rule : polymer.rules) key_ += fmt::format("<{}-{}", rule.from, rule.to);
  auto known = structures_.find(key_);
  if (known == structures_.end()) {
    Structure structure = structure_of(polymer);
    if (structures_.size() >= kMostStructures) structures_.clear();
    known = structures_.emplace(key_, std::move(structure)).first;
  }
  check_weights(polymer.weights, known->second.block);
  out = known->second.molecule;
  out.degree_of_polymerisation = polymer.degree_of_polymerisation;
  for (double& weight : out.atom_weight) weight = polymer.weights[static_cast<std::size_t>(weight)];
  const std::size_t inside = out.bonds.size() - polymer.rules.size();  // the others are those of the rules, in order
  for (std::size_t r = 0; r < polymer.rules.size(); ++r) {
    out.bonds[inside + r].forward = polymer.rules[r].forward;
    out.bonds[inside + r].backward = polymer.rules[r].backward;
  }
}

}  // namespace gnn_hpc
