// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/element_features.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "base/error.hpp"
#include "io/csv.hpp"
#include "support/paths.hpp"

namespace gnn_hpc::comformer {
namespace {

TEST(ElementFeatures, EqualThePublishedTable) {
  const auto path = test::shared_path("data/crystals/cgcnn_atom_features.csv");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path << "; set GNN_HPC_SHARED";
  const auto table = atom_feature_table(AtomFeatures::cgcnn);
  CsvReader reader(path.string());
  CsvReader::Row row;
  ASSERT_TRUE(reader.next(row));
  int z = 0;
  while (reader.next(row)) {
    ASSERT_EQ(row.size, 93u);
    ASSERT_EQ(*parse_integer(row.fields[0]), ++z);
    for (int c = 0; c < 92; ++c) ASSERT_EQ(table[z * 92 + c], *parse_number(row.fields[1 + c])) << "Z " << z << " column " << c;
  }
  EXPECT_EQ(z, 100);
}

TEST(ElementFeatures, HeavyElementsUseTheLastRowAndZeroIsEmpty) {
  const auto table = atom_feature_table(AtomFeatures::cgcnn);
  ASSERT_EQ(table.size(), 104u * num_atom_features(AtomFeatures::cgcnn));
  for (int c = 0; c < 92; ++c) {
    EXPECT_EQ(table[c], 0);
    for (int z = 101; z <= 103; ++z) EXPECT_EQ(table[z * 92 + c], table[100 * 92 + c]);
  }
  // 9 quantities, of which at most electronegativity, affinity and volume are unknown.
  for (int z = 1; z <= 103; ++z) {
    const double digits = std::accumulate(table.begin() + z * 92, table.begin() + (z + 1) * 92, 0.0);
    EXPECT_GE(digits, 6) << z;
    EXPECT_LE(digits, 9) << z;
  }
}

TEST(ElementFeatures, AtomicNumberIsOneColumn) {
  const auto table = atom_feature_table(AtomFeatures::atomic_number);
  ASSERT_EQ(table.size(), 104u);
  for (int z = 0; z < 104; ++z) EXPECT_EQ(table[z], z);
}

TEST(ElementFeatures, NamesAreChecked) {
  EXPECT_EQ(parse_atom_features("cgcnn"), AtomFeatures::cgcnn);
  EXPECT_EQ(parse_atom_features("atomic_number"), AtomFeatures::atomic_number);
  EXPECT_THROW(parse_atom_features("matscholar"), Error);
}

}  // namespace
}  // namespace gnn_hpc::comformer
