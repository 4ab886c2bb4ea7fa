// SPDX-License-Identifier: Apache-2.0
#include "io/poscar.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.hpp"
#include "io/refusal.hpp"
#include "io/text_source.hpp"
#include "support/hdf5_values.hpp"
#include "support/paths.hpp"

namespace gnn_hpc {
namespace {

std::string reason(const std::string& text) {
  Crystal crystal;
  return test::refusal([&] { parse_poscar(text, crystal); });
}

const std::string kHead = "NaCl\n", kCell = "4 0 0\n0 4 0\n0 0 4\n", kTail = "Na Cl\n1 1\n";

TEST(Poscar, ScaleFactors) {
  Crystal c;
  parse_poscar(kHead + "2.0\n" + kCell + kTail + "Direct\n0 0 0\n.5 .5 .5\n", c);
  EXPECT_EQ(c.lattice[0], 8);
  EXPECT_EQ(c.frac[5], 0.5);
  EXPECT_EQ(c.z, (std::vector<std::uint8_t>{11, 17}));
  parse_poscar(kHead + "-125\n" + kCell + kTail + "Cartesian\n0 0 0\n2 2 2\n", c);  // volume 125: scale 1.25
  EXPECT_NEAR(c.lattice[4], 5, 1e-14);
  EXPECT_NEAR(c.frac[3], 0.5, 1e-14);
  parse_poscar(kHead + "1 2 3\n" + kCell + kTail + "kartesisch\n0 0 0\n2 2 2\n", c);
  EXPECT_EQ(c.lattice[8], 12);
  EXPECT_NEAR(c.frac[5], 0.5, 1e-14);
}

TEST(Poscar, SelectiveDynamicsSuffixesCarriageReturns) {
  Crystal c;
  parse_poscar(
      "x\r\n1.0\r\n4 0 0\r\n0 4 0\r\n0 0 4\r\nNa_pv Cl/abc\r\n 1 1\r\nSelective dynamics\r\nDirect\r\n0 0 0 T T F\r\n"
      "0.5 0.5 -0.5 F F F Cl\r\n",
      c);
  EXPECT_EQ(c.z, (std::vector<std::uint8_t>{11, 17}));
  EXPECT_EQ(c.frac[5], -0.5);  // not wrapped
}

TEST(Poscar, CartesianEqualsDirectInASkewedCell) {
  Crystal direct, cartesian;
  const std::string cell = "1.5\n3 0.2 0\n-1 4 0.1\n0.5 0.3 5\n";
  parse_poscar("x\n" + cell + "Fe O\n1 1\nd\n0.1 0.2 0.3\n0.7 0.9 0.4\n", direct);
  std::string text = "x\n" + cell + "Fe O\n1 1\nC\n";
  for (int a = 0; a < 2; ++a) {
    double r[3];
    multiply(&direct.frac[3 * a], direct.lattice, r);
    text += fmt::format("{:.17g} {:.17g} {:.17g}\n", r[0] / 1.5, r[1] / 1.5, r[2] / 1.5);
  }
  parse_poscar(text, cartesian);
  for (int i = 0; i < 6; ++i) EXPECT_NEAR(cartesian.frac[i], direct.frac[i], 1e-14);
}

TEST(Poscar, EqualsTheReferenceReader) {
  const auto golden = test::shared_path("reference/fixtures/comformer_graphs.h5");
  const auto folder = test::shared_path("data/crystals/jarvis_sample");
  if (!std::filesystem::exists(golden)) GTEST_SKIP() << "no " << golden << "; set GNN_HPC_SHARED";
  const test::Hdf5Values file(golden.string());
  int compared = 0;
  for (const std::string& name : file.groups()) {
    if (!name.starts_with("POSCAR")) continue;
    SCOPED_TRACE(name);
    Crystal c;
    parse_poscar(read_text((folder / (name + ".vasp")).string()), c);
    const auto lattice = file.dataset(name + "/inputs/lattice"), frac = file.dataset(name + "/inputs/frac"), z = file.dataset(name + "/inputs/Z");
    for (int i = 0; i < 9; ++i) EXPECT_EQ(c.lattice[i], lattice[i]);
    EXPECT_EQ(c.frac, frac);
    EXPECT_EQ(std::vector<double>(c.z.begin(), c.z.end()), z);
    ++compared;
  }
  EXPECT_GT(compared, 50);
}

TEST(Poscar, EveryDefectHasItsReason) {
  const auto contains = [](const std::string& text, const std::string& part) {
    const std::string why = reason(text);
    EXPECT_NE(why.find(part), std::string::npos) << "reason: " << why << "\nof: " << text;
  };
  contains("", "ends before the comment");
  contains("x\n", "ends before the scale");
  contains("x\nabc\n", "scale factor is not a number");
  contains("x\n0\n", "scale factor is 0");
  contains("x\n1e400\n", "not finite");
  contains("x\n1 -1 1\n" + kCell, "each must be positive");
  contains("x\n1\n1 0 0\n0 1 0\n", "ends before three lattice vectors");
  contains("x\n1\n1 0\n0 1 0\n0 0 1\n", "component is not a number");
  contains("x\n1\nnan 0 0\n0 1 0\n0 0 1\n", "not finite");
  contains("x\n-5\n1 0 0\n1 0 0\n0 0 1\n", "zero volume");
  contains(kHead + "1\n" + kCell + "1 1\nDirect\n0 0 0\n.5 .5 .5\n", "VASP 4");
  contains(kHead + "1\n" + kCell + "Na Qq\n1 1\n", "unknown element 'Qq'");
  contains(kHead + "1\n" + kCell + "\n1 1\n", "symbols is empty");
  contains(kHead + "1\n" + kCell + "Na Cl\n1\nDirect\n", "number of atoms reads");
  contains(kHead + "1\n" + kCell + "Na Cl\n1 1 1\nDirect\n", "more numbers of atoms");
  contains(kHead + "1\n" + kCell + "Na Cl\n1 -1\nDirect\n", "number of atoms reads '-1'");
  contains(kHead + "1\n" + kCell + "Na Cl\n1 99999999999\nDirect\n", "number of atoms reads");
  contains(kHead + "1\n" + kCell + "Na Cl\n0 0\nDirect\n", "no atoms");
  contains(kHead + "1\n" + kCell + "Na Cl\n1 1\n", "ends before the coordinates");
  contains(kHead + "1\n" + kCell + kTail + "Direct\n0 0 0\n", "ends after 1 of 2 atoms");
  contains(kHead + "1\n" + kCell + kTail + "Direct\n0 0 0\n0 0\n", "coordinate is not a number");
  contains(kHead + "1\n" + kCell + kTail + "Direct\n0 0 0\n0 0 inf\n", "not finite");
  contains("x\n1 2\n" + kCell, "2 scale factors in '1 2'");
  contains("x\n1 1 1 1\n" + kCell, "4 scale factors");
  contains(kHead + "1\n4 0 0 1\n0 4 0\n0 0 4\n" + kTail + "Direct\n0 0 0\n.5 .5 .5\n", "a lattice vector is followed by one more number, '1'");
  contains(kHead + "1\n" + kCell + kTail + "0 0 0\n.5 .5 .5\n.2 .2 .2\n", "says Direct or Cartesian is missing");
  contains(kHead + "1\n" + kCell + kTail + "Selective dynamics\n0 0 0 T T T\n.5 .5 .5 T T T\n.2 .2 .2 T T T\n",
           "says Direct or Cartesian is missing");
  contains(kHead + "1\n" + kCell + kTail + "Na 0 0 0\nCl .5 .5 .5\nCl .2 .2 .2\n", "says Direct or Cartesian is missing");
  contains(kHead + "1\n" + kCell + kTail + "\n0 0 0\n.5 .5 .5\n", "says Direct or Cartesian is missing");
  contains(kHead + "1\n" + kCell + kTail + "Direct\n0 0 0 0\n.5 .5 .5\n", "followed by one more number");
  contains(kHead + "1\n" + kCell + kTail + "Direct\n0 0 0 Cl\n.5 .5 .5 Na\n", "atom 1 is Na by the numbers of atoms, but its line says Cl");
  contains(kHead + "1\n" + kCell + kTail + "Direct\n0 0 0\n.5 .5 .5\n.2 .2 .2\n", "behind the 2 atoms stands '.2 .2 .2'");
  contains(kHead + "1\n" + kCell + kTail + "Direct\n0 0 0\n.05 0 0\n", "atom 1 (Na) and atom 2 (Cl) are 0.20 A apart");
  contains(kHead + "1\n.4 0 0\n0 4 0\n0 0 4\nNa\n1\nDirect\n0 0 0\n", "its own periodic image are 0.40 A apart");
  contains(std::string("\0\0\0\n\xff\xfe\n", 7), "not a number");
}

/// What VASP writes behind the atoms of a dynamics run is known; anything else is refused.
TEST(Poscar, RestartFilesOfDynamicsAreRead) {
  const std::string good = kHead + "1\n" + kCell + kTail + "Direct\n0 0 0\n.5 .5 .5\n";
  const std::string velocities = "  0.1E-02 -0.2E-02 0.0\n -0.1E-02 0.2E-02 0.0\n";
  const std::string lattice = "Lattice velocities and vectors\n  1\n" + kCell + kCell;
  const std::string integrator = "\n  1\n  0.5E+00\n 0.1 0.2 0.3 0.4\n" + velocities + velocities + velocities;
  for (const std::string& behind : {std::string("\n"), std::string("\n\n"), "\n" + velocities, "  \n" + velocities, "Cartesian\n" + velocities,
                                    lattice + "\n" + velocities, "\n" + velocities + integrator, lattice + "\n" + velocities + integrator}) {
    EXPECT_EQ(reason(good + behind), "") << behind;
  }
  EXPECT_NE(reason(good + "\n0 0 0\n").find("stand 1 velocities"), std::string::npos);
  EXPECT_NE(reason(good + "\n0 0 0\n0 0 0\n0 0 0\n").find("other numbers than 2 velocities"), std::string::npos);
  EXPECT_NE(reason(good + good).find("behind the 2 atoms stands 'NaCl'"), std::string::npos);
  EXPECT_NE(reason(good + "\n" + good).find("behind the 2 atoms stands 'NaCl'"), std::string::npos);
}

/// Every prefix and many single-byte changes of a good file end in a crystal or a reason, never in a crash.
TEST(Poscar, DamagedTextIsSafe) {
  const std::string good = kHead + "1.0\n" + kCell + kTail + "Selective\nDirect\n0 0 0 T T T\n.5 .5 .5 F F F\n";
  ASSERT_EQ(reason(good), "");
  std::uint32_t state = 7;
  for (std::size_t n = 0; n < good.size(); ++n) {
    reason(good.substr(0, n));
    for (int t = 0; t < 16; ++t) {
      std::string bad = good;
      bad[n] = static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
      reason(bad);
    }
  }
}

}  // namespace
}  // namespace gnn_hpc
