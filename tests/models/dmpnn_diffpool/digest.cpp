// SPDX-License-Identifier: Apache-2.0
// Which inputs count as the same when a split is searched for repetitions.
#include "models/dmpnn_diffpool/dataset.hpp"

#include "io/smiles.hpp"
#include "support/paths.hpp"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <fstream>
#include <set>

namespace gnn_hpc {
namespace {

/// Digests of these molecules as one data set.
std::vector<std::uint64_t> digests_of(const std::vector<std::string>& texts) {
  const test::TemporaryFolder folder;
  std::ofstream file(folder / "data.csv");
  file << "smiles,y\n";
  for (std::size_t i = 0; i < texts.size(); ++i) file << texts[i] << "," << i << "\n";
  file.close();
  dmpnn::DataOptions options;
  options.paths = {(folder / "data.csv").string()};
  options.targets = {"y"};
  options.split = "holdout";
  options.cache_dir = (folder / "cache").string();
  dmpnn::MoleculeDataset dataset(options);
  dataset.open(Comm::self(), DataUse::training);
  EXPECT_EQ(dataset.num_samples(), static_cast<std::int64_t>(texts.size()));
  return dataset.input_digests();
}

TEST(MoleculeDigests, DoNotDependOnHowTheMoleculeIsWritten) {
  if (rdkit_version().empty()) GTEST_SKIP() << "built without RDKit";
  const std::vector<std::string> same{"OCC",        "CCO",           "C(O)C",           "[CH3][CH2][OH]",   "Cc1ccccc1O",
                                      "Oc1ccccc1C", "OC1=CC=CC=C1C", "C[C@H](N)C(=O)O", "N[C@@H](C)C(=O)O", "OC(=O)[C@@H](N)C",
                                      "*CC(*)C",    "*C(C)C*"};
  const auto d = digests_of(same);
  const auto equal = [&](std::initializer_list<std::size_t> group) {
    for (const std::size_t i : group) EXPECT_EQ(d[i], d[*group.begin()]) << same[i];
  };
  equal({0, 1, 2, 3});
  equal({4, 5, 6});
  equal({7, 8, 9});
  equal({10, 11});
}

TEST(MoleculeDigests, DifferWhereTheMoleculesDo) {
  if (rdkit_version().empty()) GTEST_SKIP() << "built without RDKit";
  const std::vector<std::string> different{"C",
                                           "CC",
                                           "CCC",
                                           "CCO",
                                           "COC",
                                           "CCN",
                                           "CC=C",
                                           "C1CC1",
                                           "[Na+]",
                                           "[13CH4]",
                                           "CCBr",
                                           "CCI",
                                           "C/C=C/C",
                                           "C/C=C\\C",
                                           "Cc1ccccc1O",
                                           "Cc1cccc(O)c1",
                                           "Cc1ccc(O)cc1",
                                           "C1CCCCC1",
                                           "C1CCCCCC1",
                                           "CCCC(C)CCC",
                                           "CCC(C)CCCC",
                                           "CC(C)CCCCC",
                                           "C1CCC2CCCCC2C1",
                                           "C1CCC(C1)C1CCCC1",
                                           "CCCCCCCCCCCCCCCCO",
                                           "CCCCCCCCCCCCCCCCCO",
                                           "C.C",
                                           "CC.CC"};
  const auto d = digests_of(different);
  EXPECT_EQ(std::set<std::uint64_t>(d.begin(), d.end()).size(), different.size());
}

TEST(MoleculeDigests, PolymersOfOtherWeightsAreOthers) {
  if (rdkit_version().empty()) GTEST_SKIP() << "built without RDKit";
  const auto polymer = [](double w, int n) {
    return fmt::format("\"[*:1]CC[*:2].[*:3]CO[*:4]|{}|{}|<1-3:0.5:0.5<1-4:0.5:0.5<2-3:0.5:0.5<2-4:0.5:0.5~{}\"", w, 1.0 - w, n);
  };
  const auto d = digests_of({polymer(0.25, 10), polymer(0.25, 10), polymer(0.5, 10), polymer(0.25, 100), polymer(0.75, 10)});
  EXPECT_EQ(d[0], d[1]);
  EXPECT_EQ(std::set<std::uint64_t>(d.begin(), d.end()).size(), 4U);
}

}  // namespace
}  // namespace gnn_hpc
