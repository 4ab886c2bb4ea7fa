// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5.hpp"

#include "io/checksum.hpp"
#include "io/seal.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <sstream>

namespace gnn_hpc {
namespace {

namespace fs = std::filesystem;

class Hdf5 : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("gnn_hpc_hdf5." + std::to_string(::getpid()));
    fs::create_directories(folder_);
    path_ = (folder_ / "file.h5").string();
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::string bytes_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  static void put(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

  void write_example() const {
    Hdf5Writer out(path_);
    out.write<double>("/params/layer.weight", std::vector<double>{1, 2, 3, 4, 5, 6});
    std::vector<float> matrix(1000 * 3);
    for (std::size_t i = 0; i < matrix.size(); ++i) matrix[i] = static_cast<float>(i) * 0.5F;
    out.write<float>("/matrix", std::span<const float>(matrix), {1000, 3});
    out.write<std::int32_t>("/squeezed", std::vector<std::int32_t>(5000, 7), Layout{.compress = true});
    out.write_scalar<std::int64_t>("/step", 42);
    out.write_text("/Info/yaml", "task: comformer\n");
    out.write_texts("/ids", {"a", "", "structure number three"});
    out.attribute("/params", "format", std::string("1"));
    out.attribute("/params", "rate", 0.5);
    out.commit();
  }

  fs::path folder_;
  std::string path_;
};

TEST_F(Hdf5, RoundTrip) {
  write_example();
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1) << "temporary files remain";
  const Hdf5Reader in(path_, SealCheck::required);
  EXPECT_EQ(in.read<double>("/params/layer.weight"), (std::vector<double>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(in.read<float>("/params/layer.weight")[2], 3.0F);
  EXPECT_EQ(in.shape("/matrix"), (Shape{1000, 3}));
  EXPECT_EQ(in.dtype("/matrix"), DType::f32);
  std::vector<double> rows(6);
  in.read_rows<double>("/matrix", 500, rows);
  EXPECT_EQ(rows, (std::vector<double>{750, 750.5, 751, 751.5, 752, 752.5}));
  EXPECT_EQ(in.read<std::int32_t>("/squeezed"), std::vector<std::int32_t>(5000, 7));
  EXPECT_EQ(in.read_scalar<std::int64_t>("/step"), 42);
  EXPECT_EQ(in.read_text("/Info/yaml"), "task: comformer\n");
  EXPECT_EQ(in.read_texts("/ids"), (std::vector<std::string>{"a", "", "structure number three"}));
  EXPECT_EQ(in.attribute_text("/params", "format"), "1");
  EXPECT_EQ(in.attribute_number("/params", "rate"), 0.5);
  EXPECT_TRUE(in.exists("/params/layer.weight"));
  EXPECT_FALSE(in.exists("/none/layer.weight"));
  EXPECT_TRUE(in.is_group("/params"));
  EXPECT_EQ(in.list("/params"), std::vector<std::string>{"layer.weight"});
  const auto all = in.datasets();
  EXPECT_NE(std::find(all.begin(), all.end(), "/params/layer.weight"), all.end());
}

TEST_F(Hdf5, SlabsAndAppends) {
  {
    Hdf5Writer out(path_);
    out.create("/slab", DType::i16, {4, 3});
    out.write_rows<std::int16_t>("/slab", 2, std::vector<std::int16_t>{7, 8, 9, 10, 11, 12});
    out.write_rows<std::int16_t>("/slab", 0, std::vector<std::int16_t>{1, 2, 3, 4, 5, 6});
    out.create_extendable("/grown", DType::f64, 2, {.compress = true});
    for (int i = 0; i < 10; ++i) out.append<double>("/grown", std::vector<double>{double(i), -double(i)});
    out.create("/empty", DType::u8, {0, 3});
    out.commit();
  }
  const Hdf5Reader in(path_, SealCheck::required);
  EXPECT_EQ(in.read<int>("/slab"), (std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
  EXPECT_EQ(in.shape("/grown"), (Shape{10, 2}));
  EXPECT_EQ(in.read<double>("/grown")[19], -9.0);
  EXPECT_TRUE(in.read<std::uint8_t>("/empty").empty());
}

TEST_F(Hdf5, WithoutCommitTheOldFileStays) {
  write_example();
  const std::string before = bytes_of(path_);
  {
    Hdf5Writer out(path_);
    out.write<double>("/params/other", std::vector<double>{1});
  }
  EXPECT_EQ(bytes_of(path_), before);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

TEST_F(Hdf5, ErrorsNameFileAndDataset) {
  write_example();
  const Hdf5Reader in(path_);
  try {
    in.read<double>("/params/missing");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::data);
    EXPECT_NE(std::string(error.what()).find(path_), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("/params/missing"), std::string::npos);
  }
  EXPECT_THROW(Hdf5Reader(path_ + ".none"), Error);
  std::vector<double> wrong(5);
  EXPECT_THROW(in.read<double>("/params/layer.weight", wrong), Error);
  EXPECT_THROW(in.read_rows<double>("/matrix", 999, wrong), Error);
  EXPECT_THROW(in.read_text("/matrix"), Error);
  EXPECT_THROW(in.read<double>("/ids"), Error);
  EXPECT_THROW(Hdf5Writer("/no/such/folder/x.h5"), Error);
}

TEST_F(Hdf5, EveryTruncationIsDetected) {
  write_example();
  const std::string whole = bytes_of(path_);
  std::mt19937_64 random(5);
  for (int i = 0; i < 100; ++i) {
    put(path_, whole.substr(0, random() % whole.size()));
    EXPECT_THROW(Hdf5Reader(path_, SealCheck::required), Error);
  }
}

TEST_F(Hdf5, EveryFlippedBitIsDetected) {
  write_example();
  const std::string whole = bytes_of(path_);
  std::mt19937_64 random(6);
  for (int i = 0; i < 1000; ++i) {
    std::string broken = whole;
    const std::size_t bit = random() % (8 * whole.size());
    broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << (bit % 8)));
    put(path_, broken);
    EXPECT_THROW(Hdf5Reader(path_, SealCheck::required), Error) << "bit " << bit;
  }
}

TEST_F(Hdf5, DamageNamesTheDataset) {
  write_example();
  const RawExtent extent = Hdf5Reader(path_).extent("/matrix");
  ASSERT_GT(extent.offset, 0);
  EXPECT_EQ(extent.bytes, 12000);
  std::string broken = bytes_of(path_);
  broken[static_cast<std::size_t>(extent.offset) + 77] ^= 4;
  put(path_, broken);
  try {
    Hdf5Reader in(path_, SealCheck::if_sealed);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("/matrix"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(path_), std::string::npos);
  }
}

TEST_F(Hdf5, ChecksumsAreInTheFile) {
  write_example();
  const Hdf5Reader in(path_);
  const auto names = in.read_texts("/Info/checksums/dataset"), sums = in.read_texts("/Info/checksums/xxh3_128");
  ASSERT_EQ(names.size(), sums.size());
  bool found = false;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] != "/params/layer.weight") continue;
    const auto values = in.read<double>(names[i]);
    EXPECT_EQ(sums[i], xxh3_128_hex(values.data(), values.size() * sizeof(double)));
    found = true;
  }
  EXPECT_TRUE(found);
}

TEST_F(Hdf5, WhatEndsTheSealingLeavesTheOldFile) {
  write_example();
  const std::string before = bytes_of(path_);
  {
    Hdf5Writer out(path_);
    out.write<double>("/big", std::vector<double>(1 << 20, 1.0));  // 8 MiB
    int calls = 0;
    out.while_sealing([&] {
      if (++calls == 5) throw Error(Exit::stopped, "stop");
    });
    EXPECT_THROW(out.commit(), Error);
    EXPECT_EQ(calls, 5) << "asked for every MiB";
  }
  EXPECT_EQ(bytes_of(path_), before);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1) << "temporary files remain";
}

/// A file of a few kB with a dataset of this shape, whose elements it does not hold.
void write_claim(const std::string& path, const std::vector<hsize_t>& shape, hid_t type, bool chunked, bool deflate) {
  const Hdf5Lock lock;
  const H5File file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), path);
  const H5Space space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), path);
  const H5Properties creation(H5Pcreate(H5P_DATASET_CREATE), path);
  std::vector<hsize_t> chunk(shape.size(), 1);
  chunk[0] = std::min<hsize_t>(1024, shape[0]);
  if (chunked) H5Pset_chunk(creation.get(), static_cast<int>(chunk.size()), chunk.data());
  if (deflate) H5Pset_deflate(creation.get(), 9);
  const H5Dataset d(H5Dcreate2(file.get(), "x", type, space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT), path);
  if (!chunked) return;
  const hsize_t one = 1;  // one chunk is there
  const std::vector<hsize_t> start(shape.size(), 0), count(shape.size(), 1);
  const H5Space memory(H5Screate_simple(1, &one, nullptr), path);
  H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr);
  const std::vector<char> value(H5Tget_size(type), 0);
  ASSERT_GE(H5Dwrite(d.get(), type, memory.get(), space.get(), H5P_DEFAULT, value.data()), 0);
}

TEST_F(Hdf5, AClaimThatTheFileCannotHoldIsRefusedBeforeAnythingIsAllocated) {
  const hsize_t much = hsize_t{1} << 40;
  const H5Type text(H5Tcopy(H5T_C_S1), path_);
  H5Tset_size(text.get(), 64);
  struct Claim {
    std::vector<hsize_t> shape;
    hid_t type;
    bool chunked, deflate;
  };
  const std::vector<Claim> claims{
      {{much}, H5T_NATIVE_DOUBLE, false, false},       {{much}, H5T_NATIVE_INT8, true, true}, {{much, 128}, H5T_NATIVE_INT32, true, false},
      {{much, much}, H5T_NATIVE_DOUBLE, false, false}, {{much}, text.get(), true, true},      {{1 << 26, 1}, H5T_NATIVE_INT8, true, true}};
  for (const Claim& claim : claims) {
    write_claim(path_, claim.shape, claim.type, claim.chunked, claim.deflate);
    ASSERT_LT(fs::file_size(path_), 100000U);
    const Hdf5Reader in(path_);
    std::int64_t row[128];
    for (const auto& touch : std::vector<std::function<void()>>{[&] { in.shape("/x"); }, [&] { in.read<double>("/x"); }, [&] { in.read_texts("/x"); },
                                                                [&] { in.read_rows<std::int64_t>("/x", 0, row); }}) {
      try {
        touch();
        ADD_FAILURE() << "read";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), Exit::data);
        EXPECT_NE(std::string(error.what()).find(path_ + ": /x: claims shape ["), std::string::npos) << error.what();
      }
    }
  }
}

TEST_F(Hdf5, WhatCompressesWellAndWhatWasNeverWrittenIsRead) {
  {
    Hdf5Writer out(path_);
    out.write<std::int64_t>("/zeros", std::vector<std::int64_t>(std::size_t{4} << 20, 0), Layout{.compress = true});  // 32 MiB
    out.commit();
  }
  EXPECT_LT(fs::file_size(path_), 1000000U);
  EXPECT_EQ(Hdf5Reader(path_).read<std::int64_t>("/zeros"), std::vector<std::int64_t>(std::size_t{4} << 20, 0));
  write_claim(path_, {1000, 1000}, H5T_NATIVE_DOUBLE, false, false);
  EXPECT_EQ(Hdf5Reader(path_).read<double>("/x"), std::vector<double>(1000000, 0.0));
}

TEST_F(Hdf5, FullDiskIsAnErrorAndLeavesTheOldFile) {
  if (::access("/dev/full", W_OK) != 0 || ::geteuid() != 0) GTEST_SKIP() << "needs root for a small tmpfs";
  const fs::path mount = folder_ / "small";
  fs::create_directories(mount);
  if (std::system(("mount -t tmpfs -o size=256k tmpfs " + mount.string() + " 2>/dev/null").c_str()) != 0) GTEST_SKIP() << "cannot mount a tmpfs here";
  const std::string target = (mount / "file.h5").string();
  {
    Hdf5Writer out(target);
    out.write_scalar<std::int64_t>("/step", 1);
    out.commit();
  }
  EXPECT_THROW(
      {
        Hdf5Writer out(target);
        out.write<double>("/big", std::vector<double>(1 << 20, 1.0));
        out.commit();
      },
      Error);
  EXPECT_EQ(Hdf5Reader(target, SealCheck::required).read_scalar<std::int64_t>("/step"), 1);
  EXPECT_EQ(std::distance(fs::directory_iterator(mount), fs::directory_iterator()), 1);
  if (std::system(("umount " + mount.string()).c_str()) != 0) ADD_FAILURE() << "umount failed";
}

TEST(Digest, SeparatesFields) {
  Digest a, b;
  a.text("ab");
  a.text("c");
  b.text("a");
  b.text("bc");
  EXPECT_NE(a.hex(), b.hex());
  EXPECT_EQ(a.hex().size(), 32U);
}

}  // namespace
}  // namespace gnn_hpc
