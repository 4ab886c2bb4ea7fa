// SPDX-License-Identifier: Apache-2.0
// Tables and folders of proteins as data sets: which rows are used, what is said of the others, batches.
#include "dataset/protein_dataset.hpp"

#include "base/error.hpp"
#include "graph/residue_graph.hpp"
#include "io/protein.hpp"
#include "models/gvp/files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

namespace gnn_hpc::gvp {
namespace {

class ProteinDatasetTest : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path(name)) << text; }
  ProteinDataOptions table(const std::string& text, double bad = 1.0) const {
    write("table.csv", text);
    ProteinDataOptions o = data_options(folder_.path().string(), 0, false);
    o.paths = {path("table.csv")};
    o.max_bad_fraction = bad;
    return o;
  }
  static std::string failure(ProteinDataset& dataset, DataUse use = DataUse::training) {
    try {
      dataset.open(Comm::self(), use);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::data) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "opened";
    return {};
  }
  test::TemporaryFolder folder_;
};

TEST_F(ProteinDatasetTest, ABatchHoldsTheGraphsOfItsChains) {
  ProteinDataset dataset(data_options(folder_.path().string(), 20, true));
  ASSERT_TRUE(dataset.open(Comm::self(), DataUse::training));
  ASSERT_EQ(dataset.num_samples(), 20);
  EXPECT_EQ(dataset.class_names()[0], (std::vector<std::string>{"helix", "strand"}));
  ResidueBatch batch;
  const std::vector<std::int64_t> samples{7, 2};
  dataset.collate(samples, batch);
  EXPECT_EQ(batch.num_graphs, 2);
  int node = 0, edge = 0;
  for (const std::int64_t s : samples) {
    const Protein protein = read_protein(path(fmt::format("pair{}.pdb", s / 2)));
    const ProteinChain& chain = protein.chain(s % 2 == 0 ? "A" : "B");
    const ResidueGraph g = build_residue_graph(chain.coords, 4);
    EXPECT_EQ(dataset.id(s), fmt::format("pair{}.pdb:{}", s / 2, "AB"[s % 2]));
    for (int e = 0; e < g.num_edges(); ++e) EXPECT_EQ(batch.src[static_cast<std::size_t>(edge + e)], node + g.src[static_cast<std::size_t>(e)]);
    for (int i = 0; i < g.num_nodes; ++i) {
      const auto at = static_cast<std::size_t>(node + i);
      EXPECT_EQ(batch.code[at], residue_code(chain.sequence[static_cast<std::size_t>(i)]));
      EXPECT_EQ(batch.in_ptr[at + 1] - batch.in_ptr[at], g.in_ptr[static_cast<std::size_t>(i) + 1] - g.in_ptr[static_cast<std::size_t>(i)]);
      for (std::size_t c = 0; c < kResidueScalars; ++c) EXPECT_EQ(batch.node_s[6 * at + c], g.node_s[6 * static_cast<std::size_t>(i) + c]);
      for (std::size_t c = 0; c < 9; ++c) EXPECT_EQ(batch.node_v[9 * at + c], g.node_v[9 * static_cast<std::size_t>(i) + c]);
      for (std::size_t c = 0; c < 3 && g.complete[static_cast<std::size_t>(i)]; ++c) {
        const double step = batch.position[3 * at + c] - batch.position[3 * static_cast<std::size_t>(node) + c];
        EXPECT_NEAR(step, g.position[3 * static_cast<std::size_t>(i) + c] - g.position[c], 1e-12);
      }
    }
    node += g.num_nodes;
    edge += g.num_edges();
  }
  EXPECT_EQ(batch.num_edges, edge);
}

TEST_F(ProteinDatasetTest, EveryRowIsUsedOrNamedWithItsReason) {
  write("good.pdb", chain_text('A', 1, 9, true));
  write("holes.pdb", chain_text('A', 1, 9, true).substr(0, 9 * 2 * 67));
  std::string sparse;  // CA alone: no residue is complete
  for (int r = 0; r < 5; ++r)
    sparse += fmt::format("ATOM  {:5d}  CA  ALA A{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00  0.00\n", r + 1, r + 1, 3.8 * r, 0.0, 0.0);
  write("sparse.pdb", sparse);
  write("broken.pdb", chain_text('A', 2, 3, true) + "ATOM     99  CA  ALA A  99      nowhere   0.000   0.000  1.00  0.00\n");
  ProteinDataOptions o = table(
      "path,chain,label\n"
      "good.pdb,A,x\ngood.pdb,,y\nabsent.pdb,A,x\ngood.pdb,Q,x\nsparse.pdb,A,x\nbroken.pdb,A,x\n,A,x\ngood.pdb,A,\ngood.pdb,A\n");
  o.train_ratio = 0.5;
  o.validation_ratio = 0.25;
  o.test_ratio = 0.25;
  ProteinDataset dataset(o);
  EXPECT_NE(failure(dataset).find("none may be empty"), std::string::npos);  // two rows are too few to split
  const auto skipped = dataset.skipped();
  EXPECT_EQ(dataset.num_samples(), 2);
  ASSERT_EQ(skipped.size(), 7U);
  const std::vector<std::vector<std::string>> expected{{"row 3, column path", "absent.pdb"},
                                                       {"row 4, column path", "Q", "its chains are A"},
                                                       {"row 5, column path", "sparse.pdb"},
                                                       {"row 6, column path", "broken.pdb:13", "nowher"},
                                                       {"row 7, column path", "name a structure file"},
                                                       {"row 8, column label", "no target"},
                                                       {"row 9", "header"}};
  for (std::size_t i = 0; i < skipped.size(); ++i) {
    for (const std::string& part : expected[i]) EXPECT_NE(skipped[i].reason.find(part), std::string::npos) << skipped[i].reason;
  }
}

TEST_F(ProteinDatasetTest, ColumnsAndKindsOfTargetsAreChecked) {
  write("a.pdb", chain_text('A', 1, 9, true));
  {
    ProteinDataset dataset(table("file,chain,label\na.pdb,A,x\n"));
    const std::string text = failure(dataset);
    EXPECT_NE(text.find("path"), std::string::npos) << text;
    EXPECT_NE(text.find("data.path_column"), std::string::npos) << text;
  }
  {
    ProteinDataset dataset(table("path,chain,class\na.pdb,A,x\n"));
    EXPECT_NE(failure(dataset).find("label"), std::string::npos);
  }
  {
    ProteinDataOptions o = table("path,label\na.pdb,many\n", 0.0);  // no column of chains is fine
    o.task = "regression";
    ProteinDataset dataset(o);
    EXPECT_NE(failure(dataset).find("many"), std::string::npos);
  }
}

TEST_F(ProteinDatasetTest, AColumnSaysThePartsAndEqualSequencesAreEqualInputs) {
  write("a.pdb", chain_text('A', 1, 9, true) + chain_text('B', 1, 9, false) + chain_text('C', 2, 9, true));
  ProteinDataOptions o = table("path,chain,label,split\na.pdb,A,x,train\na.pdb,B,y,val\na.pdb,C,x,test\n");
  o.split = "column";
  ProteinDataset dataset(o);
  ASSERT_TRUE(dataset.open(Comm::self(), DataUse::training));
  EXPECT_EQ(dataset.splits().train, (std::vector<std::int64_t>{0}));
  EXPECT_EQ(dataset.splits().validation, (std::vector<std::int64_t>{1}));
  const auto digest = dataset.input_digests();
  EXPECT_EQ(digest[0], digest[1]);
  EXPECT_NE(digest[0], digest[2]);
}

TEST_F(ProteinDatasetTest, FoldersAndStructuresCanBePredictedButNotLearnt) {
  std::filesystem::create_directories(folder_ / "tree/deep");
  write("tree/b.pdb", chain_text('X', 1, 9, true));
  write("tree/deep/a.ent", chain_text('A', 2, 8, false));
  write("tree/notes.txt", "nothing");
  ProteinDataOptions o = data_options(folder_.path().string(), 0, false);
  o.paths = {path("tree")};
  ProteinDataset dataset(o);
  ASSERT_TRUE(dataset.open(Comm::self(), DataUse::prediction));
  ASSERT_EQ(dataset.num_samples(), 2);
  EXPECT_EQ(dataset.id(0), path("tree/b.pdb"));
  EXPECT_TRUE(dataset.input_table().paths.empty());
  ProteinDataset learning(o);
  EXPECT_NE(failure(learning).find("structures without labels"), std::string::npos);
  std::filesystem::create_directories(folder_ / "empty");
  o.paths = {path("empty")};
  ProteinDataset nothing(o);
  EXPECT_NE(failure(nothing, DataUse::prediction).find("no structure file"), std::string::npos);
}

TEST_F(ProteinDatasetTest, AChangedStructureIsNoticed) {
  const ProteinDataOptions o = data_options(folder_.path().string(), 20, true);
  {
    ProteinDataset dataset(o);
    dataset.open(Comm::self(), DataUse::training);
  }
  ProteinDataset again(o);
  EXPECT_TRUE(again.open(Comm::self(), DataUse::training_if_built));
  write("pair3.pdb", chain_text('A', 3, 12, true) + chain_text('B', 4, 12, true));
  ProteinDataset changed(o);
  EXPECT_FALSE(changed.open(Comm::self(), DataUse::training_if_built));
}

}  // namespace
}  // namespace gnn_hpc::gvp
