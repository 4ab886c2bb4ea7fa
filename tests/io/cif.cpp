// SPDX-License-Identifier: Apache-2.0
#include "io/cif.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.hpp"
#include "io/cif_blocks.hpp"
#include "io/csv.hpp"
#include "io/refusal.hpp"
#include "support/hdf5_values.hpp"
#include "support/paths.hpp"

namespace gnn_hpc {
namespace {

std::string cell(double a, double alpha = 90, double b = 0, double c = 0, double gamma = 0) {
  return fmt::format("_cell_length_a {}\n_cell_length_b {}\n_cell_length_c {}\n_cell_angle_alpha {}\n_cell_angle_beta {}\n_cell_angle_gamma {}\n", a,
                     b > 0 ? b : a, c > 0 ? c : a, alpha, alpha, gamma > 0 ? gamma : alpha);
}
const std::string kColumns = "loop_\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n";

std::string reason(const std::string& text) {
  Crystal crystal;
  return test::refusal([&] { parse_cif(text, crystal); });
}

std::map<int, int> composition(const Crystal& c) {
  std::map<int, int> out;
  for (const int z : c.z) ++out[z];
  return out;
}

TEST(Cif, CellMatrixFollowsTheDefinition) {
  const auto m = lattice_from_parameters(3, 4, 5, 70, 80, 100);
  const auto dot = [&](int r, int s) { return m[3 * r] * m[3 * s] + m[3 * r + 1] * m[3 * s + 1] + m[3 * r + 2] * m[3 * s + 2]; };
  const auto angle = [&](int r, int s) { return std::acos(dot(r, s) / std::sqrt(dot(r, r) * dot(s, s))) * 180 / M_PI; };
  EXPECT_NEAR(std::sqrt(dot(0, 0)), 3, 1e-14);
  EXPECT_NEAR(std::sqrt(dot(1, 1)), 4, 1e-14);
  EXPECT_NEAR(std::sqrt(dot(2, 2)), 5, 1e-14);
  EXPECT_NEAR(angle(1, 2), 70, 1e-12);
  EXPECT_NEAR(angle(0, 2), 80, 1e-12);
  EXPECT_NEAR(angle(0, 1), 100, 1e-12);
  EXPECT_EQ(m[1], 0);
  EXPECT_EQ(m[6], 0);
  EXPECT_EQ(m[7], 0);
  EXPECT_EQ(m[8], 5);
}

TEST(Cif, EqualsTheReferenceReader) {
  const auto golden = test::shared_path("reference/fixtures/comformer_graphs.h5");
  if (!std::filesystem::exists(golden)) GTEST_SKIP() << "no " << golden << "; set GNN_HPC_SHARED";
  const test::Hdf5Values file(golden.string());
  std::map<std::string, std::map<int, std::string>> wanted;  // csv stem -> row -> group
  for (const std::string& name : file.groups()) {
    const auto cut = name.rfind('_');
    if (name.starts_with("POSCAR") || cut == std::string::npos) continue;
    if (const auto row = parse_integer(name.substr(cut + 1))) wanted[name.substr(0, cut)][static_cast<int>(*row)] = name;
  }
  int compared = 0;
  for (const auto& [stem, rows] : wanted) {
    const auto path = test::shared_path("data/crystals/" + stem + ".csv.gz");
    if (!std::filesystem::exists(path)) continue;
    CsvReader reader(path.string());
    CsvReader::Row row;
    ASSERT_TRUE(reader.next(row));
    const auto column = std::find(row.fields.begin(), row.fields.end(), "cif") - row.fields.begin();
    for (int r = 0; reader.next(row); ++r) {
      const auto group = rows.find(r);
      if (group == rows.end()) continue;
      SCOPED_TRACE(group->second);
      Crystal c;
      parse_cif(row.fields[column], c);
      const auto lattice = file.dataset(group->second + "/inputs/lattice");
      for (int i = 0; i < 9; ++i) EXPECT_NEAR(c.lattice[i], lattice[i], 1e-14 * std::abs(lattice[i]) + 1e-15);
      EXPECT_EQ(c.frac, file.dataset(group->second + "/inputs/frac"));
      EXPECT_EQ(std::vector<double>(c.z.begin(), c.z.end()), file.dataset(group->second + "/inputs/Z"));
      ++compared;
    }
  }
  EXPECT_GE(compared, 40);
}

TEST(Cif, UncertaintiesOrderQuotesChargesLabels) {
  Crystal c;
  parse_cif(
      "data_x\r\n# comment\r\nloop_\r\n_atom_site_fract_z\r\n_atom_site_occupancy\r\n_atom_site_fract_x\r\n_atom_site_fract_y\r\n"
      "_atom_site_label\r\n_atom_site_type_symbol\r\n0.25(3) 1.000(2) -.5 1.5 Fe1 'Fe3+'\r\n0 1 0 0 D1 D\r\n0.1 . 0.2 0.3 O1 ?\r\n"
      "_CELL_LENGTH_A 4.123(4)\r\n_cell.length_b '4.2'\r\n_cell_length_c +4.3\r\n_cell_angle_alpha 90\r\n_cell_angle_beta "
      "90.0(1)\r\n"
      "_cell_angle_gamma 9e1\r\n",
      c);
  EXPECT_EQ(c.z, (std::vector<std::uint8_t>{26, 1, 8}));
  EXPECT_EQ(c.frac, (std::vector<double>{-0.5, 1.5, 0.25, 0, 0, 0, 0.2, 0.3, 0.1}));
  EXPECT_EQ(c.lattice[8], 4.3);
  EXPECT_NEAR(c.lattice[0], 4.123, 1e-14);
}

TEST(Cif, SymmetryFromEachSource) {
  const std::string rock_salt = kColumns + "Na 0 0 0\nCl 0.5 0.5 0.5\n";
  const std::map<int, int> expected{{11, 4}, {17, 4}};
  Crystal c;
  for (const char* group : {"_symmetry_space_group_name_H-M 'F m -3 m'\n", "_space_group_name_H-M_alt 'F m -3 m'\n",
                            "_symmetry_Int_Tables_number 225\n", "_space_group_IT_number 225\n", "_space_group_name_Hall '-F 4 2 3'\n"}) {
    SCOPED_TRACE(group);
    parse_cif("data_x\n" + cell(5.64) + group + rock_salt, c);
    EXPECT_EQ(composition(c), expected);
  }
  // Operations that are listed win over names; duplicates on special positions merge (4 centrings x 2, times an inversion).
  parse_cif("data_x\n" + cell(5.64) +
                "_symmetry_Int_Tables_number 1\nloop_\n_space_group_symop_id\n_space_group_symop_operation_xyz\n"
                "1 'x, y, z'\n2 'x,y+1/2,z+1/2'\n3 '1/2+x,y,1/2+z'\n4 x+1/2,y+1/2,z\n5 -x,-y,-z\n" +
                rock_salt,
            c);
  EXPECT_EQ(composition(c), expected);
  parse_cif("data_x\n" + cell(5.64) + "_symmetry_equiv_pos_as_xyz 'x, y, z'\n" + rock_salt, c);
  EXPECT_EQ(c.z.size(), 2u);
}

TEST(Cif, RoundedSpecialPositionsMerge) {
  Crystal c;  // wurtzite ZnS: 2 + 2 atoms; 0.3333 is not exactly on the axis
  parse_cif("data_x\n" + cell(3.82, 90, 3.82, 6.26, 120) + "_symmetry_space_group_name_H-M 'P 63 m c'\n" + kColumns +
                "Zn 0.3333 0.6667 0\nS 0.3333 0.6667 0.3748\n",
            c);
  EXPECT_EQ(composition(c), (std::map<int, int>{{30, 2}, {16, 2}}));
  EXPECT_NEAR(c.frac[0], 1.0 / 3, 1e-12);  // on the axis
}

TEST(Cif, AFullListUnderItsSymmetryIsNotDoubled) {
  Crystal c;
  parse_cif("data_x\n" + cell(4.12) + "_symmetry_space_group_name_H-M 'I m -3 m'\n" + kColumns + "Fe 0 0 0\nFe 0.5 0.5 0.5\n", c);
  EXPECT_EQ(c.z.size(), 2u);
}

TEST(Cif, RhombohedralAndHexagonalSettings) {
  Crystal c;  // corundum in hexagonal axes: 12 Al, 18 O; the cell's angles choose the setting of R -3 c
  parse_cif(
      "data_x\n" + cell(4.76, 90, 4.76, 12.99, 120) + "_symmetry_space_group_name_H-M 'R -3 c'\n" + kColumns + "Al 0 0 0.3522\nO 0.3063 0 0.25\n", c);
  EXPECT_EQ(composition(c), (std::map<int, int>{{13, 12}, {8, 18}}));
}

/// A record is one structure: the blocks of a CIF come apart before they are parsed.
TEST(Cif, EveryBlockWithAtomsIsAStructure) {
  const std::string a = "data_a\n" + cell(3) + kColumns + "Po 0 0 0\n", b = "  DATA_b # second\n" + cell(5) + kColumns + "Fe 0 0 0\n";
  const std::string head = "data_global\n_publ_author 'data_z'\n_note\n;\ndata_x loop_ _atom_site_fract_x\n;\n# data_y\n";
  const std::string text = head + a + b;
  const auto blocks = split_cif(text);
  ASSERT_EQ(blocks.size(), 2U);
  EXPECT_EQ(blocks[0].name, "a");
  EXPECT_EQ(blocks[0].line, 8);
  EXPECT_EQ(blocks[0].text, a);
  EXPECT_EQ(blocks[1].name, "b");
  EXPECT_EQ(blocks[1].text, b);
  Crystal c;
  parse_cif(blocks[1].text, c);
  EXPECT_EQ(c.z, (std::vector<std::uint8_t>{26}));
  parse_cif(head + a, c);
  EXPECT_EQ(c.z, (std::vector<std::uint8_t>{84}));
  EXPECT_EQ(split_cif(head + a).size(), 1U);
  EXPECT_EQ(split_cif("").size(), 1U);
  EXPECT_EQ(split_cif("no CIF at all").size(), 1U);
  EXPECT_NE(reason(head + a + b).find("more than one structure"), std::string::npos);
}

/// Formula and Z are compared with what the symmetry makes of the sites; pymatgen's sum may be that of the cell.
TEST(Cif, ContentsAgreeWithFormulaAndZ) {
  const std::string salt = "data_x\n" + cell(5.64) + "_symmetry_space_group_name_H-M 'F m -3 m'\n" + kColumns + "Na 0 0 0\nCl 0.5 0.5 0.5\n";
  const auto with = [&](const std::string& more) { return reason(salt + more); };
  for (const char* good :
       {"_chemical_formula_sum 'Na Cl'\n", "_chemical_formula_sum 'Cl1 Na1'\n_cell_formula_units_Z 4\n", "_chemical_formula_sum NaCl\n_cell.Z 4\n",
        "_chemical_formula_sum 'Na4 Cl4'\n", "_chemical_formula_sum 'Na4 Cl4'\n_cell_formula_units_Z 1\n",
        "_chemical_formula_structural NaCl\n_chemical_formula_sum 'Na4 Cl4'\n_cell_formula_units_Z 4\n", "_chemical_formula_sum ?\n",
        "_cell_formula_units_Z ?\n", "_chemical_formula_sum 'Na Cl'\n_cell_formula_units_Z 0\n", "_chemical_formula_sum 'table salt'\n"}) {
    EXPECT_EQ(with(good), "") << good;
  }
  EXPECT_NE(
      with("_chemical_formula_sum 'Na Cl2'\n").find("the cell holds Na4 Cl4 after its symmetry is applied, but _chemical_formula_sum is 'Na Cl2'"),
      std::string::npos);
  EXPECT_NE(with("_chemical_formula_sum 'Na Cl'\n_cell_formula_units_Z 2\n").find("with _cell_formula_units_Z 2"), std::string::npos);
  EXPECT_NE(with("_chemical_formula_sum 'Na4 Cl4'\n_cell_formula_units_Z 4\n"), "");  // 16 of each, nothing says that the sum is the cell's
  EXPECT_NE(with("_chemical_formula_sum 'Na Cl H2 O'\n"), "");                        // hydrogen and water without coordinates
  EXPECT_NE(with("_chemical_formula_sum Na\n"), "");
  const std::string fluorine =
      "data_x\n" + cell(4) + "_chemical_formula_structural F2\n_chemical_formula_sum F4\n_cell_formula_units_Z ";  // as pymatgen has it
  const std::string four = "\n" + kColumns + "F 0 0 0\nF .5 0 0\nF 0 .5 0\nF 0 0 .5\n";
  EXPECT_EQ(reason(fluorine + "2" + four), "");
  EXPECT_NE(reason(fluorine + "3" + four), "");
  const std::string water = "data_x\n" + cell(4) + "_chemical_formula_sum 'D2 O'\n" + kColumns + "D .1 .1 .1\nH .3 .3 .3\nO .2 .2 .2\n";
  EXPECT_EQ(reason(water), "");
}

/// A label without a type symbol is read only if it has one reading, or the formula leaves one.
TEST(Cif, LabelsOfTwoReadingsNeedTheFormula) {
  const std::string columns = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n", head = "data_x\n" + cell(4);
  for (const char* label : {"FE1", "CL1", "NA1", "CO2", "SI3A", "fe1", "Wat1", "WAT1", "OXT", "T1", "M1", "Ow1", "?"}) {
    EXPECT_NE(reason(head + columns + label + " 0 0 0\n").find("label"), std::string::npos) << label;
  }
  const auto z = [&](const std::string& more, const std::string& label) {
    Crystal c;
    parse_cif(head + more + columns + label + " 0 0 0\n", c);
    return static_cast<int>(c.z.at(0));
  };
  EXPECT_EQ(z("_chemical_formula_sum Fe\n", "FE1"), 26);
  EXPECT_EQ(z("_chemical_formula_sum F\n", "FE1"), 9);
  EXPECT_EQ(z("loop_\n_atom_type_symbol\nCo2+\n", "CO2"), 27);
  EXPECT_EQ(z("", "Fe1"), 26);
  EXPECT_EQ(z("", "C13A"), 6);
  EXPECT_EQ(z("", "O(2)"), 8);
  EXPECT_EQ(z("", "OW2"), 8);
  EXPECT_NE(reason(head + "_chemical_formula_sum 'Co C O2'\n" + columns + "CO2 0 0 0\n").find("can be Co or C"), std::string::npos);
}

/// Atoms nearer to each other than any two are: named, whether listed, mixed, or alternatives of a disordered structure.
TEST(Cif, AtomsOnTopOfEachOtherAreRefusedByName) {
  const std::string head = "data_x\n" + cell(4),
                    columns = "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n";
  EXPECT_NE(reason(head + columns + "Fe1 Fe .5 .5 .5\nNi1 Ni .5 .5 .5\n").find("Fe1 (Fe) and Ni1 (Ni) are 0.00 A apart"), std::string::npos);
  EXPECT_NE(reason(head + columns + "O1A O .1 .2 .3\nO1B O .16 .2 .3\n").find("O1A (O) and O1B (O) are 0.24 A apart"), std::string::npos);
  EXPECT_NE(reason(head + columns + "H1 H .98 0 0\nC1 C .03 0 0\n").find("0.20 A apart"), std::string::npos);  // across the cell's face
  EXPECT_NE(reason(head + "_symmetry_equiv_pos_as_xyz '-x,y,z'\n" + columns + "O1 O .05 .2 .3\n").find("O1 (O) and an image of O1 (O) are 0.40 A"),
            std::string::npos);
  const std::string disorder = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_disorder_group\n";
  EXPECT_NE(reason(head + disorder + "O1 0 0 0 1\nO2 .5 .5 .5 2\n").find("disorder groups 1 and 2 are alternatives"), std::string::npos);
  EXPECT_NE(reason(head + disorder + "O1 .1 0 0 -1\n").find("special position"), std::string::npos);
  EXPECT_EQ(reason(head + disorder + "O1 0 0 0 1\nC1 .5 .5 .5 .\n"), "");
  const std::string hydrogen = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_attached_hydrogens\n";
  EXPECT_NE(reason(head + hydrogen + "O1 0 0 0 2\n").find("attached to 'O1'"), std::string::npos);
  EXPECT_EQ(reason(head + hydrogen + "O1 0 0 0 0\n"), "");
  const std::string dummy = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_calc_flag\n";
  EXPECT_EQ(reason(head + dummy + "O1 0 0 0 d\nX1 ? ? ? dum\n"), "");
}

TEST(Cif, WhatIsSaidTwiceMustBeTheSame) {
  const std::string good = kColumns + "Na 0 0 0\n", head = "data_x\n" + cell(4);
  EXPECT_NE(reason(head + "_cell_length_a 5\n" + good).find("_cell_length_a"), std::string::npos);
  EXPECT_NE(reason(head + "_cell.length_a 5\n" + good).find("given twice"), std::string::npos);
  EXPECT_EQ(reason(head + "_cell.length_a 4\n" + good), "");
  EXPECT_NE(reason(head + good + "loop_\n_atom_site.fract_x\n_atom_site.label\n0 Na1\n").find("two loops of atoms"), std::string::npos);
  EXPECT_NE(
      reason(head +
             "loop_\n_atom_site_type_symbol\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nNa Cl 0 0 0\n"),
      "");
}

TEST(Cif, EveryDefectHasItsReason) {
  const auto contains = [](const std::string& text, const std::string& part) {
    const std::string why = reason(text);
    EXPECT_NE(why.find(part), std::string::npos) << "reason: " << why << "\nof: " << text;
  };
  const std::string good = kColumns + "Na 0 0 0\n", head = "data_x\n" + cell(4);
  contains("", "empty");
  contains("# only a comment\n", "empty");
  contains("hello world", "unreadable CIF");
  contains(std::string("\0\1\2\xff\xfe garbage", 14), "unreadable CIF");
  contains("<html><body>404</body></html>", "unreadable CIF");
  contains("data_x\n_cell_length_a 'never closed\n", "unreadable CIF");
  contains("data_x\n;\nnever closed", "unreadable CIF");
  contains("data_x\nloop_\n_a\n_b\n1 2 3\n", "unreadable CIF");
  contains("data_x\nloop_\n", "unreadable CIF");
  contains(head, "no atoms");
  contains(head + kColumns, "");
  contains("data_x\n" + good, "no cell length a");
  contains("data_x\n_cell_length_a ?\n" + good, "cell length a is missing");
  contains("data_x\n_cell_length_a abc\n" + good, "cell length a is not a number: 'abc'");
  contains("data_x\n_cell_length_a nan\n" + good, "not finite");
  contains("data_x\n_cell_length_a 1e400\n" + good, "not finite");
  contains("data_x\n_cell_length_a -4\n" + good, "outside (0, inf)");
  contains("data_x\n_cell_length_a 0\n" + good, "outside (0, inf)");
  contains("data_x\n" + cell(4, 180) + good, "outside (0, 180)");
  contains(head + kColumns + "Qq 0 0 0\n", "unknown element 'Qq'");
  contains(head + kColumns + "? 0 0 0\n", "unknown element");
  contains(head + kColumns + "Na 0 ? 0\n", "a coordinate is missing");
  contains(head + kColumns + "Na 0 x 0\n", "a coordinate is not a number");
  contains(head + kColumns + "Na 0 inf 0\n", "not finite");
  contains(head + kColumns + "Na 0 1(2 0\n", "not a number");
  contains(head + "loop_\n_atom_site_type_symbol\n_atom_site_fract_x\nNa 0\n", "lacks _atom_site_fract_y");
  contains(head + "loop_\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n0 0 0\n", "neither");
  contains(head +
               "loop_\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_"
               "occupancy\nNa 0 0 0 0.5\n",
           "partial occupancy 0.5 of atom 1");
  contains(head + "_symmetry_equiv_pos_as_xyz 'x,y,q'\n" + good, "unreadable symmetry operation");
  contains(head + "_symmetry_equiv_pos_as_xyz 'x,y'\n" + good, "unreadable symmetry operation");
  contains(head + "_symmetry_equiv_pos_as_xyz 'x,x,x'\n" + good, "unreadable symmetry operation");
  contains(head + "_symmetry_space_group_name_H-M 'Q 9 9'\n" + good, "unknown space group 'Q 9 9'");
  contains(head + "_symmetry_Int_Tables_number 999\n" + good, "unknown space group '999'");
  EXPECT_FALSE(reason(head + kColumns).empty());
}

/// Every prefix and every single-byte change of a good file ends in a crystal or a reason, never in a crash.
TEST(Cif, DamagedTextIsSafe) {
  const std::string good = "data_x\n" + cell(5.64) + "_symmetry_space_group_name_H-M 'F m -3 m'\n" + kColumns + "Na+ 0 0 0\nCl- 0.5 0.5 0.5\n";
  std::uint32_t state = 7;
  for (std::size_t n = 0; n < good.size(); ++n) {
    reason(good.substr(0, n));
    for (int t = 0; t < 8; ++t) {
      std::string bad = good;
      bad[n] = static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
      reason(bad);
    }
  }
}

}  // namespace
}  // namespace gnn_hpc
