// SPDX-License-Identifier: Apache-2.0
// What a CIF says of its symmetry is read right or refused. Numbers of atoms and distances: ASE 3.22's crystal() with the setting
// named.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.hpp"
#include "io/cif.hpp"
#include "io/refusal.hpp"
#include "io/space_group.hpp"

namespace gnn_hpc {
namespace {

std::string cell(double a, double b, double c, double alpha, double beta, double gamma) {
  return fmt::format(
      "data_x\n_cell_length_a {}\n_cell_length_b {}\n_cell_length_c {}\n_cell_angle_alpha {}\n_cell_angle_beta "
      "{}\n_cell_angle_gamma {}\n",
      a, b, c, alpha, beta, gamma);
}
std::string cubic(double a) { return cell(a, a, a, 90, 90, 90); }
std::string hexagonal(double a, double c) { return cell(a, a, c, 90, 90, 120); }
const std::string kColumns = "loop_\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n";
std::string name(const std::string& text) { return "_space_group_name_H-M_alt '" + text + "'\n"; }
std::string number(int n) { return fmt::format("_space_group_IT_number {}\n", n); }
std::string operations(const std::vector<std::string>& list, const std::string& tag = "_space_group_symop_operation_xyz") {
  std::string out = "loop_\n" + tag + "\n";
  for (const auto& o : list) out += "'" + o + "'\n";
  return out;
}

/// Atoms, shortest distance, directed pairs within 0.05 of it.
struct Facts {
  std::size_t atoms = 0;
  double shortest = 1e9;
  int pairs = 0;
};

Facts facts(const std::string& text) {
  Crystal c;
  parse_cif(text, c);
  std::vector<double> all;
  for (std::size_t a = 0; a < c.z.size(); ++a) {
    for (std::size_t b = 0; b < c.z.size(); ++b) {
      for (int i = 0; i < 125; ++i) {
        const int image[3] = {i % 5 - 2, i / 5 % 5 - 2, i / 25 - 2};
        double squared = 0, f[3];
        for (int k = 0; k < 3; ++k)
          f[k] = c.frac[3 * b + k] - std::floor(c.frac[3 * b + k]) - c.frac[3 * a + k] + std::floor(c.frac[3 * a + k]) + image[k];
        for (int k = 0; k < 3; ++k) squared += std::pow(f[0] * c.lattice[k] + f[1] * c.lattice[3 + k] + f[2] * c.lattice[6 + k], 2);
        if (squared > 1e-12) all.push_back(std::sqrt(squared));
      }
    }
  }
  Facts out{c.z.size()};
  out.shortest = *std::min_element(all.begin(), all.end());
  out.pairs = static_cast<int>(std::count_if(all.begin(), all.end(), [&](double d) { return d < out.shortest + 0.05; }));
  return out;
}

void expect_facts(const std::string& text, std::size_t atoms, double shortest, int pairs, double tolerance = 2e-6) {
  SCOPED_TRACE(text);
  Facts got;
  ASSERT_NO_THROW(got = facts(text));
  EXPECT_EQ(got.atoms, atoms);
  EXPECT_NEAR(got.shortest, shortest, tolerance);
  EXPECT_EQ(got.pairs, pairs);
}

std::string reason(const std::string& text) {
  Crystal crystal;
  const std::string why = test::refusal([&] { parse_cif(text, crystal); });
  return why.empty() ? "accepted: " + std::to_string(crystal.z.size()) + " atoms" : why;
}

void expect_reason(const std::string& text, const std::string& part) {
  const std::string why = reason(text);
  EXPECT_NE(why.find(part), std::string::npos) << "reason: " << why << "\nof: " << text;
}

const std::string kDiamond2 = kColumns + "C .125 .125 .125\n", kDiamond1 = kColumns + "C 0 0 0\n";
const std::string kSpinel = kColumns + "Mg .125 .125 .125\nAl .5 .5 .5\nO .2624 .2624 .2624\n";
const std::string kCalciteH = kColumns + "Ca 0 0 0\nC 0 0 .25\nO .2568 0 .25\n",
                  kCalciteR = kColumns + "Ca 0 0 0\nC .25 .25 .25\nO .5068 -.0068 .25\n";
const std::string kAnatase = kColumns + "Ti 0 .25 .375\nO 0 .25 .1656\n";

TEST(CifSymmetry, TheOriginOfTwoIsTakenWhereTheFileTellsIt) {
  for (const char* origin2 : {"F d -3 m :2", "F d -3 m:2", "Fd-3m:2", "F d -3 m Z", "Fd-3mZ", "F D -3 M :2"}) {
    expect_facts(cubic(3.567) + name(origin2) + kDiamond2, 8, 1.544556, 32);
  }
  for (const char* origin1 : {"F d -3 m :1", "F d -3 m S", "Fd-3mS"}) expect_facts(cubic(3.567) + name(origin1) + kDiamond1, 8, 1.544556, 32);
  const std::string code = "_space_group_IT_coordinate_system_code 2\n", hall = "_space_group_name_Hall '-F 4vw 2vw 3'\n";
  expect_facts(cubic(8.08) + name("F d -3 m") + code + kSpinel, 56, 1.922909, 256);
  expect_facts(cubic(8.08) + number(227) + code + kSpinel, 56, 1.922909, 256);
  expect_facts(cubic(8.08) + hall + kSpinel, 56, 1.922909, 256);
  expect_facts(cubic(8.08) + hall + name("F d -3 m") + number(227) + kSpinel, 56, 1.922909,
               256);  // the Hall symbol tells what the others leave open
  expect_facts(cell(3.785, 3.785, 9.514, 90, 90, 90) + name("I 41/a m d :2") + kAnatase, 12, 1.931517, 32);
  // Several names: the one that tells counts.
  expect_facts(cubic(8.08) + "_symmetry_space_group_name_H-M 'F d -3 m'\n" + name("F d -3 m :2") + kSpinel, 56, 1.922909, 256);
}

/// All 24 space groups with two origins, by name and by number; without a word on the origin both are possible.
TEST(CifSymmetry, EveryGroupWithTwoOriginsIsRefusedWithoutOne) {
  const int numbers[] = {48, 50, 59, 68, 70, 85, 86, 88, 125, 126, 129, 130, 133, 134, 137, 138, 141, 142, 201, 203, 222, 224, 227, 228};
  for (const int n : numbers) {
    const std::string box = n < 75 ? cell(7, 8, 9, 90, 90, 90) : n < 195 ? cell(7, 7, 9, 90, 90, 90) : cubic(9);
    expect_reason(box + number(n) + kColumns + "C .1 .2 .3\n", "setting (origin or axes) of the space group is not told");
  }
  for (const char* plain : {"F d -3 m", "Fd-3m", "I 41/a m d", "P n n n", "P 4/n", "F d d d"}) {
    expect_reason(cubic(9) + name(plain) + kColumns + "C .1 .2 .3\n", "is not told");
  }
}

TEST(CifSymmetry, TheCellSettlesHexagonalOrRhombohedralAxes) {
  const std::string r = cell(6.37, 6.37, 6.37, 46.1, 46.1, 46.1), h = hexagonal(4.99, 17.06);
  for (const auto& said : {name("R -3 c"), number(167), name("R -3 c RS") + number(167), name("R -3 c R"), name("R -3 c :R")}) {
    expect_facts(r + said + kCalciteR, 10, 1.280956, 12);
  }
  for (const auto& said : {name("R -3 c"), number(167), name("R -3 c H"), name("R -3 c :H"), name("R -3 c HR"), name("H -3 c")}) {
    expect_facts(h + said + kCalciteH, 30, 1.281432, 36);
  }
  expect_reason(r + name("R -3 c :H") + kCalciteR, "no setting of the space group fits the cell");
  expect_reason(h + name("R -3 c :R") + kCalciteH, "no setting of the space group fits the cell");
  expect_reason(cubic(6) + name("R -3 c :H") + kCalciteH, "fits the cell");
}

TEST(CifSymmetry, TheCellSettlesTheUniqueAxis) {
  const std::string atoms = kColumns + "C .1 .2 .3\nO .3 .25 .4\n";
  Crystal c;
  parse_cif(cell(5, 6, 7, 90, 90, 110) + name("P 21") + atoms, c);  // along c: -x,-y,z+1/2
  ASSERT_EQ(c.z.size(), 4U);
  EXPECT_NEAR(c.frac[3], 0.9, 1e-12);
  EXPECT_NEAR(c.frac[4], 0.8, 1e-12);
  EXPECT_NEAR(c.frac[5], 0.8, 1e-12);
  parse_cif(cell(5, 6, 7, 90, 110, 90) + name("P 21") + atoms, c);  // along b
  EXPECT_NEAR(c.frac[4], 0.7, 1e-12);
  parse_cif(cell(5, 6, 7, 110, 90, 90) + number(4) + atoms, c);  // along a
  EXPECT_NEAR(c.frac[3], 0.6, 1e-12);
  expect_reason(cell(5, 6, 7, 90, 90, 90) + name("P 21") + atoms, "is not told");
  expect_reason(cell(5, 6, 7, 90, 90, 110) + name("P 1 21 1") + atoms, "fits the cell");
  expect_reason(cell(5, 6, 7, 80, 95, 110) + name("P 21") + atoms, "fits the cell");
  const std::string zirconia = kColumns + "Zr .2754 .0395 .2083\nO .07 .3317 .3447\nO .4496 .7569 .4792\n",
                    box = cell(5.1505, 5.2116, 5.3173, 90, 99.23, 90);
  for (const char* said : {"P 1 21/c 1", "P 21/c", "P2(1)/c", "P 2_1/c", "P21/c", "P 2~1~/c"})
    expect_facts(box + name(said) + zirconia, 12, 2.051916, 16);
  expect_reason(box + number(14) + zirconia, "P 1 21/c 1, P 1 21/n 1, P 1 21/a 1");  // three cell choices
  expect_facts(box + number(14) + "_space_group_IT_coordinate_system_code b1\n" + zirconia, 12, 2.051916, 16);
  expect_reason(cell(5, 6, 7, 90, 90, 90) + number(62) + atoms, "is not told");  // P n m a, P b n m, ...
}

TEST(CifSymmetry, NamesThatContradictEachOtherAreRefused) {
  const std::string salt = kColumns + "Na 0 0 0\nCl .5 .5 .5\n";
  expect_reason(cubic(5.64) + name("F m -3 m") + number(227) + salt, "is number 225, but the file says 227");
  expect_reason(cubic(5.64) + "_space_group_name_Hall '-F 4 2 3'\n" + name("F 2 3") + salt, "crystal class");
  expect_reason(cubic(5.64) + "_symmetry_space_group_name_H-M 'F m -3 m'\n" + name("P m -3 m") + salt, "differ");
  expect_reason(cubic(5.64) + "_symmetry_Int_Tables_number 225\n" + number(221) + salt, "given twice");
  expect_reason(cubic(5.64) + "_space_group_magn.name_BNS \"F m -3 m 1'\"\n" + salt, "_space_group_magn.name_BNS");
  expect_reason(cubic(5.64) + name("F m -3 m :7") + salt, "unknown setting");
  expect_reason(cubic(5.64) + number(231) + salt, "numbers are 1 to 230");
  expect_facts(cubic(5.64) + name("F 4/m -3 2/m") + number(225) + salt, 8, 2.82,
               48);  // a name the tables lack, a number that settles it
}

/// R'GR = G for every operation, whoever names it.
TEST(CifSymmetry, EveryOperationKeepsTheMetricOfTheCell) {
  const std::string tetragonal = cell(4, 4, 6, 90, 90, 90), one = kColumns + "C .1 .2 .3\n";
  expect_reason(tetragonal + operations({"x,y,z", "-y,x-y,z", "-x+y,-x,z"}) + one, "-y,x-y,z does not map the cell onto itself");
  expect_reason(tetragonal + operations({"x,y,z", "z,y,x"}) + one, "does not map the cell onto itself");
  expect_reason(cell(4, 4.03, 6, 90, 90, 90) + operations({"x,y,z", "y,x,-z"}) + one, "does not map the cell onto itself");
  expect_reason(cell(4, 4, 6, 90, 90, 91) + operations({"x,y,z", "-x,y,-z"}) + one, "does not map the cell onto itself");
  EXPECT_EQ(reason(cell(4, 4.004, 6, 90, 90, 90.1) + operations({"x,y,z", "y,x,-z"}) + one), "accepted: 2 atoms");  // rounded cells
  expect_reason(tetragonal + name("F m -3 m") + one, "fits the cell");
  expect_reason(tetragonal + "_space_group_name_Hall '-F 4 2 3'\n" + one, "do not map the cell onto itself");
}

TEST(CifSymmetry, OperationsInEveryNotation) {
  const std::string f = cubic(5.64), salt = kColumns + "Na 0 0 0\nCl .5 .5 .5\n";
  for (const auto& list : std::vector<std::vector<std::string>>{{"x,y,z", "x,y+1/2,z+1/2", "x+1/2,y,z+1/2", "x+1/2,y+1/2,z"},
                                                                {"X, Y, Z", "X,1/2+Y,1/2+Z", "1/2+X,Y,1/2+Z", "1/2+X,1/2+Y,Z"},
                                                                {"+x,+y,+z", "x,y+0.5,z+.5", "0.5+x,y,0.5+z", "x+ .50, y + 0.500, z"},
                                                                {"x,y,z,+1", "x,y+1/2,z+1/2,-1", "x+1/2,y,z+1/2,+1", "x+1/2,y+1/2,z,-1"},
                                                                {"1*x,y,z", "x,-1/2+y,z-1/2", "x+3/2,y,z+1/2", "x+1/2,y+1/2,z+1"}}) {
    expect_facts(f + operations(list) + salt, 8, 2.82, 48);
    expect_facts(f + operations(list, "_symmetry_equiv_pos_as_xyz") + salt, 8, 2.82, 48);
  }
  // Thirds in two and four decimals.
  const std::string graphite = kColumns + "C 0 0 .25\nC .3333 .6667 .25\n";
  expect_facts(hexagonal(2.461, 6.708) + operations({"x,y,z", "-x,-y,0.50+z"}) + graphite, 4, 1.420859, 12, 3e-4);
  expect_reason(hexagonal(9, 7) + operations({"x,y,z", "x+0.33,y+.67,z+0.33", "x+.67,y+.33,z+.67"}) + kColumns + "C 0 0 0\n", "accepted: 3 atoms");
  // magCIF: operations with the time, centrings apart.
  expect_facts(f + operations({"x,y,z,+1", "-x,-y,-z,+1"}, "_space_group_symop_magn_operation.xyz") +
                   operations({"x,y,z,+1", "x,y+1/2,z+1/2,-1", "x+1/2,y,z+1/2,+1", "x+1/2,y+1/2,z,-1"}, "_space_group_symop_magn_centering.xyz") +
                   salt,
               8, 2.82, 48);
  for (const char* bad : {"x,y", "x,y,q", "x,x,x", "x,y,2z", "x/2,y,z", "x,y,z+", "x,y,z+1/", "x y,y,z", "x,y,z,t", "x1,x2,x3", "", "x,,z"}) {
    expect_reason(f + operations({"x,y,z", bad}) + salt, "unreadable symmetry operation");
  }
  expect_reason(f + operations({"x,y,z"}) + operations({"x,y,z", "-x,-y,-z"}, "_symmetry_equiv_pos_as_xyz") + salt, "list different operations");
  expect_reason(f + "_cell_modulation_dimension 1\n" + salt, "modulated");
}

/// Generators alone: the list must be a group, or nothing may be missing for these sites.
TEST(CifSymmetry, ListsThatLackAnOperationThatMattersAreRefused) {
  const std::string general = kColumns + "C .1 .2 .3\n", special = kColumns + "C 0 0 0\n";
  expect_reason(cell(5, 6, 7, 90, 90, 90) + operations({"x,y,z", "-x,y,z", "x,-y,z"}) + general, "are no group");
  EXPECT_EQ(reason(cell(5, 6, 7, 90, 90, 90) + operations({"x,y,z", "-x,y,z", "x,-y,z"}) + special), "accepted: 1 atoms");
  EXPECT_EQ(reason(cell(5, 6, 7, 90, 90, 90) + operations({"x,y,z", "-x,y,z", "x,-y,z", "-x,-y,z"}) + general), "accepted: 4 atoms");
}

/// A coordinate cut to two digits lies beside its special position by more than 0.1 angstrom in a large cell.
TEST(CifSymmetry, RoundedCoordinatesOfSpecialPositionsAreSnapped) {
  const std::string big = hexagonal(12.3, 9.0) + name("P 63/m m c");
  for (const char* thirds : {"0.33 0.67", "0.33 0.66", "0.333 0.667", "0.3333 0.6667", ".333333 .666667", "0.33(1) 0.67(1)"}) {
    expect_facts(big + kColumns + "C " + thirds + " .25\nO " + thirds + " .10\n", 6, 1.35, 8);
  }
  Crystal c;
  parse_cif(big + kColumns + "C 0.33 0.67 .25\n", c);
  EXPECT_NEAR(c.frac[0], 1.0 / 3, 1e-12);
  EXPECT_NEAR(c.frac[1], 2.0 / 3, 1e-12);
  EXPECT_EQ(c.frac[2], 0.25);
  expect_facts(hexagonal(3.82, 6.26) + name("P 63 m c") + kColumns + "Zn 0.33 0.67 0\nS .3333 .6667 .3748\n", 4, 2.340598, 16, 1e-5);
  // More digits say that it is not there: three atoms on top of each other.
  expect_reason(big + kColumns + "C 0.3300 0.6700 .25\n", "no two atoms may be closer");
  expect_reason(big + kColumns + "C 0.32 0.66 .25\n", "no two atoms may be closer");  // a third is not within a unit of 0.32
  expect_reason(big + kColumns + "C 0.25 0.70 .25\n", "accepted: 12 atoms");
}

TEST(CifSymmetry, AnAtomListedTwiceIsRefusedAFullListIsNot) {
  expect_reason(cubic(2.87) + name("I m -3 m") + kColumns + "Fe 0 0 0\nFe .5 .5 .5\n", "accepted: 2 atoms");
  expect_reason(cubic(2.87) + name("I m -3 m") + kColumns + "Fe 0 0 0\nFe 0 0 1\n", "0.00 A apart");
  expect_reason(cubic(2.87) + kColumns + "Fe 0 0 0\nFe 0 0 0\n", "atom 1 (Fe) and atom 2 (Fe) are 0.00 A apart");
  expect_reason(cubic(2.87) + name("I m -3 m") + kColumns + "Fe 0 0 0\nNi .5 .5 .5\n", "0.00 A apart");
}

TEST(CifSymmetry, EveryTabulatedSettingIsAGroupThatFitsItsOwnName) {
  for (const char* text : {"P 1 1 21/b", "I 1 2/a 1", "C m c e", "A e a 2", "P 43 3 2", "R 3 m :H", "I -4 2 d", "P 63/m"}) {
    const std::string said = text;
    const std::array<double, 9> lattice = said[0] == 'R' || said == "P 63/m" ? lattice_from_parameters(5, 5, 7, 90, 90, 120)
                                          : said == "P 1 1 21/b"             ? lattice_from_parameters(5, 6, 7, 90, 90, 105)
                                          : said == "I 1 2/a 1"              ? lattice_from_parameters(5, 6, 7, 90, 105, 90)
                                          : said == "P 43 3 2"               ? lattice_from_parameters(5, 5, 5, 90, 90, 90)
                                          : said == "I -4 2 d"               ? lattice_from_parameters(5, 5, 7, 90, 90, 90)
                                                                             : lattice_from_parameters(5, 6, 7, 90, 90, 90);
    SpaceGroupClues clues;
    clues.hermann_mauguin = said;
    const auto group = operations_of_group(clues, lattice);
    EXPECT_TRUE(group[0].is_identity());
    EXPECT_EQ(generate_group(group).size(), group.size()) << text;
  }
}

}  // namespace
}  // namespace gnn_hpc
