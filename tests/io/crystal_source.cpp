// SPDX-License-Identifier: Apache-2.0
#include "io/crystal_source.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <thread>

#include "base/error.hpp"
#include "support/paths.hpp"

namespace gnn_hpc {
namespace {

const std::string kCif =
    "data_x\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma "
    "90\n"
    "loop_\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nNa 0 0 0\n";
const std::string kPoscar = "x\n1\n4 0 0\n0 4 0\n0 0 4\nCl\n1\nDirect\n0 0 0\n";
const std::string kFrame = "1\nLattice=\"4 0 0 0 4 0 0 0 4\" energy=";

struct Folder : test::TemporaryFolder {
  std::string write(const std::string& name, const std::string& text) const {
    const std::string path = (*this / name).string();
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
};

struct Delivered {
  std::vector<Crystal> good;
  std::vector<BadRecord> bad;
  std::vector<std::int64_t> index;
};

Delivered read_all(const CrystalSourceOptions& options) {
  const auto source = CrystalSource::open(options);
  Delivered out;
  RawRecord record;
  while (source->next(record)) {
    out.index.push_back(record.index);
    auto parsed = source->parse(record);
    if (auto* crystal = std::get_if<Crystal>(&parsed)) {
      out.good.push_back(std::move(*crystal));
    } else {
      out.bad.push_back(std::get<BadRecord>(std::move(parsed)));
    }
  }
  EXPECT_EQ(source->fraction_read(), 1.0);
  return out;
}

std::string failure(const CrystalSourceOptions& options, Exit code = Exit::data) {
  try {
    read_all(options);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

void expect_reason(const BadRecord& bad, const std::string& id, std::int64_t line, const std::string& part) {
  EXPECT_EQ(bad.id, id);
  EXPECT_EQ(bad.line, line) << id;
  EXPECT_NE(bad.reason.find(part), std::string::npos) << bad.reason;
  EXPECT_FALSE(bad.file.empty());
}

TEST(CrystalSource, CsvKeepsIdsTargetsAndListsBadRows) {
  const Folder folder;
  const auto quoted = "\"" + kCif + "\"";  // 14 lines, the last one holds the closing quote
  const std::string path = folder.write("t.csv",
                                        "id,e,cif,gap\n"  // line 1
                                        "a,1.5," +
                                            quoted +
                                            ",2\n"  // 2..15
                                            "b,," +
                                            quoted +
                                            ",3\n"  // 16
                                            "c,," +
                                            quoted +
                                            ",\n"  // 30
                                            "d,x," +
                                            quoted +
                                            ",1\n"  // 44
                                            "e,inf," +
                                            quoted +
                                            ",1\n"              // 58
                                            "f,1,nonsense,1\n"  // 72
                                            "g,1\n"             // 73
                                            "h,NaN," +
                                            quoted +
                                            ",nan\n"  // 74
                                            "i,1," +
                                            "\"open");  // 88
  const auto got = read_all({.paths = {path}, .targets = {"e", "gap"}});
  ASSERT_EQ(got.good.size(), 2u);
  EXPECT_EQ(got.good[0].id, "a");
  EXPECT_EQ(got.good[0].line, 2);
  EXPECT_EQ(got.good[0].targets, (std::vector<double>{1.5, 2}));
  EXPECT_EQ(got.good[1].id, "b");
  EXPECT_TRUE(std::isnan(got.good[1].targets[0]));
  EXPECT_EQ(got.good[1].targets[1], 3);
  ASSERT_EQ(got.bad.size(), 7u);
  expect_reason(got.bad[0], "c", 30, "missing target e, gap");
  expect_reason(got.bad[1], "d", 44, "target e is not a number: 'x'");
  expect_reason(got.bad[2], "e", 58, "target e is not finite");
  expect_reason(got.bad[3], "f", 72, "unreadable CIF");
  expect_reason(got.bad[4], "g", 73, "2 fields, but the header has 4");
  expect_reason(got.bad[5], "h", 74, "missing target");
  expect_reason(got.bad[6], "i", 88, "inside a quoted field");
  EXPECT_EQ(got.index, (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(CrystalSource, ColumnsByNameAndTheirAbsence) {
  const Folder folder;
  const std::string path = folder.write("t.csv", ",structure,label,e\n0,\"" + kCif + "\",n1,5\n");
  const CrystalSourceOptions good{.paths = {path}, .targets = {"e"}, .id_column = "label", .cif_column = "structure"};
  EXPECT_EQ(read_all(good).good.at(0).id, "n1");
  auto options = good;
  options.id_column.clear();
  EXPECT_EQ(read_all(options).good.at(0).id, "t_0");
  options.targets = {"heat"};
  EXPECT_NE(failure(options).find("no column 'heat' (columns: (unnamed), structure, label, e)"), std::string::npos);
  options = good;
  options.cif_column = "cif";
  EXPECT_NE(failure(options).find("no column 'cif'"), std::string::npos);
  options = good;
  options.index = ":5";
  failure(options, Exit::usage);
}

TEST(CrystalSource, AColumnInUseWhoseNameAnotherBearsIsRefused) {
  const Folder folder;
  const auto csv = [&](const std::string& header) { return folder.write("t.csv", header + "\n" + "n1,\"" + kCif + "\",5,6\n"); };
  CrystalSourceOptions options{.paths = {csv("id,cif,y,y")}, .targets = {"y"}};
  EXPECT_NE(failure(options).find("t.csv:1: 2 columns are called 'y'; rename all but one"), std::string::npos);
  options.targets_optional = true;  // which of them is the truth, prediction cannot know either
  EXPECT_NE(failure(options).find("2 columns are called 'y'"), std::string::npos);
  options.targets.clear();
  EXPECT_EQ(read_all(options).good.size(), 1U);  // nobody asks for y
  options = {.paths = {csv("id,cif,y,id")}, .targets = {"y"}};
  EXPECT_NE(failure(options).find("2 columns are called 'id'"), std::string::npos);
  options = {.paths = {csv("id,cif,y, cif")}, .targets = {"y"}};
  EXPECT_NE(failure(options).find("2 columns are called 'cif'"), std::string::npos);
  folder.write("a.cif", kCif);
  folder.write("id_prop.csv", "id,y,y\na,1,2\n");
  options = {.paths = {folder.path().string()}, .targets = {"y"}};
  EXPECT_NE(failure(options).find("id_prop.csv:1: 2 columns are called 'y'"), std::string::npos);
}

TEST(CrystalSource, AnOptionalTargetNeverMakesARecordBad) {
  const auto expect_unknown = [](const CrystalSourceOptions& options, std::size_t records) {
    const Delivered got = read_all(options);
    EXPECT_EQ(got.bad.size(), 0U);
    ASSERT_EQ(got.good.size(), records);
    for (const Crystal& crystal : got.good) {
      ASSERT_EQ(crystal.targets.size(), 1U);
      EXPECT_TRUE(std::isnan(crystal.targets[0]));
    }
  };
  const Folder folder;
  const std::string a = folder.write("a.cif", kCif);
  CrystalSourceOptions options{.paths = {a}, .targets = {"y"}, .targets_optional = true};
  expect_unknown(options, 1);
  options.paths = {folder.path().string()};
  expect_unknown(options, 1);
  options.paths = {folder.write("t.csv", "id,cif\n1,\"" + kCif + "\"\n")};
  expect_unknown(options, 1);
  options.paths = {folder.write("u.csv", "id,cif,y\n1,\"" + kCif + "\",high\n2,\"" + kCif + "\",inf\n3,\"" + kCif + "\",\n")};
  expect_unknown(options, 3);
  options.paths = {folder.write("f.xyz", kFrame + "9\nK 0 0 0\n" + kFrame + "9 y=n/a\nK 0 0 0\n")};
  expect_unknown(options, 2);
  folder.write("id_prop.csv", "id,other\na,9\n");
  options.paths = {folder.path().string()};
  expect_unknown(options, 1);
  folder.write("id_prop.csv", "a\n");
  expect_unknown(options, 1);
}

TEST(CrystalSource, FolderWithAndWithoutHeader) {
  const Folder folder;
  folder.write("a.cif", kCif);
  folder.write("POSCAR-b.vasp", kPoscar);
  folder.write("c.xyz", kFrame + "9\nK 0 0 0\n");
  folder.write("notes.txt", "hello");
  folder.write("id_prop.csv", "a.cif,1\nb,2\r\nc,3\nabsent,4\nnotes.txt,5\nPOSCAR-b.vasp\n");
  auto got = read_all({.paths = {folder.path().string()}, .targets = {"anything"}});
  ASSERT_EQ(got.good.size(), 3u);
  EXPECT_EQ(got.good[0].id, "a.cif");
  EXPECT_EQ(got.good[1].id, "b");
  EXPECT_EQ(got.good[1].z[0], 17);
  EXPECT_EQ(got.good[2].targets, std::vector<double>{3});  // id_prop.csv decides, not the frame
  ASSERT_EQ(got.bad.size(), 3u);
  expect_reason(got.bad[0], "absent", 4, "no structure file for 'absent'");
  expect_reason(got.bad[1], "notes.txt", 5, "no known ending");
  EXPECT_NE(got.bad[2].reason.find("1 fields, but the first row has 2"), std::string::npos);

  folder.write("id_prop.csv", "file,gap,e\na.cif,0.5,7\nc.xyz,,8\n");
  got = read_all({.paths = {folder.path().string()}, .targets = {"e", "gap"}});
  ASSERT_EQ(got.good.size(), 2u);
  EXPECT_EQ(got.good[0].targets, (std::vector<double>{7, 0.5}));
  EXPECT_TRUE(std::isnan(got.good[1].targets[1]));
  EXPECT_NE(failure({.paths = {folder.path().string()}, .targets = {"x"}}).find("columns: file, gap, e"), std::string::npos);

  const auto source = CrystalSource::open({.paths = {folder.path().string()}, .targets = {"e"}});
  EXPECT_EQ(source->files(), (std::vector<std::string>{(folder / "id_prop.csv").string(), (folder / "a.cif").string(), (folder / "c.xyz").string()}));
}

/// id_prop.csv: a name that is asked for is a column's, never a position; every row is used or bad.
TEST(CrystalSource, ColumnsOfIdPropAreThoseOfTheHeader) {
  const Folder folder;
  folder.write("a.cif", kCif);
  folder.write("b.cif", kCif);
  const auto table = [&](const std::string& text) { folder.write("id_prop.csv", text); };
  const auto read = [&](std::vector<std::string> targets) { return read_all({.paths = {folder.path().string()}, .targets = std::move(targets)}); };
  const auto refuse = [&](std::vector<std::string> targets) { return failure({.paths = {folder.path().string()}, .targets = std::move(targets)}); };
  table("id,300,y\na,1,2\nb,3,4\n");  // a header with a number among its names
  auto got = read({"y"});
  ASSERT_EQ(got.good.size(), 2U);
  EXPECT_EQ(got.good[1].targets[0], 4);
  table("a,1,2\nb,3,4\n");
  EXPECT_NE(refuse({"y"}).find("has 2 values, but the targets are y"), std::string::npos);
  EXPECT_EQ(read({"x", "y"}).good.at(1).targets, (std::vector<double>{3, 4}));
  table("id,y,y\na,1,2\n");
  EXPECT_NE(refuse({"y"}).find("2 columns are called 'y'"), std::string::npos);
  EXPECT_NE(failure({.paths = {(table("a,1\n"), folder.path().string())}, .targets = {"y"}, .id_column = "name"}).find("no header"),
            std::string::npos);
  table("id,y\na,\"1\nb,2\n");  // a quote that is never closed
  got = read({"y"});
  ASSERT_EQ(got.bad.size(), 1U);
  expect_reason(got.bad[0], "a", 2, "the row takes lines 2 to 4");
  table("id,y\na,\"1\nb,\"2\n");  // one that another row's quote closes
  got = read({"y"});
  EXPECT_TRUE(got.good.empty());
  expect_reason(got.bad.at(0), "a", 2, "the row takes lines 2 to 3");
}

/// Blocks of a CIF and frames of an extended XYZ file are records: a row of id_prop.csv names one, the others are used by name or listed.
TEST(CrystalSource, EveryStructureOfAFileIsUsedOrListed) {
  const Folder folder;
  const auto block = [](const std::string& name, const char* element) {
    std::string text = kCif;
    text.replace(0, 6, "data_" + name);
    text.replace(text.find("Na 0"), 2, element);
    return text;
  };
  const std::string note = "data_global\n_journal_year 2020\n";
  const auto cif = folder.write("two.cif", note + block("first", "Na") + block("second", "K"));
  const auto xyz = folder.write("runs.xyz", kFrame + "1\nCl 0 0 0\n" + kFrame + "2\nBr 0 0 0\n");
  // Prediction: all of them.
  auto got = read_all({.paths = {folder.path().string()}});
  ASSERT_EQ(got.good.size(), 4U);
  EXPECT_EQ(got.good[0].id, "runs#0");
  EXPECT_EQ(got.good[1].id, "runs#1");
  EXPECT_EQ(got.good[2].id, "two#first");
  EXPECT_EQ(got.good[3].id, "two#second");
  EXPECT_EQ(got.good[3].z[0], 19);
  EXPECT_EQ(got.good[3].line, 3 + 14 - 1);
  EXPECT_EQ(read_all({.paths = {cif}}).good.size(), 2U);
  // A row names the first, another may name the second.
  folder.write("id_prop.csv", "two,1\nruns,2\n");
  got = read_all({.paths = {folder.path().string()}, .targets = {"e"}});
  ASSERT_EQ(got.good.size(), 2U);
  EXPECT_EQ(got.good[0].id, "two");
  EXPECT_EQ(got.good[0].z[0], 11);
  ASSERT_EQ(got.bad.size(), 2U);
  expect_reason(got.bad[0], "two#second", 16, "give 'two#second' a row of its own");
  expect_reason(got.bad[1], "runs#1", 4, "structure 2 of a file");
  folder.write("id_prop.csv", "two,1\ntwo.cif#second,3\nruns#1,2\n");
  got = read_all({.paths = {folder.path().string()}, .targets = {"e"}});
  ASSERT_EQ(got.good.size(), 3U);
  EXPECT_TRUE(got.bad.empty());
  EXPECT_EQ(got.good[1].z[0], 19);
  EXPECT_EQ(got.good[2].z[0], 35);
  folder.write("id_prop.csv", "two#third,1\n");
  expect_reason(read_all({.paths = {folder.path().string()}, .targets = {"e"}}).bad.at(0), "two#third", 1, "no structure called 'third'");
  // In a table one cell is one structure.
  const auto csv = folder.write("t.csv", "id,cif,e\nx,\"" + block("a", "Na") + block("b", "K") + "\",1\n");
  expect_reason(read_all({.paths = {csv}, .targets = {"e"}}).bad.at(0), "x", 2, "more than one structure");
}

TEST(CrystalSource, FilesThatNoRowNamesAreTold) {
  const Folder folder;
  for (const char* name : {"a.cif", "b.cif", "c.cif"}) folder.write(name, kCif);
  folder.write("notes.txt", "hello");
  EXPECT_EQ(CrystalSource::open({.paths = {folder.path().string()}})->notes().at(0),
            folder.path().string() + ": 1 files are no structures by their names: notes.txt");
  folder.write("id_prop.csv", "a,1\n");
  const auto notes = CrystalSource::open({.paths = {folder.path().string()}, .targets = {"e"}})->notes();
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("no row names 2 of the structure files beside it: b.cif, c.cif"), std::string::npos);
  folder.write("id_prop.csv", "a,1\nb.cif,2\nc,3\n");
  EXPECT_TRUE(CrystalSource::open({.paths = {folder.path().string()}, .targets = {"e"}})->notes().empty());
}

TEST(CrystalSource, DoubledColumnsAreRefused) {
  const Folder folder;
  const std::string path = folder.write("t.csv", "id,cif,e,e,id\na,\"" + kCif + "\",1,2,b\n");
  EXPECT_NE(failure({.paths = {path}, .targets = {"e"}}).find("2 columns are called 'e'"), std::string::npos);
  EXPECT_NE(failure({.paths = {path}}).find("2 columns are called 'id'"), std::string::npos);
}

/// Whatever the format, the same validator ends the reading.
TEST(CrystalSource, EveryReaderRefusesAtomsOnTopOfEachOther) {
  const Folder folder;
  const std::string two_cif = kCif + "Cl 0.02 0 0\n";
  const auto csv = folder.write("t.csv", "id,cif\na,\"" + two_cif + "\"\n"), cif = folder.write("a.cif", two_cif);
  const auto poscar = folder.write("a.vasp", "x\n1\n4 0 0\n0 4 0\n0 0 4\nNa Cl\n1 1\nDirect\n0 0 0\n.02 0 0\n");
  const auto xyz = folder.write("a.xyz", "2\nLattice=\"4 0 0 0 4 0 0 0 4\"\nNa 0 0 0\nCl .08 0 0\n");
  for (const auto& path : {csv, cif, poscar, xyz}) {
    const auto got = read_all({.paths = {path}});
    ASSERT_EQ(got.bad.size(), 1U) << path;
    EXPECT_NE(got.bad[0].reason.find("are 0.08 A apart; no two atoms may be closer"), std::string::npos) << got.bad[0].reason;
  }
}

TEST(CrystalSource, MoleculesAndSlabsAreRefusedOrPutIntoABox) {
  const Folder folder;
  const auto path = folder.write("m.xyz", "2\nLattice=\"4 0 0 0 4 0 0 0 4\" pbc=\"F F F\" e=1\nH 0 0 0\nH 0 0 .74\n2\ne=2\nH 0 0 0\nH 0 0 .74\n");
  auto got = read_all({.paths = {path}, .targets = {"e"}});
  ASSERT_EQ(got.bad.size(), 2U);
  EXPECT_NE(got.bad[0].reason.find("data.non_periodic: box"), std::string::npos);
  EXPECT_NE(got.bad[1].reason.find("no Lattice"), std::string::npos);
  got = read_all({.paths = {path}, .targets = {"e"}, .non_periodic = "box"});
  ASSERT_EQ(got.good.size(), 2U);
  EXPECT_EQ(got.good[0].lattice, got.good[1].lattice);
}

TEST(CrystalSource, PlainStructureFilesForPrediction) {
  const Folder folder;
  const auto a = folder.write("z.cif", kCif), b = folder.write("POSCAR", kPoscar);
  auto got = read_all({.paths = {folder.path().string()}});
  ASSERT_EQ(got.good.size(), 2u);
  EXPECT_EQ(got.good[0].z[0], 17);  // by name
  EXPECT_EQ(got.good[1].id, "z");
  EXPECT_EQ(read_all({.paths = {a}}).good.size(), 1u);
  EXPECT_EQ(read_all({.paths = {b}}).good.size(), 1u);
  EXPECT_NE(failure({.paths = {a}, .targets = {"e"}}).find("hold no targets"), std::string::npos);
  failure({.paths = {folder.path().string()}, .targets = {"e"}});
}

TEST(CrystalSource, ExtxyzSlicesOverFiles) {
  const Folder folder;
  std::string one, two;
  for (int i = 0; i < 5; ++i) one += kFrame + std::to_string(i) + "\nNa 0 0 0\n";
  for (int i = 5; i < 8; ++i) two += kFrame + std::to_string(i) + "\nNa 0 0 0\n";
  const std::vector<std::string> paths{folder.write("a.extxyz", one), folder.write("b.extxyz", two)};
  const auto energies = [&](const char* index) {
    std::vector<double> out;
    for (const Crystal& c : read_all({.paths = paths, .targets = {"energy"}, .index = index}).good) out.push_back(c.targets[0]);
    return out;
  };
  EXPECT_EQ(energies(""), (std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(energies(":6:2"), (std::vector<double>{0, 2, 4}));
  EXPECT_EQ(energies("-3:"), (std::vector<double>{5, 6, 7}));
  EXPECT_EQ(energies("-1"), (std::vector<double>{7}));
  EXPECT_EQ(energies("4:6"), (std::vector<double>{4, 5}));
  EXPECT_EQ(energies("20:"), (std::vector<double>{}));
  const auto got = read_all({.paths = paths, .targets = {"gap"}});
  ASSERT_EQ(got.bad.size(), 8u);
  expect_reason(got.bad[6], "b_1", 4, "missing target gap (found: energy)");
}

TEST(CrystalSource, ParseIsTheSameFromManyThreads) {
  const Folder folder;
  std::string text = "id,cif,e\n";
  for (int i = 0; i < 300; ++i) text += fmt::format("r{},\"{}\",{}\n", i, kCif, i);
  const auto source = CrystalSource::open({.paths = {folder.write("t.csv", text)}, .targets = {"e"}});
  std::vector<RawRecord> records(300);
  for (auto& r : records) ASSERT_TRUE(source->next(r));
  std::vector<int> right(4, 0);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = t; i < records.size(); i += 4) {
        const auto parsed = source->parse(records[i]);
        const auto* crystal = std::get_if<Crystal>(&parsed);
        right[t] += crystal && crystal->targets[0] == static_cast<double>(i) && crystal->id == "r" + std::to_string(i);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, (std::vector<int>{75, 75, 75, 75}));
}

TEST(CrystalSource, CellsAndSourcesThatCannotBe) {
  const Folder folder;
  std::string flat = kCif, huge = kCif;
  flat.replace(flat.find("gamma 90"), 8, "gamma 180.0");
  huge.replace(huge.find("Na 0 0 0"), 8, "Na 1e12 0 0");
  const std::string poscar = "x\n1\n1 0 0\n2 0 0\n0 0 3\nCl\n1\nDirect\n0 0 0\n";
  EXPECT_NE(read_all({.paths = {folder.write("flat.cif", flat)}}).bad.at(0).reason.find("cell angle gamma"), std::string::npos);
  EXPECT_NE(read_all({.paths = {folder.write("huge.cif", huge)}}).bad.at(0).reason.find("beyond 1e6"), std::string::npos);
  EXPECT_NE(read_all({.paths = {folder.write("flat.vasp", poscar)}}).bad.at(0).reason.find("zero volume"), std::string::npos);
  EXPECT_NE(failure({.paths = {folder.write("t.json", "{}")}}).find("does not tell the format"), std::string::npos);
  EXPECT_NE(failure({.paths = {(folder / "absent.csv").string()}}).find("no such file"), std::string::npos);
  failure({.format = "xml", .paths = {folder.write("a.cif", kCif)}}, Exit::usage);
  failure({}, Exit::usage);
  EXPECT_NE(failure({.paths = {folder.write("empty.csv", "")}}).find("empty"), std::string::npos);
}

TEST(CrystalSource, ReadsTheSharedDataSets) {
  struct Set {
    const char *path, *target;
    std::size_t count;
  };
  for (const Set& set : {Set{"perov_5_val.csv.gz", "heat_all", 3787}, Set{"carbon_24_val.csv.gz", "energy_per_atom", 2032},
                         Set{"mp20_subset_val.csv.gz", "band_gap", 123}, Set{"supercon_val.csv.gz", "prop", 105}, Set{"jarvis_sample", "prop", 50}}) {
    const auto path = test::shared_path(std::string("data/crystals/") + set.path);
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path << "; set GNN_HPC_SHARED";
    const auto got = read_all({.paths = {path.string()}, .targets = {set.target}});
    EXPECT_EQ(got.good.size(), set.count) << set.path;
    EXPECT_TRUE(got.bad.empty()) << set.path << ": " << got.bad[0].reason;
  }
}

}  // namespace
}  // namespace gnn_hpc
