// SPDX-License-Identifier: Apache-2.0
#include "io/extxyz.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "base/error.hpp"
#include "io/poscar.hpp"
#include "support/paths.hpp"

namespace gnn_hpc {
namespace {

const std::string kLattice = "Lattice=\"4 0 0 0 5 0 0 0 6\" ";

struct Parsed {
  Crystal crystal;
  std::vector<std::string> raw, found;
};

Parsed parse(const std::string& text, const std::vector<std::string>& targets = {}, const std::string& id_key = {}, bool box = false) {
  Parsed out;
  parse_extxyz(text, targets, id_key, box, out.crystal, out.raw, out.found);
  return out;
}

std::string reason(const std::string& text) {
  try {
    parse(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::data);
    return error.what();
  }
  return {};
}

TEST(Extxyz, InfoQuotingBracketsAndFlags) {
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(parse_info("a=1 b=\"two words\" c='x y' d={1 2 3} e=[1,2] flag \"odd key\"=7 f = 8 g=\"a\\\"b\" h=[[1,0],[0,1]]"),
            (Pairs{{"a", "1"},
                   {"b", "two words"},
                   {"c", "x y"},
                   {"d", "1 2 3"},
                   {"e", "1 2"},
                   {"flag", "T"},
                   {"odd key", "7"},
                   {"f", "8"},
                   {"g", "a\"b"},
                   {"h", "1 0 0 1"}}));
  EXPECT_EQ(parse_info("  "), Pairs{});
  EXPECT_THROW(parse_info("a=\"open b=1"), Error);  // what it swallows is lost
  EXPECT_EQ(parse_info("= =x b"), (Pairs{{"x", "T"}, {"b", "T"}}));
}

TEST(Extxyz, CoordinatesBecomeFractionalAndColumnsComeInAnyOrder) {
  const auto p = parse("2\n" + kLattice + "Properties=id:I:1:pos:R:3:species:S:1:forces:R:3 energy=-1.5\n1 1 1 1 Fe 0 0 0\n2 2 2.5 3 O2- 0 0 0\n");
  EXPECT_EQ(p.crystal.z, (std::vector<std::uint8_t>{26, 8}));
  const std::vector<double> expected{0.25, 0.2, 1.0 / 6, 0.5, 0.5, 0.5};
  for (int i = 0; i < 6; ++i) EXPECT_NEAR(p.crystal.frac[i], expected[i], 1e-15);
  EXPECT_EQ(parse("1\n" + kLattice + "Properties=Z:I:1:pos:R:3\n103 0 0 0\n").crystal.z[0], 103);
  EXPECT_EQ(parse("1\n" + kLattice + "\nNa 0 0 0 extra columns\n").crystal.z[0], 11);  // Properties left out
}

TEST(Extxyz, TargetsFromInfoThenFromColumns) {
  const std::string frame = "2\n" + kLattice +
                            "Properties=species:S:1:pos:R:3:magmom:R:1:forces:R:3 energy=-1.5 note=\"a b\" id=mp-7\n"
                            "Fe 0 0 0 1 1 2 3\nO 1 1 1 2 4 5 6\n";
  const auto p = parse(frame, {"energy", "magmom", "forces", "absent", "note"});
  EXPECT_EQ(p.raw[0], "-1.5");
  EXPECT_EQ(std::stod(p.raw[1]), 1.5);
  EXPECT_EQ(std::stod(p.raw[2]), 3.5);
  EXPECT_EQ(p.raw[3], "");
  EXPECT_EQ(p.raw[4], "a b");
  EXPECT_EQ(p.found, (std::vector<std::string>{"energy", "note", "id", "magmom", "forces"}));
  EXPECT_EQ(p.crystal.id, "mp-7");
  EXPECT_EQ(parse(frame, {}, "note").crystal.id, "a b");
}

TEST(Extxyz, SlicesFollowPython) {
  const auto positions = [](const char* text, std::int64_t length) {
    const FrameSlice slice = FrameSlice::parse(text);
    const auto [begin, end] = slice.range(length);
    std::vector<std::int64_t> out;
    for (std::int64_t p = begin; p < std::min(end, length); p += slice.step) out.push_back(p);
    return out;
  };
  using V = std::vector<std::int64_t>;
  EXPECT_EQ(positions("", 3), (V{0, 1, 2}));
  EXPECT_EQ(positions(":", 3), (V{0, 1, 2}));
  EXPECT_EQ(positions(":2", 5), (V{0, 1}));
  EXPECT_EQ(positions("::2", 5), (V{0, 2, 4}));
  EXPECT_EQ(positions("-2:", 5), (V{3, 4}));
  EXPECT_EQ(positions("1:4:2", 5), (V{1, 3}));
  EXPECT_EQ(positions(":-3", 5), (V{0, 1}));
  EXPECT_EQ(positions("-100:", 5), (V{0, 1, 2, 3, 4}));
  EXPECT_EQ(positions("3", 5), (V{3}));
  EXPECT_EQ(positions("-1", 5), (V{4}));
  EXPECT_EQ(positions("-9", 5), (V{}));
  EXPECT_EQ(positions("7", 5), (V{}));
  EXPECT_EQ(positions("4:2", 5), (V{}));
  EXPECT_EQ(positions(" 1 : 3 ", 5), (V{1, 2}));
  for (const char* bad : {"a", "1:2:3:4", "::0", "::-1", "1.5", "1,2", "--1"}) {
    try {
      FrameSlice::parse(bad);
      ADD_FAILURE() << bad;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::usage);
    }
  }
}

TEST(Extxyz, DamagedFramesDoNotTakeTheOthersWithThem) {
  test::TemporaryFolder folder;
  const std::string path = (folder / "t.xyz").string();
  const std::string good = "1\n" + kLattice + "e=1\nNa 0 0 0\n";
  std::ofstream(path) << good << "\n\n"  // blank lines between frames
                      << "3\n"
                      << kLattice << "e=2\nNa 0 0 0\nNa 1 1 1\n"  // one atom short
                      << good << "1\n"
                      << kLattice << "e=3\nNa 0 0 0\nCl 1 1 1\n"  // one atom more than announced
                      << good << "oops\n"
                      << good << "2\n"
                      << kLattice << "\nNa 0 0 0\n";  // ends early
  ExtxyzReader reader(path);
  ExtxyzReader::Frame frame;
  std::vector<std::pair<std::int64_t, bool>> got;
  while (reader.next(&frame)) {
    got.emplace_back(frame.line, frame.problem.empty());
    if (frame.problem.empty()) {
      EXPECT_EQ(reason(frame.text), "");
    }
  }
  EXPECT_EQ(got, (std::vector<std::pair<std::int64_t, bool>>{
                     {1, true}, {6, false}, {10, true}, {13, true}, {16, false}, {17, true}, {20, false}, {21, true}, {24, false}}));
  ExtxyzReader counter(path);  // counting sees the same frames
  std::size_t count = 0;
  while (counter.next(nullptr)) ++count;
  EXPECT_EQ(count, got.size());
}

TEST(Extxyz, EveryDefectHasItsReason) {
  const auto contains = [](const std::string& text, const std::string& part) {
    const std::string why = reason(text);
    EXPECT_NE(why.find(part), std::string::npos) << "reason: " << why << "\nof: " << text;
  };
  contains("", "empty");
  contains("x\n", "number of atoms is expected");
  contains("-1\n" + kLattice + "\n", "number of atoms is expected");
  contains("1.0\n" + kLattice + "\n", "number of atoms is expected");
  contains("99999999999999999999\n", "number of atoms is expected");
  contains("0\n" + kLattice + "\n", "no atoms");
  contains("1\n", "ends after the number of atoms");
  contains("1\n\nNa 0 0 0\n", "no Lattice");
  contains("1\nLattice=\"1 2 3\"\nNa 0 0 0\n", "Lattice needs 9 numbers");
  contains("1\nLattice=\"1 0 0 0 1 0 0 0 1 7\"\nNa 0 0 0\n", "more than 9");
  contains("1\nLattice=\"1 0 0 0 1 0 0 0 x\"\nNa 0 0 0\n", "not a number: 'x'");
  contains("1\nLattice=\"1 0 0 0 1 0 0 0 nan\"\nNa 0 0 0\n", "not finite");
  contains("1\nLattice=\"1 0 0 1 0 0 0 0 1\"\nNa 0 0 0\n", "zero volume");
  contains("1\n" + kLattice + "Properties=species:S:1\nNa\n", "no pos:R:3");
  contains("1\n" + kLattice + "Properties=pos:R:3\n0 0 0\n", "neither species nor Z");
  contains("1\n" + kLattice + "Properties=species:S:one:pos:R:3\nNa 0 0 0\n", "name:type:count");
  contains("1\n" + kLattice + "Properties=species:S:1:pos:R:3:f:R:99999999\nNa 0 0 0\n", "name:type:count");
  contains("1\n" + kLattice + "\nQq 0 0 0\n", "unknown element 'Qq'");
  contains("1\n" + kLattice + "Properties=Z:I:1:pos:R:3\n104 0 0 0\n", "unknown element '104'");
  contains("1\n" + kLattice + "pbc=\"F F F\"\nNa 0 0 0\n", "pbc=\"F F F\": not periodic in every direction");
  contains("1\n" + kLattice + "pbc=\"T T F\"\nNa 0 0 0\n", "pbc=\"T T F\"");
  contains("1\n" + kLattice + "pbc=[False,True,True]\nNa 0 0 0\n", "pbc=\"F T T\"");
  contains("1\n" + kLattice + "pbc=\"T T\"\nNa 0 0 0\n", "three of T and F");
  contains("1\n" + kLattice + "pbc=\"x y z\"\nNa 0 0 0\n", "three of T and F");
  contains("1\npbc=\"T T T\"\nNa 0 0 0\n", "no Lattice in the comment line, though pbc");
  contains("1\n" + kLattice + kLattice + "\nNa 0 0 0\n", "'Lattice' stands twice");
  contains("1\n" + kLattice + "id=a id=b\nNa 0 0 0\n", "'id' stands twice");
  contains("1\n" + kLattice + "note=\"open\nNa 0 0 0\n", "never closed");
  contains("1\n" + kLattice + "Properties=species:S:1:pos:R:3:pos:R:3\nNa 0 0 0 1 1 1\n", "two columns of one kind");
  contains("1\n" + kLattice + "Properties=species:S:1:symbols:S:1:pos:R:3\nNa Na 0 0 0\n", "species and symbols");
  contains("1\n" + kLattice + "Properties=species:S:1:Z:I:1:pos:R:3\nNa 17 0 0 0\n", "'Na' in one column and '17' in another");
  contains("1\n" + kLattice + "Properties=species:S:1:pos:R:3\nNa 0 0 0 7\n", "more than the 4 columns of Properties");
  contains("2\n" + kLattice + "\nNa 0 0 0\nCl 0 0 .3\n", "0.30 A apart");
  contains("1\n" + kLattice + "\nNa 0 0\n", "fewer than the 4 columns");
  contains("1\n" + kLattice + "\nNa 0 0 z\n", "coordinate is not a number");
  contains("1\n" + kLattice + "\nNa 0 0 1e400\n", "not finite");
  contains("2\n" + kLattice + "\nNa 0 0 0\n", "ends after 1 of 2 atoms");
}

/// A target or a column that is read stands there once.
TEST(Extxyz, TargetsThatStandTwiceAreRefused) {
  EXPECT_THROW(parse("1\n" + kLattice + "e=1 e=2\nNa 0 0 0\n", {"e"}), Error);
  EXPECT_NO_THROW(parse("1\n" + kLattice + "e=1 e=2 f=3\nNa 0 0 0\n", {"f"}));
  EXPECT_THROW(parse("1\n" + kLattice + "Properties=species:S:1:pos:R:3:e:R:1:e:R:1\nNa 0 0 0 1 2\n", {"e"}), Error);
}

/// data.non_periodic: box. Images in a direction that does not repeat are farther than any atom of the molecule, and 20 angstrom at least.
TEST(Extxyz, BoxesKeepImagesFartherThanTheMolecule) {
  const auto length = [](const Crystal& c, int r) { return std::hypot(c.lattice[3 * r], c.lattice[3 * r + 1], c.lattice[3 * r + 2]); };
  const auto distance = [](const Crystal& c) {  // of the first two atoms, without images
    double r[3], d[3] = {c.frac[3] - c.frac[0], c.frac[4] - c.frac[1], c.frac[5] - c.frac[2]};
    multiply(d, c.lattice, r);
    return std::sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
  };
  const std::string molecule = "3\n" + kLattice + "pbc=\"F F F\"\nO 0 0 0\nH 0.76 0.59 0\nH -0.76 0.59 0\n";
  const Crystal water = parse(molecule, {}, {}, true).crystal;
  const double centre = 2 * 0.59 / 3, farthest = std::hypot(0.76, 0.59 - centre);  // a hydrogen atom from the centre
  for (int r = 0; r < 3; ++r) EXPECT_NEAR(length(water, r), 4 * farthest + 20, 1e-9);
  EXPECT_NEAR(distance(water), std::hypot(0.76, 0.59), 1e-12);
  EXPECT_NO_THROW(parse("2\n\nH 0 0 0\nH 0 0 0.74\n", {}, {}, true));  // plain XYZ
  EXPECT_THROW(parse("2\npbc=\"T F F\"\nH 0 0 0\nH 0 0 0.74\n", {}, {}, true), Error);

  // A slab keeps its two vectors; the third becomes its normal, whatever it was, even nothing.
  const std::string atoms = "\nC 0 0 1\nC 1.2 0.7 3\n", slab = "2\nLattice=\"2.4 0 0 1.2 2.1 0 0.3 0.4 ", flags = "\" pbc=\"T T F\"" + atoms;
  for (const char* c : {"9", "0", "1e3"}) {
    const Crystal s = parse(slab + c + flags, {}, {}, true).crystal;
    EXPECT_EQ(s.lattice[0], 2.4);
    EXPECT_EQ(s.lattice[4], 2.1);
    EXPECT_NEAR(s.lattice[6], 0, 1e-12);
    EXPECT_NEAR(s.lattice[7], 0, 1e-12);
    EXPECT_NEAR(std::abs(s.lattice[8]), 4 * 1 + 20, 1e-12);  // atoms 1 angstrom from the middle plane
    EXPECT_NEAR(distance(s), std::sqrt(1.2 * 1.2 + 0.7 * 0.7 + 4), 1e-12);
  }
  // A chain along a skewed vector.
  const Crystal chain = parse("1\nLattice=\"0 0 0 1 1 1 0 0 0\" pbc=\"F T F\"\nC 5 5 5\n", {}, {}, true).crystal;
  EXPECT_NEAR(length(chain, 0), 20, 1e-12);
  EXPECT_NEAR(length(chain, 2), 20, 1e-12);
  EXPECT_NEAR(cell_volume(chain.lattice), 400 * std::sqrt(3.0), 1e-9);
  // A periodic one is left alone.
  EXPECT_EQ(parse("1\n" + kLattice + "\nNa 0 0 0\n", {}, {}, true).crystal.lattice[8], 6);
  EXPECT_THROW(parse("1\nLattice=\"1 0 0 2 0 0 0 0 9\" pbc=\"T T F\"\nC 0 0 0\n", {}, {}, true), Error);
}

/// Every prefix and many single-byte changes of a good file end in a crystal or a reason, never in a crash.
TEST(Extxyz, DamagedTextIsSafe) {
  const std::string good = "2\n" + kLattice + "Properties=species:S:1:pos:R:3:f:R:3 e=\"1 2\"\nNa 0 0 0 1 2 3\nCl 1 1 1 4 5 6\n";
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
