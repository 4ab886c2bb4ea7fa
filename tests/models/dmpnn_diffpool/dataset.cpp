// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/dataset.hpp"

#include "base/error.hpp"
#include "graph/split.hpp"
#include "io/smiles.hpp"
#include "support/paths.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

namespace gnn_hpc::dmpnn {
namespace {

namespace fs = std::filesystem;

/// Alkanes of 1 to n carbon atoms with one wildcard; a = row, b = -row (missing in every fourth row), kind = row % 3.
std::string alkanes(int count) {
  std::string out = "name,repeat unit,a,b,kind,note\n";
  for (int i = 1; i <= count; ++i) {
    out += fmt::format("m{},*{},{},{},{},\"x, {}\"\n", i, std::string(static_cast<std::size_t>(i), 'C'), i, i % 4 == 0 ? "" : std::to_string(-i),
                       i % 3, i);
  }
  return out;
}

class Molecules : public testing::Test {
 protected:
  void SetUp() override {
    if (rdkit_version().empty()) GTEST_SKIP() << "built without RDKit";
    put("data.csv", alkanes(40));
    options.paths = {(folder / "data.csv").string()};
    options.smiles = "repeat unit";
    options.targets = {"a"};
    options.cache_dir = (folder / "cache").string();
  }
  void put(const std::string& name, const std::string& text) { std::ofstream(folder / name) << text; }
  MoleculeDataset opened() const {
    MoleculeDataset dataset(options);
    dataset.open(Comm::self(), DataUse::training, "system: dmpnn_diffpool\n");
    return dataset;
  }
  std::string failure() const {
    try {
      opened();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::data);
      return error.what();
    }
    return "opened";
  }
  std::size_t caches() const { return static_cast<std::size_t>(std::distance(fs::directory_iterator(options.cache_dir), fs::directory_iterator())); }

  test::TemporaryFolder folder;
  DataOptions options;
};

TEST_F(Molecules, ViewsAreTheGraphs) {
  const auto d = opened();
  ASSERT_EQ(d.num_samples(), 40);
  EXPECT_FALSE(d.weighted());
  EXPECT_EQ(d.id(2), "*CCC");
  EXPECT_EQ(d.num_atoms(2), 4);
  EXPECT_EQ(d.num_edges(2), 6);
  const MoleculeView v = d.view(2);
  EXPECT_EQ(std::vector<std::int32_t>(v.src.begin(), v.src.end()), (std::vector<std::int32_t>{0, 1, 1, 2, 2, 3}));
  EXPECT_EQ(std::vector<std::int32_t>(v.dst.begin(), v.dst.end()), (std::vector<std::int32_t>{1, 0, 2, 1, 3, 2}));
  EXPECT_TRUE(v.edge_weight.empty());
  EXPECT_TRUE(v.atom_weight.empty());
  EXPECT_TRUE(v.descriptors.empty());
  ASSERT_EQ(v.target.size(), 1U);
  EXPECT_DOUBLE_EQ(v.target[0], d.scaler().scale(3.0, 0));
  // wildcard, carbon at the end, in the middle, alone with a wildcard (methyl: degree 4, three hydrogens, too)
  EXPECT_EQ(d.atom_table().rows(), 3);
  EXPECT_EQ(d.atom_table().width, 72);
  EXPECT_EQ(d.bond_table().rows(), 1);
  EXPECT_EQ(d.bond_table().width, 14);
  for (int r = 0; r < 3; ++r) {
    double sum = 0.0;
    for (int c = 0; c < 70; ++c) sum += d.atom_table().values[static_cast<std::size_t>(72 * r + c)];
    EXPECT_EQ(sum, 6.0) << "six one-hot blocks";
  }
  EXPECT_EQ(d.atom_table().values[static_cast<std::size_t>(72 * v.atom_type[0] + 37)], 1.0) << "a wildcard is `other`";
  EXPECT_NEAR(d.atom_table().values[static_cast<std::size_t>(72 * v.atom_type[1] + 71)], 0.12011, 1e-12);
  EXPECT_NE(v.atom_type[1], v.atom_type[3]);
}

TEST_F(Molecules, TablesDoNotDependOnTheOrderOfRows) {
  put("a.csv", "smiles,y\nCCO,1\nc1ccccc1,2\n[13CH4],3\nC=C,4\nCl,5\n");
  put("b.csv", "smiles,y\nCl,5\n[13CH4],3\nC=C,4\nc1ccccc1,2\nCCO,1\n");
  options.smiles = "smiles";
  options.targets = {"y"};
  options.paths = {(folder / "a.csv").string()};
  MoleculeDataset a(options);
  a.open(Comm::self(), DataUse::prediction);
  options.paths = {(folder / "b.csv").string()};
  MoleculeDataset b(options);
  b.open(Comm::self(), DataUse::prediction);
  EXPECT_EQ(a.atom_table().values, b.atom_table().values);
  EXPECT_EQ(a.bond_table().values, b.bond_table().values);
  EXPECT_EQ(a.view(0).atom_type[2], b.view(4).atom_type[2]);
}

TEST_F(Molecules, SplitsAndScaling) {
  const auto d = opened();  // below 2,000: five folds
  const SampleParts parts = kfold_parts(40, 42, 5, 0);
  EXPECT_EQ(d.splits().train, parts.train);
  EXPECT_EQ(d.splits().validation, parts.validation);
  EXPECT_EQ(d.splits().test, parts.test);
  EXPECT_EQ(d.num_replicates(3), 5);
  double sum = 0.0, squares = 0.0;
  for (const auto s : parts.train) sum += d.labels(s)[0];
  const double mean = sum / static_cast<double>(parts.train.size());
  for (const auto s : parts.train) squares += (d.labels(s)[0] - mean) * (d.labels(s)[0] - mean);
  EXPECT_NEAR(d.scaler().mean[0], mean, 1e-12);
  EXPECT_NEAR(d.scaler().std[0], std::sqrt(squares / static_cast<double>(parts.train.size())), 1e-12);

  options.split = "holdout";
  options.replicate = 3;
  options.train_size = "10";
  const auto h = opened();
  const SampleParts holdout = holdout_parts(40, 45);
  EXPECT_EQ(h.splits().test, holdout.test);
  EXPECT_EQ(h.splits().train, std::vector<std::int64_t>(holdout.train.begin(), holdout.train.begin() + 10));
  EXPECT_EQ(h.num_replicates(3), 3);
  options.train_size = "1";
  EXPECT_EQ(opened().scaler().std[0], 1.0) << "one molecule has no spread";
  options.train_size = "1000";
  EXPECT_EQ(opened().splits().train.size(), 32U);
  options.split = "auto";
  options.replicate = 5;
  EXPECT_NE(failure().find("folds"), std::string::npos);
  EXPECT_EQ(caches(), 1U) << "splits are not a matter of graphs";
}

TEST_F(Molecules, GroupsOfTheSameMoleculeStayTogether) {
  std::string text = "smiles,y,family\n";
  for (int i = 0; i < 60; ++i) {
    const std::string chain(static_cast<std::size_t>(1 + i % 20), 'C');
    text += fmt::format("{},{},{}\n", i < 30 ? chain + "O" : "O" + chain, i, i % 3);  // written from either end
  }
  put("data.csv", text);
  options.smiles = "smiles";
  options.targets = {"y"};
  options.split = "holdout";
  options.group_by = "input";
  const auto d = opened();
  const auto digest = d.input_digests();
  std::map<std::uint64_t, int> part_of;
  int number = 0;
  for (const auto* part : {&d.splits().train, &d.splits().validation, &d.splits().test}) {
    ++number;
    for (const auto s : *part) {
      const auto [at, fresh] = part_of.emplace(digest[static_cast<std::size_t>(s)], number);
      EXPECT_EQ(at->second, number) << d.id(s);
    }
  }
  EXPECT_EQ(part_of.size(), 20U);
  EXPECT_EQ(d.splits().test.size(), 6U);  // two of twenty groups of three
  options.group_by = "family";
  options.train_ratio = 0.34;
  options.validation_ratio = options.test_ratio = 0.33;
  const auto by_family = opened();
  for (const auto s : by_family.splits().test) EXPECT_EQ(s % 3, by_family.splits().test.front() % 3);
}

TEST_F(Molecules, BadRowsAreNamedAndLeftOut) {
  put("data.csv", "smiles,a,b\nCC,1,2\nC(,2,3\n,3,4\nCCC,,5\nCCCC,x,6\nCCO,inf,7\nCCN,8\nCCF,9,\nCCCl,10,11\nCCCCC,12,13\n");
  options.smiles = "smiles";
  EXPECT_NE(failure().find("6 of 10 records cannot be used"), std::string::npos) << failure();
  options.max_bad_fraction = 0.6;
  const auto d = opened();
  ASSERT_EQ(d.num_samples(), 4);
  const auto bad = d.skipped();
  ASSERT_EQ(bad.size(), 6U);
  const char* reasons[] = {"row 2, column smiles: invalid SMILES 'C(': syntax error",
                           "row 3, column smiles: empty SMILES",
                           "row 4, column a: no target",
                           "row 5, column a: not a number: 'x'",
                           "row 6, column a: not finite: 'inf'",
                           "row 7: 2 fields, but the header has 3"};
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(bad[i].reason, reasons[i]);
    EXPECT_EQ(bad[i].line, static_cast<std::int64_t>(i) + 3);
  }
  EXPECT_EQ(bad[1].id, "row 3");
  const auto records = d.records();
  ASSERT_EQ(records.size(), 10U);
  EXPECT_EQ(records[1].sample, -1);
  EXPECT_EQ(records[7].id, "CCF");
  EXPECT_EQ(records[7].sample, 1);
  options.targets = {"a", "b"};
  const auto both = opened();
  EXPECT_EQ(both.num_samples(), 5);  // CCC has b
  EXPECT_TRUE(std::isnan(both.labels(1)[0]));
  EXPECT_TRUE(std::isnan(both.view(1).target[0]));
  EXPECT_FALSE(std::isnan(both.view(1).target[1]));
}

TEST_F(Molecules, FilesThatHoldNothing) {
  options.smiles = "smiles";
  put("data.csv", "");
  EXPECT_NE(failure().find("the file is empty"), std::string::npos) << failure();
  put("data.csv", "smiles,a\n");
  EXPECT_NE(failure(), "opened");
  options.targets.clear();
  EXPECT_NE(failure().find("a header without rows"), std::string::npos) << failure();
  put("data.csv", std::string("s\0m\0i\0,\0a\0", 10));  // UTF-16
  EXPECT_NE(failure().find("UTF-8"), std::string::npos) << failure();
  put("data.csv", "smi;a\n");
  EXPECT_NE(failure().find("columns: smi;a"), std::string::npos) << failure();
}

TEST_F(Molecules, FilesAsSpreadsheetsWriteThem) {
  std::string text = "\xEF\xBB\xBF\"smiles\",\"a\",\"remark\"\r\n";
  for (int i = 1; i <= 12; ++i) text += fmt::format("\"*{}\",\"{}\",\"a \"\"b\"\", c\nd\"\r\n", std::string(static_cast<std::size_t>(i), 'C'), i);
  put("data.csv", text);
  options.smiles = "smiles";
  const auto d = opened();
  ASSERT_EQ(d.num_samples(), 12);
  EXPECT_EQ(d.id(1), "*CC");
  EXPECT_EQ(d.labels(11)[0], 12.0);
}

TEST_F(Molecules, ColumnsFoundInTheFile) {
  options.targets.clear();
  options.ignore = {"kind"};
  EXPECT_EQ(opened().target_names(), (std::vector<std::string>{"a", "b"}));
  options.ignore.clear();
  options.id_column = "name";
  options.descriptors = {"ki*"};
  const auto d = opened();
  EXPECT_EQ(d.target_names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(d.id(0), "m1");
  EXPECT_EQ(d.num_descriptors(), 1);
  options.ignore = {"a", "b"};
  EXPECT_NE(failure().find("data.targets"), std::string::npos);
  options.descriptors = {"x*"};
  EXPECT_NE(failure().find("data.descriptors"), std::string::npos);
  options.descriptors.clear();
  options.targets = {"c"};
  EXPECT_NE(failure().find("no column 'c'"), std::string::npos) << failure();
  options.smiles = "smiles";
  EXPECT_NE(failure().find("data.smiles"), std::string::npos);
  options.paths = {"none.csv"};
  EXPECT_NE(failure(), "opened");
}

TEST_F(Molecules, EveryByteAndEveryColumnCounts) {
  opened();
  opened();
  EXPECT_EQ(caches(), 1U);
  options.targets = {"b", "a"};
  opened();
  EXPECT_EQ(caches(), 2U);
  options.id_column = "name";
  opened();
  EXPECT_EQ(caches(), 3U);
  options.descriptors = {"kind"};
  opened();
  EXPECT_EQ(caches(), 4U);
  options.task = "regression";
  options.split_seed = 1;
  opened();
  EXPECT_EQ(caches(), 4U);
  put("data.csv", alkanes(40) + "m41,*N,1,2,0,\n");
  EXPECT_EQ(opened().num_samples(), 41);
  EXPECT_EQ(caches(), 5U);
  MoleculeDataset d(options);
  EXPECT_TRUE(d.open(Comm::self(), DataUse::training_if_built));
  options.paths = {(folder / "data.csv").string(), (folder / "data.csv").string()};
  MoleculeDataset twice(options);
  EXPECT_FALSE(twice.open(Comm::self(), DataUse::training_if_built));
  EXPECT_EQ(caches(), 5U);
}

TEST_F(Molecules, Classifications) {
  options.targets = {"kind"};
  options.task = "binary";
  EXPECT_NE(failure().find("row 2, '*CC': 'kind' is 2, but data.task: binary allows only 0 and 1"), std::string::npos) << failure();
  options.task = "multiclass";
  const auto d = opened();
  EXPECT_EQ(d.num_classes(), 3);
  EXPECT_EQ(d.scaler().std[0], 1.0);
  EXPECT_EQ(d.view(4).target[0], 2.0);
  std::vector<int> count(3, 0);
  for (const auto s : d.splits().test) ++count[static_cast<std::size_t>(d.labels(s)[0])];
  EXPECT_LE(*std::max_element(count.begin(), count.end()) - *std::min_element(count.begin(), count.end()), 1) << "stratified";
  options.classes = 2;
  EXPECT_NE(failure().find("data.classes says 2, but the labels are 3: 0, 1, 2"), std::string::npos);
  options.classes = 5;
  EXPECT_EQ(opened().num_classes(), 5);
  const auto state = opened().state();
  options.classes = 0;
  put("new.csv", "repeat unit,kind\n*CC,4\n*CO,\n");
  options.paths = {(folder / "new.csv").string()};
  MoleculeDataset seen(options);
  seen.open(Comm::self(), DataUse::prediction);
  seen.set_state(state);
  EXPECT_EQ(seen.labels(0)[0], 4.0);
  put("new.csv", "repeat unit,kind\n*CC,5\n");
  MoleculeDataset unseen(options);
  unseen.open(Comm::self(), DataUse::prediction);
  unseen.set_state(state);
  EXPECT_TRUE(std::isnan(unseen.labels(0)[0])) << "the model has classes 0 to 4";
  ASSERT_EQ(unseen.unknown_labels().size(), 1U);
  EXPECT_EQ(unseen.unknown_labels()[0].id, "*CC");
}

TEST_F(Molecules, PolymersHaveWeights) {
  std::string text = "poly,y\n";
  for (int i = 1; i <= 12; ++i) {
    text += fmt::format("\"[*:1]{}[*:2].[*:3]CO[*:4]|0.25|0.75|<1-3:1:1<2-4:0.5:1<2-2:0.5:1<4-4:0.5:0.5~{}\",{}\n",
                        std::string(static_cast<std::size_t>(i), 'C'), 10 * i, i);
  }
  put("data.csv", text);
  options.smiles = "poly";
  options.targets = {"y"};
  EXPECT_NE(failure().find("add up to 1.5"), std::string::npos) << failure();
  std::string::size_type at = 0;
  while ((at = text.find("<2-2:0.5:1", at)) != std::string::npos) text.erase(at, 10);
  put("data.csv", text);
  const auto d = opened();
  ASSERT_TRUE(d.weighted());
  const MoleculeView v = d.view(0);
  EXPECT_EQ(std::vector<double>(v.atom_weight.begin(), v.atom_weight.end()), (std::vector<double>{0.25, 0.75, 0.75}));
  EXPECT_EQ(std::vector<double>(v.edge_weight.begin(), v.edge_weight.end()), (std::vector<double>{1, 1, 1, 1, 0.5, 1, 0.5, 0.5}));
  EXPECT_EQ(v.src[6], v.dst[6]);
  EXPECT_DOUBLE_EQ(v.degree_of_polymerisation, 2.0);
  EXPECT_DOUBLE_EQ(d.view(9).degree_of_polymerisation, 3.0);
  options.notation = "smiles";
  EXPECT_NE(failure(), "opened");
}

TEST_F(Molecules, PartsFromFiles) {
  put("val.csv", alkanes(7));
  options.paths.clear();
  options.train = {(folder / "data.csv").string()};
  options.validation = {(folder / "val.csv").string()};
  options.targets.clear();
  const auto d = opened();
  EXPECT_EQ(d.num_samples(), 47);
  EXPECT_EQ(d.target_names(), (std::vector<std::string>{"a", "b", "kind"}));
  EXPECT_EQ(d.splits().validation, (std::vector<std::int64_t>{40, 41, 42, 43, 44, 45, 46}));
  EXPECT_EQ(d.splits().test.size(), 4U);
  EXPECT_EQ(d.splits().train.size(), 36U);
  EXPECT_EQ(d.id(42), "*CCC");
  EXPECT_EQ(d.view(42).atom_type.size(), 4U);
}

TEST_F(Molecules, PredictionTakesColumnsFromTheState) {
  options.targets = {"b", "a"};
  options.descriptors = {"kind"};
  const auto trained = opened();
  const auto state = trained.state();
  put("new.csv", "smiles,kind,a\nCCO,1,5\nC(,2,3\nCC,,\n");
  options.paths = {(folder / "new.csv").string()};
  options.smiles = "smiles";
  MoleculeDataset d(options);
  d.open(Comm::self(), DataUse::prediction);
  ASSERT_EQ(d.num_samples(), 2);
  EXPECT_EQ(d.records()[1].sample, -1);
  d.set_state(state);
  EXPECT_EQ(d.target_names(), (std::vector<std::string>{"b", "a"}));
  EXPECT_TRUE(std::isnan(d.labels(0)[0]));
  EXPECT_EQ(d.labels(0)[1], 5.0);
  EXPECT_TRUE(std::isnan(d.labels(1)[1]));
  EXPECT_EQ(d.scaler().mean, trained.scaler().mean);
  ASSERT_EQ(d.num_descriptors(), 1);
  EXPECT_EQ(d.view(0).descriptors[0], trained.view(0).descriptors[0]);  // kind 1 both
  EXPECT_TRUE(std::isfinite(d.view(1).descriptors[0]));                 // missing: the median

  options.targets.clear();  // found in the file, then replaced by the model's
  options.descriptors.clear();
  options.ignore = {"kind"};
  MoleculeDataset lacking(options);
  lacking.open(Comm::self(), DataUse::prediction);
  EXPECT_THROW(lacking.set_state(state), Error);
  auto without = state;
  without.numbers.erase("label_mean");
  EXPECT_THROW(d.set_state(without), Error);
}

TEST_F(Molecules, TheStateBelongsToItsData) {
  auto d = opened();
  const auto state = d.state();
  d.set_state(state);
  put("data.csv", alkanes(39));
  auto changed = opened();
  EXPECT_THROW(changed.set_state(state), Error);
}

TEST(MoleculesWithoutRdkit, OneClearError) {
  if (!rdkit_version().empty()) GTEST_SKIP() << "built with RDKit";
  const test::TemporaryFolder folder;
  std::ofstream(folder / "data.csv") << alkanes(3);
  DataOptions options;
  options.paths = {(folder / "data.csv").string()};
  options.smiles = "repeat unit";
  options.cache_dir = (folder / "cache").string();
  try {
    MoleculeDataset(options).open(Comm::self(), DataUse::training);
    ADD_FAILURE() << "opened";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("GNN_HPC_RDKIT"), std::string::npos) << error.what();
  }
}

TEST(DescriptorScaler, DropsImputesAndStandardises) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  // a; constant; 2a + 1; never there; independent with a gap; outside the training samples only
  const std::vector<double> values{1,   7, 3, nan, 4,   0,  //
                                   2,   7, 5, nan, nan, 0,  //
                                   3,   7, 7, nan, 0,   0,  //
                                   4,   7, 9, nan, 1,   0,  //
                                   100, 8, 1, 5,   nan, 9};
  const std::vector<std::int64_t> train{0, 1, 2, 3};
  const auto scaler = DescriptorScaler::fit(values, 6, train);
  EXPECT_EQ(scaler.kept, (std::vector<double>{0, 4}));
  EXPECT_EQ(scaler.median, (std::vector<double>{2.5, 1.0}));
  EXPECT_DOUBLE_EQ(scaler.mean[1], 1.5);
  EXPECT_DOUBLE_EQ(scaler.std[0], std::sqrt(1.25));
  std::vector<double> out(2);
  scaler.apply(std::span(values).subspan(24, 6), out);
  EXPECT_DOUBLE_EQ(out[0], 97.5 / std::sqrt(1.25));
  EXPECT_DOUBLE_EQ(out[1], (1.0 - 1.5) / scaler.std[1]);
  DataState state;
  scaler.save(state);
  const auto again = DescriptorScaler::load(state, 6);
  EXPECT_EQ(again.kept, scaler.kept);
  EXPECT_EQ(again.std, scaler.std);
  EXPECT_THROW(DescriptorScaler::load(state, 4), Error);
  state.numbers.erase("descriptor_std");
  EXPECT_THROW(DescriptorScaler::load(state, 6), Error);
  EXPECT_EQ(DescriptorScaler::load({}, 0).width(), 0);
}

}  // namespace
}  // namespace gnn_hpc::dmpnn
