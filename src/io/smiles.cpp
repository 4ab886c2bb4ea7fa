// SPDX-License-Identifier: Apache-2.0
// The only file that knows RDKit.
#include "io/smiles.hpp"

#include <GraphMol/MolOps.h>
#include <GraphMol/SmilesParse/SmilesParse.h>
#include <RDGeneral/RDLog.h>
#include <RDGeneral/versions.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <shared_mutex>
#include <sstream>
#include <utility>

#include "base/error.hpp"
#include "io/polymer_text.hpp"
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
    case RDKit::Atom::S: return Hybridisation::s;
    case RDKit::Atom::SP: return Hybridisation::sp;
    case RDKit::Atom::SP2: return Hybridisation::sp2;
    case RDKit::Atom::SP3: return Hybridisation::sp3;
    case RDKit::Atom::SP2D: return Hybridisation::sp2d;
    case RDKit::Atom::SP3D: return Hybridisation::sp3d;
    case RDKit::Atom::SP3D2: return Hybridisation::sp3d2;
    default: return Hybridisation::other;
  }
}

BondOrder order_of(RDKit::Bond::BondType type) {
  switch (type) {
    case RDKit::Bond::SINGLE: return BondOrder::single;
    case RDKit::Bond::DOUBLE: return BondOrder::twofold;
    case RDKit::Bond::TRIPLE: return BondOrder::triple;
    case RDKit::Bond::AROMATIC: return BondOrder::aromatic;
    default: return BondOrder::other;
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
  int atom = 0;  ///< in the molecule with wildcards
  RDKit::Bond::BondType order = RDKit::Bond::SINGLE;
  int count = 0;  ///< wildcards of this label
};

/// Aromatic rings that lost a wildcard cannot always be written with single and double bonds, and need not be.
void sanitise_without_kekulising(RDKit::RWMol& molecule) {
  unsigned failed = 0;
  RDKit::MolOps::sanitizeMol(molecule, failed, RDKit::MolOps::SANITIZE_ALL ^ RDKit::MolOps::SANITIZE_KEKULIZE);
}

std::map<std::int64_t, AttachmentPoint> find_attachment_points(const RDKit::RWMol& molecule) {
  std::map<std::int64_t, AttachmentPoint> points;
  for (const RDKit::Atom* atom : molecule.atoms()) {
    if (atom->getAtomicNum() != 0) continue;
    const std::int64_t label = atom->getAtomMapNum();
    if (atom->getDegree() != 1) {
      throw Error(Exit::data, fmt::format("attachment point {} has {} neighbours; it must have one", label, atom->getDegree()));
    }
    const RDKit::Bond* bond = *molecule.atomBonds(atom).begin();
    AttachmentPoint& point = points[label];
    point.atom = static_cast<int>(bond->getOtherAtomIdx(atom->getIdx()));
    point.order = bond->getBondType();
    ++point.count;
  }
  return points;
}

/// The bonds of the rules, appended to `out.bonds`. @param core the fragments without wildcards  @param renumbered old atom to new one, -1: wildcard
void add_rules(const std::vector<PolymerText::Rule>& rules, const std::map<std::int64_t, AttachmentPoint>& points, const RDKit::RWMol& core,
               const std::vector<std::int32_t>& renumbered, Molecule& out) {
  RDKit::RWMol two_copies(core);
  two_copies.insertMol(core);
  const auto copy = static_cast<std::int32_t>(core.getNumAtoms());
  std::map<std::pair<std::int32_t, std::int32_t>, MoleculeBond> known;  // (lower, higher): both copies are the same
  for (const auto& rule : rules) {
    std::int32_t ends[2] = {0, 0};
    RDKit::Bond::BondType orders[2] = {RDKit::Bond::SINGLE, RDKit::Bond::SINGLE};
    for (int k = 0; k < 2; ++k) {
      const std::int64_t label = k == 0 ? rule.from : rule.to;
      const auto point = points.find(label);
      if (point == points.end() || point->second.count != 1) {
        throw Error(Exit::data, fmt::format("rule {}-{}: attachment point {} {}", rule.from, rule.to, label,
                                            point == points.end() ? "is not in the fragments" : "occurs more than once"));
      }
      ends[k] = renumbered[static_cast<std::size_t>(point->second.atom)];
      if (ends[k] < 0) throw Error(Exit::data, fmt::format("attachment point {} hangs on another attachment point", label));
      orders[k] = point->second.order;
    }
    if (orders[0] != orders[1]) {
      throw Error(Exit::data, fmt::format("rule {}-{}: its attachment points have different bond orders", rule.from, rule.to));
    }
    auto [place, fresh] = known.try_emplace(std::minmax(ends[0], ends[1]));
    if (fresh || place->second.order != order_of(orders[0])) {
      RDKit::RWMol joined(two_copies);
      const unsigned bond = joined.addBond(static_cast<unsigned>(ends[0]), static_cast<unsigned>(copy + ends[1]), orders[0]) - 1;
      sanitise_without_kekulising(joined);
      place->second = describe(*joined.getBondWithIdx(bond));
    }
    MoleculeBond bond = place->second;
    bond.begin = ends[0];
    bond.end = ends[1];
    bond.forward = rule.forward;
    bond.backward = rule.backward;
    out.bonds.push_back(bond);
  }
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

void read_polymer(std::string_view text, Molecule& out) {
  const PolymerText polymer = parse_polymer_text(text);
  out.clear();
  out.degree_of_polymerisation = polymer.degree_of_polymerisation;
  RDKit::RWMol whole;
  std::vector<double> weights;  // of all atoms, wildcards too
  for (std::size_t f = 0; f < polymer.fragments.size(); ++f) {
    const auto fragment = parse(polymer.fragments[f]);
    weights.resize(weights.size() + fragment->getNumAtoms(), polymer.weights[f]);
    if (f == 0) {
      whole = *fragment;
    } else {
      whole.insertMol(*fragment);
    }
  }
  try {
    const auto points = find_attachment_points(whole);
    std::vector<std::int32_t> renumbered(weights.size(), -1);
    for (const RDKit::Atom* atom : whole.atoms()) {  // described while still bonded to wildcards: saturation is then right
      if (atom->getAtomicNum() == 0) continue;
      renumbered[atom->getIdx()] = static_cast<std::int32_t>(out.atoms.size());
      out.atoms.push_back(describe(*atom));
      out.atom_weight.push_back(weights[atom->getIdx()]);
    }
    if (out.atoms.empty()) throw Error(Exit::data, "no atom but attachment points");
    for (std::size_t i = renumbered.size(); i-- > 0;) {
      if (renumbered[i] < 0) whole.removeAtom(static_cast<unsigned>(i));
    }
    sanitise_without_kekulising(whole);
    for (const RDKit::Bond* rdkit_bond : whole.bonds()) {
      MoleculeBond bond = describe(*rdkit_bond);
      if (bond.begin > bond.end) std::swap(bond.begin, bond.end);
      out.bonds.push_back(bond);
    }
    std::sort(out.bonds.begin(), out.bonds.end(),
              [](const MoleculeBond& a, const MoleculeBond& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
    add_rules(polymer.rules, points, whole, renumbered, out);
  } catch (const Error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {  // RDKit's
    throw Error(Exit::data, fmt::format("the polymer cannot be put together: {}", error.what()));
  }
}

}  // namespace gnn_hpc
