// SPDX-License-Identifier: Apache-2.0
// Labels of classes are names; columns that nobody named.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <cmath>
#include <fstream>

#include "base/error.hpp"
#include "dataset/label_names.hpp"
#include "io/smiles.hpp"
#include "models/dmpnn_diffpool/dataset.hpp"
#include "models/dmpnn_diffpool/table_columns.hpp"
#include "support/paths.hpp"

namespace gnn_hpc::dmpnn {
namespace {

using Names = std::vector<std::string>;

TEST(LabelNames, WholeNumbersHaveOneSpellingAndOtherNumbersAreNoLabels) {
  for (const char* text : {"1", "1.0", "+1", " 1 ", "1e0"}) EXPECT_EQ(label_name(text), "1") << text;
  EXPECT_EQ(label_name("-1"), "-1");
  EXPECT_EQ(label_name("low, very"), "low, very");
  for (const char* text : {"0.5", "inf", "1e300"}) EXPECT_EQ(label_name(text), std::nullopt) << text;
}

TEST(LabelNames, AreSortedByValueThenByLetter) {
  Names names{"red", "10", "9", "-1", "blue", "9"};
  sort_names(names);
  EXPECT_EQ(names, (Names{"-1", "9", "10", "blue", "red"}));
  EXPECT_EQ(place_of(names, "10"), 2U);
  EXPECT_EQ(place_of(names, "green"), std::nullopt);
}

TEST(LabelNames, AGivenNumberOfClassesMustFit) {
  EXPECT_EQ(class_table("y", {"1", "2", "3"}, 0), (Names{"1", "2", "3"}));
  EXPECT_EQ(class_table("y", {"1", "2", "3"}, 3), (Names{"1", "2", "3"}));
  EXPECT_EQ(class_table("y", {"1", "2"}, 4), (Names{"0", "1", "2", "3"}));  // numbers of classes, two of which never occur
  EXPECT_THROW(class_table("y", {"a", "b"}, 3), Error);
}

TEST(ColumnTally, AColumnThatNumbersItsRowsLooksLikeAnId) {
  const auto looks = [](const std::string& name, const std::vector<const char*>& values) {
    ColumnTally tally;
    for (const char* value : values) tally.add(value);
    return tally.looks_like_an_id(name);
  };
  EXPECT_TRUE(looks("a", {"1000", "1001", "1002"}));
  EXPECT_TRUE(looks("a", {"9", "7", "2"}));
  EXPECT_TRUE(looks("CompoundID", {"7", "9", "2"}));
  EXPECT_TRUE(looks("mol_id", {"7", "9", "", "2"}));
  EXPECT_FALSE(looks("acid", {"7", "9", "2"})) << "the word is not in the name";
  EXPECT_FALSE(looks("id", {"7", "7", "2"})) << "two rows share a number";
  EXPECT_FALSE(looks("id", {"7.5", "8.5", "9.5"}));
  EXPECT_FALSE(looks("a", {"1", "2"})) << "too few to say";
}

class Labels : public testing::Test {
 protected:
  void SetUp() override {
    if (rdkit_version().empty()) GTEST_SKIP() << "built without RDKit";
    options.paths = {(folder / "data.csv").string()};
    options.cache_dir = (folder / "cache").string();
    options.task = "multiclass";
    options.targets = {"colour", "size"};
    std::string text = "smiles,colour,size\n";
    const Names colours{"red", "deep, blue", "no/colour"};
    for (int i = 1; i <= 30; ++i) {
      text += fmt::format("{},\"{}\",{}\n", std::string(static_cast<std::size_t>(i), 'C'), colours[static_cast<std::size_t>(i) % 3], 1 + i % 2);
    }
    put("data.csv", text);
  }
  void put(const std::string& name, const std::string& text) const { std::ofstream(folder / name, std::ios::binary) << text; }

  test::TemporaryFolder folder;
  DataOptions options;
};

TEST_F(Labels, AreNamesAndEveryTargetHasItsOwn) {
  MoleculeDataset d(options);
  d.open(Comm::self(), DataUse::training);
  EXPECT_EQ(d.class_names(), (std::vector<Names>{{"deep, blue", "no/colour", "red"}, {"1", "2"}}));
  EXPECT_EQ(d.num_classes(), 3);
  EXPECT_EQ(d.labels(0)[0], 0.0);  // C: deep, blue
  EXPECT_EQ(d.labels(0)[1], 1.0);  // 2
  EXPECT_EQ(d.labels(2)[0], 2.0);  // CCC: red
}

TEST_F(Labels, OfFilesOfTheirOwnHaveOneTable) {
  put("va.csv", "smiles,colour,size\nCCO,amber,7\nCO,red,1\n");
  options.train = options.paths;
  options.validation = {(folder / "va.csv").string()};
  MoleculeDataset d(options);
  d.open(Comm::self(), DataUse::training);
  EXPECT_EQ(d.class_names(), (std::vector<Names>{{"amber", "deep, blue", "no/colour", "red"}, {"1", "2", "7"}}));
  EXPECT_EQ(d.labels(0)[0], 1.0);
  EXPECT_EQ(d.labels(30)[0], 0.0);
  EXPECT_EQ(d.labels(30)[1], 2.0);
}

TEST_F(Labels, OfRowsThatCannotBeUsedMakeNoClass) {
  std::ofstream(folder / "data.csv", std::ios::app) << "C(C)(C)(C)(C)C,odd,1\n";
  options.max_bad_fraction = 0.5;
  MoleculeDataset d(options);
  d.open(Comm::self(), DataUse::training);
  EXPECT_EQ(d.class_names()[0].size(), 3U);
}

TEST_F(Labels, ThatAreNumbersButNotWholeAreRefusedWithTheirRow) {
  std::ofstream(folder / "data.csv", std::ios::app) << "CO,red,0.5\n";
  MoleculeDataset d(options);
  try {
    d.open(Comm::self(), DataUse::training);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::data);
    EXPECT_NE(std::string(error.what()).find("row 31, column size: no label of a class: '0.5'"), std::string::npos) << error.what();
  }
}

TEST_F(Labels, OfAPredictionAreThoseOfTheModel) {
  MoleculeDataset trained(options);
  trained.open(Comm::self(), DataUse::training);
  const auto state = trained.state();
  put("new.csv", "size,smiles,colour\n2,CO,red\n1,CN,purple\n,CCN,\"deep, blue\"\n");
  options.paths = {(folder / "new.csv").string()};
  MoleculeDataset d(options);
  d.open(Comm::self(), DataUse::prediction);
  d.set_state(state);
  EXPECT_EQ(d.class_names(), trained.class_names());
  EXPECT_EQ(d.labels(0)[0], 2.0);
  EXPECT_EQ(d.labels(0)[1], 1.0);
  EXPECT_TRUE(std::isnan(d.labels(1)[0]));
  EXPECT_EQ(d.labels(1)[1], 0.0);
  EXPECT_EQ(d.labels(2)[0], 0.0);
  EXPECT_TRUE(std::isnan(d.labels(2)[1]));
  ASSERT_EQ(d.unknown_labels().size(), 1U);
  EXPECT_NE(d.unknown_labels()[0].reason.find("row 2, column colour: the label 'purple' is none of the model's classes"), std::string::npos);
}

TEST_F(Labels, OfARunThatContinuesMustHaveTheSameTable) {
  MoleculeDataset d(options);
  d.open(Comm::self(), DataUse::training);
  auto state = d.state();
  EXPECT_NO_THROW(d.set_state(state));
  options.classes = 0;
  options.targets = {"size", "colour"};
  MoleculeDataset other(options);
  other.open(Comm::self(), DataUse::training);
  EXPECT_THROW(other.set_state(state), Error);
}

}  // namespace
}  // namespace gnn_hpc::dmpnn
