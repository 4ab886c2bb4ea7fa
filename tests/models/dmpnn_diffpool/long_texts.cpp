// SPDX-License-Identifier: Apache-2.0
// Memory and files follow the bytes of the input, not its rows times its longest text. Bytes are counted, not seconds.
#include "base/text.hpp"
#include "io/hdf5.hpp"
#include "io/smiles.hpp"
#include "models/dmpnn_diffpool/dataset.hpp"
#include "support/counted_memory.hpp"
#include "support/paths.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace gnn_hpc {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kRows = 3000, kLong = 300000;  // as a table of fixed width: 900 MB
constexpr std::size_t kBound = std::size_t{32} << 20;

std::vector<std::string> one_long_among_many() {
  std::vector<std::string> texts(kRows, "short");
  texts[kRows / 2] = std::string(kLong, 'x');
  return texts;
}

TEST(LongTexts, AColumnOfTextsTakesTheirBytesInMemoryAndInTheFile) {
  const test::TemporaryFolder folder;
  const std::string path = (folder.path() / "texts.h5").string();
  const std::vector<std::string> texts = one_long_among_many();
  EXPECT_LT(test::peak_bytes([&] {
              Hdf5Writer out(path);
              out.write_texts("/ids", texts);
              out.commit();
            }),
            kBound);
  EXPECT_LT(fs::file_size(path), kBound);
  std::vector<std::string> back;
  EXPECT_LT(test::peak_bytes([&] { back = Hdf5Reader(path, SealCheck::required).read_texts("/ids"); }), kBound);
  EXPECT_EQ(back, texts);
}

/// Files of earlier versions and of other programs pad every text to the longest.
TEST(LongTexts, AColumnOfFixedWidthIsReadInPieces) {
  const test::TemporaryFolder folder;
  const std::string path = (folder.path() / "fixed.h5").string();
  {
    const Hdf5Lock lock;
    const H5File file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), path);
    const H5Type type(H5Tcopy(H5T_C_S1), path);
    H5Tset_size(type.get(), kLong);
    const hsize_t rows = kRows, chunk = 1;
    const H5Space space(H5Screate_simple(1, &rows, nullptr), path);
    const H5Properties creation(H5Pcreate(H5P_DATASET_CREATE), path);
    H5Pset_chunk(creation.get(), 1, &chunk);
    H5Pset_deflate(creation.get(), 1);
    const H5Dataset d(H5Dcreate2(file.get(), "ids", type.get(), space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT), path);
    std::vector<char> text(kLong, '\0');
    const H5Space memory(H5Screate_simple(1, &chunk, nullptr), path);
    for (hsize_t r = 0; r < rows; ++r) {
      text[0] = static_cast<char>('a' + r % 26);
      H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, &r, nullptr, &chunk, nullptr);
      ASSERT_GE(H5Dwrite(d.get(), type.get(), memory.get(), space.get(), H5P_DEFAULT, text.data()), 0);
    }
  }
  std::vector<std::string> back;
  EXPECT_LT(test::peak_bytes([&] { back = Hdf5Reader(path).read_texts("/ids"); }), kBound);
  ASSERT_EQ(back.size(), kRows);
  for (std::size_t r = 0; r < kRows; ++r) ASSERT_EQ(back[r], std::string(1, static_cast<char>('a' + r % 26)));
}

/// One id of 300 kB (as behind a quote that is closed much later) among 3,000 molecules, and a bad record of that size.
TEST(LongTexts, ATableOfMoleculesIsCachedInTheBytesOfItsRows) {
  if (rdkit_version().empty()) GTEST_SKIP() << "without RDKit";
  const test::TemporaryFolder folder;
  const std::string csv = (folder.path() / "data.csv").string(), huge(kLong, 'x');
  {
    std::ofstream out(csv);
    out << "name,smiles,y\n";
    for (std::size_t r = 0; r < kRows; ++r) {
      const bool bad = r == 10;
      out << (r == kRows / 2 ? huge : "m" + std::to_string(r)) << "," << (bad ? huge : std::string("CC")) << "," << r << "\n";
    }
  }
  dmpnn::DataOptions options;
  options.paths = {csv};
  options.id_column = "name";
  options.targets = {"y"};
  options.cache_dir = (folder.path() / "cache").string();
  options.threads = 2;
  options.max_bad_fraction = 0.01;
  dmpnn::MoleculeDataset data(options);
  EXPECT_LT(test::peak_bytes([&] { data.open(Comm::self(), DataUse::training, ""); }), 2 * kBound);
  std::size_t stored = 0;
  for (const auto& entry : fs::directory_iterator(options.cache_dir)) stored += entry.file_size();
  EXPECT_LT(stored, kBound);
  EXPECT_EQ(data.num_samples(), static_cast<std::int64_t>(kRows) - 1);
  EXPECT_EQ(data.id(kRows / 2 - 1), huge) << "results keep the whole name";
}

}  // namespace
}  // namespace gnn_hpc
