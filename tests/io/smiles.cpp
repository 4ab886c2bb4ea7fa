// SPDX-License-Identifier: Apache-2.0
#include "io/smiles.hpp"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "base/error.hpp"

namespace gnn_hpc {
namespace {

class Smiles : public testing::Test {
 protected:
  void SetUp() override {
    if (rdkit_version().empty()) GTEST_SKIP() << "built without RDKit";
  }
  Molecule of(const char* text) const {
    Molecule out;
    read_smiles(text, out);
    return out;
  }
  Molecule polymer(const std::string& text) const {
    Molecule out;
    PolymerReader().read(text, out);
    return out;
  }
};

void read_polymer(std::string_view text, Molecule& out) { PolymerReader().read(text, out); }

std::string reason(void (*read)(std::string_view, Molecule&), std::string_view text) {
  Molecule out;
  try {
    read(text, out);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::data);
    return error.what();
  }
  return "accepted";
}

TEST_F(Smiles, AtomsAndBonds) {
  const Molecule m = of(" [*]C(=O)[13CH2][O-] ");
  ASSERT_EQ(m.atoms.size(), 5U);
  ASSERT_EQ(m.bonds.size(), 4U);
  EXPECT_EQ(m.atoms[0].atomic_number, 0);
  EXPECT_EQ(m.atoms[0].mass, 0.0);
  EXPECT_EQ(m.atoms[1].degree, 3);
  EXPECT_EQ(m.atoms[1].hybridisation, Hybridisation::sp2);
  EXPECT_EQ(m.atoms[3].hydrogens, 2);
  EXPECT_NEAR(m.atoms[3].mass, 13.00335, 1e-4);
  EXPECT_EQ(m.atoms[4].charge, -1);
  EXPECT_EQ(m.bonds[1].order, BondOrder::twofold);
  EXPECT_EQ(m.bonds[1].begin, 1);
  EXPECT_EQ(m.bonds[1].end, 2);
  EXPECT_FALSE(m.bonds[1].in_ring);
  EXPECT_TRUE(m.atom_weight.empty());
  const Molecule benzene = of("c1ccccc1");
  for (const auto& bond : benzene.bonds) EXPECT_TRUE(bond.in_ring && bond.conjugated && bond.order == BondOrder::aromatic);
  EXPECT_EQ(count_smiles_atoms("[H]C([H])([H])[H]"), 1);
  EXPECT_EQ(of("[Na+].[Cl-]").bonds.size(), 0U);
  const Molecule trans = of("F/C=C/F");
  EXPECT_EQ(trans.bonds[1].stereo, 3);
}

TEST_F(Smiles, ReasonsAreRdkits) {
  EXPECT_EQ(reason(read_smiles, "  "), "empty SMILES");
  EXPECT_NE(reason(read_smiles, "CC\xe9N").find("byte 3 is no ASCII character"), std::string::npos);
  EXPECT_EQ(of("CC caf\xc3\xa9").atoms.size(), 2U) << "a name";
  EXPECT_NE(reason(read_smiles, std::string(20000, 'C')).find("has 20000 characters; at most 3000 are read"), std::string::npos);
  EXPECT_NE(reason(read_smiles, "C(").find("invalid SMILES 'C(': "), std::string::npos) << reason(read_smiles, "C(");
  EXPECT_NE(reason(read_smiles, "C1CC").find("ring"), std::string::npos) << reason(read_smiles, "C1CC");
  EXPECT_NE(reason(read_smiles, "CC(C)(C)(C)C").find("valence"), std::string::npos);
  EXPECT_NE(reason(read_smiles, "c1cccc1").find("kekulize"), std::string::npos);
  const std::string syntax = reason(read_smiles, "CCQ");
  EXPECT_NE(syntax.find("syntax"), std::string::npos) << syntax;
  EXPECT_EQ(syntax.find('\n'), std::string::npos);
}

TEST_F(Smiles, GoodAndBadTextsInThreads) {
  std::vector<std::string> reasons(8);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < reasons.size(); ++t) {
    threads.emplace_back([t, &reasons] {
      const std::string bad = std::string(t + 1, 'C') + "(";
      for (int i = 0; i < 30; ++i) {
        Molecule out;
        read_smiles("*CC(*)c1ccccc1", out);
        EXPECT_EQ(out.atoms.size(), 10U);
        reasons[t] = reason(read_smiles, bad);
        EXPECT_NE(reasons[t].find("SMILES '" + bad + "': "), std::string::npos) << reasons[t];
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& r : reasons) EXPECT_EQ(r.substr(r.rfind(": ")), reasons[0].substr(reasons[0].rfind(": ")));
}

TEST_F(Smiles, PolymerLosesItsWildcards) {
  const Molecule m = polymer("[*:1]CC([*:2])F.[*:3]O[*:4]|0.25|0.75|<1-3:1:0.5<4-1:0.5:1<2-2:1:1~100");
  ASSERT_EQ(m.atoms.size(), 4U);  // C C F O
  EXPECT_EQ(m.atom_weight, (std::vector<double>{0.25, 0.25, 0.25, 0.75}));
  EXPECT_EQ(m.atoms[0].degree, 4);  // wildcards still count
  EXPECT_DOUBLE_EQ(m.degree_of_polymerisation, 3.0);
  ASSERT_EQ(m.bonds.size(), 5U);
  EXPECT_EQ(m.bonds[0].begin, 0);
  EXPECT_EQ(m.bonds[1].end, 2);
  EXPECT_EQ(m.bonds[2].begin, 0);  // 1-3: first carbon to oxygen
  EXPECT_EQ(m.bonds[2].end, 3);
  EXPECT_EQ(m.bonds[2].forward, 1.0);
  EXPECT_EQ(m.bonds[2].backward, 0.5);
  EXPECT_EQ(m.bonds[3].begin, 3);
  EXPECT_EQ(m.bonds[4].begin, 1);  // an atom to itself in the next unit
  EXPECT_EQ(m.bonds[4].end, 1);
  EXPECT_FALSE(m.bonds[4].in_ring);
}

TEST_F(Smiles, OnePolymerAfterAnother) {
  PolymerReader reader;
  const std::string monomers = "[*:1]CC([*:2])F.[*:3]O[*:4]|", rules = "<1-3:1:0.5<4-1:0.5:1<2-2:1:1~100";
  Molecule again, other;
  const std::string texts[] = {monomers + "0.25|0.75|" + rules, monomers + "0.5|0.5|" + rules,
                               "[*:1]CC([*:2])F.[*:3]O[*:4]|0.5|0.5|<1-3:1:0.25<4-1:0.75:1<2-2:1:1",
                               "[*:1]CC([*:2])F.[*:3]O[*:4]|0.5|0.5|<4-1:1:1<2-2:1:1<3-3:1:1"};
  for (int round = 0; round < 2; ++round) {
    for (const std::string& text : texts) {
      reader.read(text, again);
      other = polymer(text);
      EXPECT_EQ(again.atom_weight, other.atom_weight);
      EXPECT_EQ(again.degree_of_polymerisation, other.degree_of_polymerisation);
      ASSERT_EQ(again.bonds.size(), other.bonds.size());
      for (std::size_t b = 0; b < again.bonds.size(); ++b) {
        EXPECT_EQ(again.bonds[b].begin, other.bonds[b].begin);
        EXPECT_EQ(again.bonds[b].end, other.bonds[b].end);
        EXPECT_EQ(again.bonds[b].forward, other.bonds[b].forward);
        EXPECT_EQ(again.bonds[b].backward, other.bonds[b].backward);
      }
    }
  }
  EXPECT_THROW(reader.read(monomers + "0.5|0.5|<1-3:1:1<9-9:1:1", again), Error);
  reader.read(texts[0], again);
  EXPECT_EQ(again.bonds.size(), 5U);
}

TEST_F(Smiles, JoinedBondsHaveTheJoinedMoleculesConjugation) {
  const Molecule vinylene = polymer("[*:1]C=C[*:2]|1|<1-2:1:1");
  EXPECT_TRUE(vinylene.bonds[1].conjugated);
  const Molecule aromatic = polymer("[*:1]c1ccc([*:2])s1|1|<1-2:1:1");
  EXPECT_TRUE(aromatic.bonds.back().conjugated);
  EXPECT_EQ(aromatic.bonds.back().order, BondOrder::single);
  EXPECT_FALSE(aromatic.bonds.back().in_ring);
  const Molecule pyrrole = polymer("[*:1]n1ccc([*:2])c1|1|<1-1:0.5:0.5<1-2:0.5:0.5<2-2:0.5:0.5");  // cannot be kekulised without its wildcards
  EXPECT_TRUE(pyrrole.bonds[0].order == BondOrder::aromatic);
  EXPECT_EQ(polymer("[*:1]=CC=[*:2]|1|<1-2:1:1").bonds.back().order, BondOrder::twofold);
}

TEST_F(Smiles, PolymersThatDoNotFit) {
  EXPECT_NE(reason(read_polymer, "[*:1]CC[*:2]|1|<1-5:1:1").find("attachment point 5 is not in the fragments"), std::string::npos);
  EXPECT_NE(reason(read_polymer, "[*:1]CC[*:1]|1|<1-1:1:1").find("more than once"), std::string::npos);
  EXPECT_NE(reason(read_polymer, "C[*:1]CC[*:2]|1|<1-2:1:1").find("2 neighbours"), std::string::npos);
  EXPECT_NE(reason(read_polymer, "[*:1].CC[*:2]|0.5|0.5|<2-2:1:1").find("0 neighbours"), std::string::npos);
  EXPECT_NE(reason(read_polymer, "[*:1]=CC[*:2]|1|<1-2:1:1").find("bond orders"), std::string::npos);
  EXPECT_NE(reason(read_polymer, "[*:1][*:2]|1|"), "accepted");
  EXPECT_NE(reason(read_polymer, "[*:1][*:2].C[*:3]|0.5|0.5|<1-2:1:1<3-3:1:1").find("hangs on another"), std::string::npos);
  EXPECT_NE(reason(read_polymer, "[*:1]CC[*:2|1|<1-2:1:1").find("invalid SMILES"), std::string::npos);
  EXPECT_NE(reason(read_polymer, "CCO").find("weights"), std::string::npos);
  EXPECT_EQ(polymer("[*]CC[*]|1|").atoms.size(), 2U);  // labels nobody names need not differ
}

/// With rules, every attachment point is bonded and every fragment is in the chain; nothing is left over.
TEST_F(Smiles, EveryAttachmentPointAndFragmentOfAPolymerIsBonded) {
  EXPECT_NE(reason(read_polymer, "[*:1]CC[*:2]|1|<1-1:1:1").find("attachment point 2 dangles"), std::string::npos);
  EXPECT_NE(reason(read_polymer, "[*:1]CC[*:2].[*:3]CO[*:4]|0.5|0.5|<1-2:1:1<3-3:1:1~10").find("attachment point 4 dangles"), std::string::npos);
  EXPECT_NE(reason(read_polymer, "*CC[*:2]|1|<2-2:1:1").find("attachment point 0 dangles"), std::string::npos);
  EXPECT_NE(reason(read_polymer, "[*:1]CC[*:2].CCO|0.5|0.5|<1-2:1:1").find("fragment 2 has no attachment point"), std::string::npos);
  EXPECT_NE(reason(read_polymer, "[*:1]CC[*:2].[*:3]CO[*:4]|0.5|0.5|<~10").find("no rule says how the 2 fragments"), std::string::npos);
  EXPECT_EQ(reason(read_polymer, "[*:1]CC[*:2]|1|<~25"), "accepted");                                 // one unit without rules is legal
  EXPECT_EQ(reason(read_polymer, "[*:1]CC[*:2].[*:3]CO[*:4]|0.5|0.5|<1-2:1:1<3-4:1:1"), "accepted");  // two blocks, as diblock copolymers
}

/// Shares of fragments, or of blocks whose fragments each carry the block's share.
TEST_F(Smiles, WeightsOfFragmentsAddUpToOne) {
  const std::string two = "[*:1]CC[*:2].[*:3]CO[*:4]", joined = "<1-3:1:1<2-4:1:1", blocks = "<1-2:1:1<3-4:1:1";
  for (const std::string& rules : {joined, blocks}) EXPECT_EQ(reason(read_polymer, two + "|0.3|0.7|" + rules), "accepted");
  for (const std::string& rules : {joined, blocks})
    EXPECT_NE(reason(read_polymer, two + "|1|1|" + rules).find("add up to 2, not 1"), std::string::npos);
  EXPECT_NE(reason(read_polymer, two + "|0.3|0.6|" + joined).find("add up to 0.9, not 1"), std::string::npos);
  EXPECT_NE(reason(read_polymer, two + "|0|0|" + joined).find("add up to 0, not 1"), std::string::npos);
  EXPECT_NE(reason(read_polymer, "[*:1]CC[*:2]|0.4|<1-2:1:1").find("add up to 0.4"), std::string::npos);
  const std::string three = "[*:1]C[*:2].[*:3]O[*:4].[*:5]S[*:6]", pair = "<1-3:1:1<2-4:1:1<5-6:1:1";
  EXPECT_EQ(reason(read_polymer, three + "|0.25|0.25|0.75|" + pair), "accepted");
  EXPECT_NE(reason(read_polymer, three + "|0.25|0.3|0.75|" + pair).find("add up to 1.3"), std::string::npos);
}

TEST(SmilesWithoutRdkit, SaysSo) {
  if (!rdkit_version().empty()) GTEST_SKIP() << "built with RDKit";
  EXPECT_NE(reason(read_smiles, "C").find("GNN_HPC_RDKIT"), std::string::npos);
}

}  // namespace
}  // namespace gnn_hpc
