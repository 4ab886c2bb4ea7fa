// SPDX-License-Identifier: Apache-2.0
#include "verify/golden_file.hpp"

#include "base/error.hpp"
#include "io/hdf5.hpp"
#include "models/systems.hpp"
#include "support/paths.hpp"
#include "verify/verify.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace gnn_hpc::verify {
namespace {

void write_sample(const std::string& path, const std::string& system, const std::string& kind) {
  Hdf5Writer out(path);
  out.attribute("/", "system", system);
  out.attribute("/", "kind", kind);
  out.write<double>("outputs/x", std::vector<double>{1, 2, 3, 4, 5, 6}, Shape{2, 3});
  out.write<std::int32_t>("inputs/index", std::vector<std::int32_t>{-1, 7});
  out.write_text("inputs/note", "text");
  out.attribute("outputs", "k", std::int64_t{12});
  out.attribute("outputs", "cutoff", 2.5);
  out.attribute("outputs", "criterion", std::string("l1"));
  out.commit();
}

/// The message of the Error(Exit::data) that `call` throws.
template <class Call>
std::string data_error(Call call) {
  try {
    call();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::data) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

TEST(GoldenFile, ReadsTensorsAndAttributes) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  write_sample(path, "comformer", "model");
  GoldenFile file(path);
  EXPECT_EQ(file.system(), "comformer");
  EXPECT_EQ(file.kind(), "model");
  EXPECT_TRUE(file.has("outputs/x"));
  EXPECT_TRUE(file.has_group("outputs"));
  const RealTensor x = file.real("outputs/x", {-1, 3});
  EXPECT_EQ(x.shape, (std::vector<std::size_t>{2, 3}));
  EXPECT_EQ(x.values[5], 6.0);
  EXPECT_EQ(file.integers("inputs/index").values, (std::vector<std::int64_t>{-1, 7}));
  EXPECT_EQ(file.integer_attribute("outputs", "k", 1, 100), 12);
  EXPECT_EQ(file.number_attribute("outputs", "cutoff"), 2.5);
  EXPECT_EQ(file.text_attribute("outputs", "criterion"), "l1");
  EXPECT_TRUE(file.has_attribute("outputs", "k"));
  EXPECT_FALSE(file.has_attribute("outputs", "q"));
  const std::vector<std::string> unread = file.unread();
  EXPECT_NE(std::find(unread.begin(), unread.end(), "inputs/note"), unread.end());
  EXPECT_EQ(std::find(unread.begin(), unread.end(), "outputs/x"), unread.end());
}

TEST(GoldenFile, NamesWhatIsWrong) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  write_sample(path, "comformer", "model");
  GoldenFile file(path);
  EXPECT_NE(data_error([&] { file.real("outputs/y"); }).find("outputs/y"), std::string::npos);
  EXPECT_NE(data_error([&] { file.real("outputs/x", {3, 2}); }).find("[2,3]"), std::string::npos);
  EXPECT_NE(data_error([&] { file.integers("outputs/x"); }).find("integers"), std::string::npos);
  EXPECT_NE(data_error([&] { file.real("inputs/note"); }).find("text"), std::string::npos);
  EXPECT_NE(data_error([&] { file.integer_attribute("outputs", "k", 13, 20); }).find("[13, 20]"), std::string::npos);
  EXPECT_NE(data_error([&] { file.integer_attribute("outputs", "cutoff", 0, 20); }).find("2.5"), std::string::npos);
  data_error([&] { file.number_attribute("nowhere", "k"); });
}

int verify_silently(const std::string& path, const std::string& precision = "double") {
  std::ostringstream out;
  return verify_command({path, precision, false}, golden_checks(), out);
}

TEST(Verify, RefusesWhatItCannotRead) {
  const test::TemporaryFolder folder;
  EXPECT_NE(data_error([&] { verify_silently(folder / "absent.h5"); }).find("absent.h5"), std::string::npos);
  std::ofstream(folder / "text.h5") << "no HDF5 at all\n";
  data_error([&] { verify_silently(folder / "text.h5"); });
  write_sample(folder / "other.h5", "alchemy", "model");
  EXPECT_NE(data_error([&] { verify_silently(folder / "other.h5"); }).find("alchemy"), std::string::npos);
  write_sample(folder / "kind.h5", "comformer", "songs");
  EXPECT_NE(data_error([&] { verify_silently(folder / "kind.h5"); }).find("songs"), std::string::npos);
  write_sample(folder / "empty.h5", "comformer", "model");
  data_error([&] { verify_silently(folder / "empty.h5"); });
  try {
    verify_silently(folder / "empty.h5", "half");
    ADD_FAILURE() << "precision half accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::usage);
  }
}

TEST(Verify, IncompleteFilesAreRefusedByName) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  Hdf5Writer out(path);
  out.attribute("/", "system", std::string("comformer"));
  out.attribute("/", "kind", std::string("other"));
  out.write<double>("surprise/x", std::vector<double>{1.0});
  out.commit();
  const std::string message = data_error([&] { verify_silently(path); });
  for (const char* part : {"splits", "onecycle", "generator", "incomplete"}) EXPECT_NE(message.find(part), std::string::npos) << message;
}

TEST(GoldenFile, GroupsWithoutDataSetsAreUnread) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "a.h5";
  Hdf5Writer out(path);
  out.attribute("/", "system", std::string("comformer"));
  out.attribute("/", "kind", std::string("model"));
  out.write<double>("outputs/x", std::vector<double>{1.0});
  out.group("surprise/deep");
  out.group("config");
  out.attribute("config", "k", std::int64_t{1});
  out.commit();
  GoldenFile file(path);
  file.real("outputs/x");
  const std::vector<std::string> unread = file.unread();
  EXPECT_NE(std::find(unread.begin(), unread.end(), "surprise/"), unread.end());
  EXPECT_EQ(std::find(unread.begin(), unread.end(), "config/"), unread.end());
}

TEST(Verify, DamagedFilesAreErrorsNotCrashes) {
  const test::TemporaryFolder folder;
  const std::filesystem::path source = test::source_path("tests/data/comformer_graphs.h5");
  std::ifstream in(source, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  ASSERT_GT(bytes.size(), 1000U);
  const std::string path = folder / "damaged.h5";
  for (int part = 1; part < 12; ++part) {
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size() * part / 12));
    data_error([&] { verify_silently(path); });
  }
  // A flipped byte may go unnoticed by HDF5 (it checks only its own metadata): then a number differs, or nothing does.
  int noticed = 0;
  for (std::size_t i = 0; i < 60; ++i) {
    std::string flipped = bytes;
    flipped[(i * 7919 + 13) * 97 % bytes.size()] ^= 0x20;
    std::ofstream(path, std::ios::binary).write(flipped.data(), static_cast<std::streamsize>(flipped.size()));
    try {
      noticed += verify_silently(path) != 0 ? 1 : 0;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Exit::data) << e.what();
      ++noticed;
    }
  }
  EXPECT_GT(noticed, 10);
}

}  // namespace
}  // namespace gnn_hpc::verify
