// SPDX-License-Identifier: Apache-2.0
#include "io/cif.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.hpp"
#include "io/csv.hpp"
#include "support/hdf5_values.hpp"
#include "support/paths.hpp"

namespace gnn_hpc {
namespace {

std::string cell(double a, double alpha = 90, double b = 0, double c = 0, double gamma = 0) {
  return fmt::format(
      "_cell_length_a {}\n_cell_length_b {}\n_cell_length_c {}\n_cell_angle_alpha {}\n_cell_angle_beta {}\n_cell_angle_gamma {}\n",
      a, b > 0 ? b : a, c > 0 ? c : a, alpha, alpha, gamma > 0 ? gamma : alpha);
}
const std::string kColumns = "loop_\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n";

std::string reason(const std::string& text) {
  Crystal crystal;
  try {
    parse_cif(text, crystal);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::data);
    return error.what();
  }
  return {};
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
  for (const char* group :
       {"_symmetry_space_group_name_H-M 'F m -3 m'\n", "_space_group_name_H-M_alt 'F m -3 m'\n",
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
  EXPECT_EQ(c.frac[0], 0.3333);  // as listed
}

TEST(Cif, AFullListUnderItsSymmetryIsNotDoubled) {
  Crystal c;
  parse_cif("data_x\n" + cell(4.12) + "_symmetry_space_group_name_H-M 'I m -3 m'\n" + kColumns + "Fe 0 0 0\nFe 0.5 0.5 0.5\n", c);
  EXPECT_EQ(c.z.size(), 2u);
}

TEST(Cif, RhombohedralAndHexagonalSettings) {
  Crystal c;  // corundum in hexagonal axes: 12 Al, 18 O; the cell's angles choose the setting of R -3 c
  parse_cif("data_x\n" + cell(4.76, 90, 4.76, 12.99, 120) + "_symmetry_space_group_name_H-M 'R -3 c'\n" + kColumns +
                "Al 0 0 0.3522\nO 0.3063 0 0.25\n",
            c);
  EXPECT_EQ(composition(c), (std::map<int, int>{{13, 12}, {8, 18}}));
}

TEST(Cif, TheFirstBlockWithAtomsCounts) {
  Crystal c;
  parse_cif(
      "data_global\n_publ_author 'x'\ndata_a\n" + cell(3) + kColumns + "Po 0 0 0\ndata_b\n" + cell(5) + kColumns + "Fe 0 0 0\n", c);
  EXPECT_EQ(c.z, (std::vector<std::uint8_t>{84}));
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
           "partial occupancy 0.5");
  contains(head + "_symmetry_equiv_pos_as_xyz 'x,y,q'\n" + good, "unreadable symmetry operation");
  contains(head + "_symmetry_equiv_pos_as_xyz 'x,y'\n" + good, "unreadable symmetry operation");
  contains(head + "_symmetry_equiv_pos_as_xyz 'x,x,x'\n" + good, "unreadable symmetry operation");
  contains(head + "_symmetry_space_group_name_H-M 'Q 9 9'\n" + good, "unknown space group 'Q 9 9'");
  contains(head + "_symmetry_Int_Tables_number 999\n" + good, "unknown space group '999'");
  EXPECT_FALSE(reason(head + kColumns).empty());
}

/// Every prefix and every single-byte change of a good file ends in a crystal or a reason, never in a crash.
TEST(Cif, DamagedTextIsSafe) {
  const std::string good =
      "data_x\n" + cell(5.64) + "_symmetry_space_group_name_H-M 'F m -3 m'\n" + kColumns + "Na+ 0 0 0\nCl- 0.5 0.5 0.5\n";
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
