// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"
#include "io/csv.hpp"
#include "io/smiles.hpp"
#include "support/paths.hpp"

namespace gnn_hpc {
namespace {

struct HomopolymerRow {
  std::string name, smiles, tg, source;
};

std::vector<HomopolymerRow> homopolymers() {
  CsvReader reader(test::source_path("inputs/data/polymers_tg.csv").string());
  CsvReader::Row row;
  std::vector<HomopolymerRow> out;
  EXPECT_TRUE(reader.next(row));
  EXPECT_EQ(row.size, 4U);
  EXPECT_EQ(std::vector<std::string>(row.fields.begin(), row.fields.begin() + 4), (std::vector<std::string>{"name", "smiles", "tg", "source"}));
  while (reader.next(row)) {
    EXPECT_EQ(row.size, 4U) << "line " << row.line;
    if (row.size == 4) out.push_back({row.fields[0], row.fields[1], row.fields[2], row.fields[3]});
  }
  return out;
}

/// What a chain is made of, wherever its repeat unit was cut: colours of the atoms of the unit closed to a ring, after as many rounds of
/// refinement as tell polymers apart. Equal chains have equal signatures.
std::string chain_signature(const Molecule& unit) {
  struct Neighbour {
    std::size_t atom;
    std::string bond;
  };
  std::vector<std::vector<Neighbour>> neighbours(unit.atoms.size());
  std::vector<std::size_t> ends;
  for (const MoleculeBond& bond : unit.bonds) {
    const std::size_t a = static_cast<std::size_t>(bond.begin), b = static_cast<std::size_t>(bond.end);
    const bool from_star = unit.atoms[a].atomic_number == 0, to_star = unit.atoms[b].atomic_number == 0;
    if (from_star || to_star) {
      ends.push_back(from_star ? b : a);
      continue;
    }
    const std::string label = fmt::format("{} {}", static_cast<int>(bond.order), bond.stereo);
    neighbours[a].push_back({b, label});
    neighbours[b].push_back({a, label});
  }
  EXPECT_EQ(ends.size(), 2U);
  neighbours[ends[0]].push_back({ends[1], "0 0"});
  neighbours[ends[1]].push_back({ends[0], "0 0"});
  std::vector<std::size_t> colour(unit.atoms.size());
  const std::hash<std::string> hash;
  for (std::size_t i = 0; i < colour.size(); ++i) {
    const MoleculeAtom& atom = unit.atoms[i];
    colour[i] = hash(fmt::format("{} {} {} {}", atom.atomic_number, atom.degree, atom.hydrogens, atom.charge));
  }
  for (int round = 0; round < 12; ++round) {
    auto next = colour;
    for (std::size_t i = 0; i < colour.size(); ++i) {
      std::vector<std::string> around;
      for (const Neighbour& n : neighbours[i]) around.push_back(fmt::format("{} {}", n.bond, colour[n.atom]));
      std::sort(around.begin(), around.end());
      next[i] = hash(fmt::format("{}|{}", colour[i], join(around, ",")));
    }
    colour = std::move(next);
  }
  std::vector<std::string> colours;
  for (std::size_t i = 0; i < colour.size(); ++i) {
    if (unit.atoms[i].atomic_number != 0) colours.push_back(std::to_string(colour[i]));
  }
  std::sort(colours.begin(), colours.end());
  return join(colours, ",");
}

/// The demonstration data: readable, one chain a row, no chain twice, temperatures that polymers have.
TEST(Homopolymers, AreSane) {
  const bool chemistry = !rdkit_version().empty();
  std::set<std::string> names, texts;
  std::map<std::string, std::string> chains;
  std::map<std::string, double> tg_of;
  for (const HomopolymerRow& row : homopolymers()) {
    SCOPED_TRACE(row.name);
    EXPECT_TRUE(names.insert(row.name).second);
    EXPECT_TRUE(texts.insert(row.smiles).second);
    EXPECT_NE(row.source.find_first_of("0123456789"), std::string::npos) << "a source has a year";
    const auto tg = parse_number(row.tg);
    ASSERT_TRUE(tg);
    EXPECT_GT(*tg, 120.0);  // poly(diethylsiloxane) has 134 K
    EXPECT_LT(*tg, 750.0);  // polybenzimidazole about 700 K
    tg_of[row.name] = *tg;
    EXPECT_EQ(std::count(row.smiles.begin(), row.smiles.end(), '*'), 2);
    if (!chemistry) continue;
    Molecule unit;
    ASSERT_NO_THROW(read_smiles(row.smiles, unit));
    int stars = 0;
    for (const MoleculeAtom& atom : unit.atoms) {
      stars += atom.atomic_number == 0;
      EXPECT_EQ(atom.charge, 0);
      EXPECT_TRUE(atom.atomic_number != 0 || atom.degree == 1);
    }
    EXPECT_EQ(stars, 2);
    const auto [earlier, fresh] = chains.emplace(chain_signature(unit), row.name);
    EXPECT_TRUE(fresh) << "the same chain as " << earlier->second;
  }
  EXPECT_GE(names.size(), 150U);
  // Orders that every textbook gives.
  EXPECT_LT(tg_of.at("poly(dimethylsiloxane)"), tg_of.at("polyethylene"));
  EXPECT_LT(tg_of.at("polyethylene"), tg_of.at("polystyrene"));
  EXPECT_LT(tg_of.at("poly(butyl methacrylate)"), tg_of.at("poly(ethyl methacrylate)"));
  EXPECT_LT(tg_of.at("poly(methyl acrylate)"), tg_of.at("poly(methyl methacrylate), atactic"));
  EXPECT_LT(tg_of.at("polystyrene"), tg_of.at("bisphenol A polycarbonate"));
}

TEST(Homopolymers, SignaturesKnowChainsNotCuts) {
  if (rdkit_version().empty()) GTEST_SKIP() << "built without RDKit";
  const auto signature = [](const char* text) {
    Molecule unit;
    read_smiles(text, unit);
    return chain_signature(unit);
  };
  EXPECT_EQ(signature("*CC(*)C"), signature("*C(C)C*"));
  EXPECT_EQ(signature("*CCO*"), signature("*COC*"));
  EXPECT_NE(signature("*CCO*"), signature("*CO*"));
  EXPECT_NE(signature("*CC(*)c1ccccc1C"), signature("*CC(*)c1cccc(C)c1"));
  EXPECT_NE(signature("*C/C=C\\C*"), signature("*C/C=C/C*"));
}

}  // namespace
}  // namespace gnn_hpc
