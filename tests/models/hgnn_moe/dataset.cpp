// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/dataset.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "graph/split.hpp"
#include "io/hdf5.hpp"
#include "support/paths.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>

namespace gnn_hpc::hgnn_moe {
namespace {

namespace fs = std::filesystem;

class TokenData : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string text;
    for (int i = 0; i < 40; ++i)
      text += fmt::format("line number {:02} with a few more words{}\n", i, std::string(static_cast<std::size_t>(i % 5), '.'));
    options.path = {put("text.txt", text + "short\n")};
    options.cache_dir = (folder / "cache").string();
    options.cut.length = 40;
    options.threads = 2;
  }
  std::string put(const std::string& name, const std::string& text) const {
    const std::string path = (folder / name).string();
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  TokenDataset opened() const {
    TokenDataset dataset(options);
    dataset.open(Comm::self(), DataUse::training);
    return dataset;
  }
  std::string failure() const {
    try {
      opened();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::data) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "no error";
    return {};
  }
  std::size_t caches() const { return static_cast<std::size_t>(std::distance(fs::directory_iterator(options.cache_dir), fs::directory_iterator())); }
  test::TemporaryFolder folder;
  DataOptions options;
};

TEST_F(TokenData, LinesAreSplitOnceByTheSeed) {
  const auto d = opened();
  ASSERT_EQ(d.num_samples(), 40);
  EXPECT_EQ(d.id(3), "text.txt:4");
  EXPECT_EQ(d.length(4), 40);  // 34 + 4 + ... cut at 40
  const auto order = python_shuffled(40, 42);
  EXPECT_EQ(d.splits().train, std::vector<std::int64_t>(order.begin(), order.begin() + 36));
  EXPECT_EQ(d.splits().validation, std::vector<std::int64_t>(order.begin() + 36, order.end()));
  EXPECT_TRUE(d.splits().test.empty());
}

TEST_F(TokenData, TheEndValidatesWithoutShuffleAndSamplesAreLimited) {
  options.shuffle = false;
  options.validation_ratio = 0.11;  // 4.4 sequences: 5
  options.num_train_samples = 7;
  options.num_eval_samples = 2;
  const auto d = opened();
  EXPECT_EQ(d.splits().train, (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(d.splits().validation, (std::vector<std::int64_t>{35, 36}));
}

TEST_F(TokenData, ValidationInFilesOfItsOwnAndSeveralFiles) {
  options.path.push_back(put("more.txt", "one more line that is long enough to count\n"));
  options.validation = {put("held.txt", "this is a line that only validates, nothing else\n")};
  const auto d = opened();
  EXPECT_EQ(d.num_samples(), 42);
  EXPECT_EQ(d.id(40), "more.txt:1");
  EXPECT_EQ(d.id(41), "held.txt:1");
  EXPECT_EQ(d.splits().train.size(), 41U);
  EXPECT_EQ(d.splits().validation, (std::vector<std::int64_t>{41}));
}

TEST_F(TokenData, BatchHoldsTheBytesAndTheirMask) {
  options.cut.length = 44;
  const auto d = opened();
  HostTokenBatch b;
  for (int repeat = 0; repeat < 2; ++repeat) d.collate(std::vector<std::int64_t>{8, 0}, true, b);  // into used storage
  ASSERT_EQ(b.num_sequences, 2);
  ASSERT_EQ(b.length, 44);
  const std::string first = "line number 08 with a few more words...", second = "line number 00 with a few more words";
  for (std::size_t t = 0; t < 44; ++t) {
    EXPECT_EQ(b.ids[t], t < first.size() ? first[t] : 0);
    EXPECT_EQ(b.ids[44 + t], t < second.size() ? second[t] : 0);
    EXPECT_EQ(b.mask[t], t < first.size() ? 1 : 0);
    EXPECT_EQ(b.mask[44 + t], t < second.size() ? 1 : 0);
  }
  EXPECT_EQ(b.samples, (std::vector<std::int64_t>{8, 0}));
  EXPECT_EQ(b.tokens, static_cast<double>(first.size() + second.size()));
  EXPECT_EQ(b.loss_weight, static_cast<double>(first.size() + second.size() - 2));
  d.collate({}, true, b);
  EXPECT_EQ(b.num_sequences, 0);
  EXPECT_EQ(b.loss_weight, 0.0);
}

TEST_F(TokenData, TheCacheFollowsBytesAndOptions) {
  const std::string first = opened().digest();
  EXPECT_EQ(opened().digest(), first);
  EXPECT_EQ(caches(), 1U);
  std::set<std::string> digests{first};
  options.cut.min_chars = 20;
  digests.insert(opened().digest());
  options.cut.mode = TextMode::stream;
  digests.insert(opened().digest());
  options.cut.min_chars = 30;  // windows know no characters
  EXPECT_TRUE(digests.contains(opened().digest()));
  options.cut.length = 30;
  digests.insert(opened().digest());
  put("text.txt", "another text, of one line, that is long enough for a window of thirty bytes");
  digests.insert(opened().digest());
  EXPECT_EQ(digests.size(), 5U);
  EXPECT_EQ(caches(), 5U);
  TokenDataset again(options);
  EXPECT_TRUE(again.open(Comm::self(), DataUse::training_if_built));
  options.cut.length = 31;
  TokenDataset absent(options);
  EXPECT_FALSE(absent.open(Comm::self(), DataUse::training_if_built));
}

TEST_F(TokenData, ATextWithoutASequenceIsAnError) {
  options.path = {put("empty.txt", "")};
  EXPECT_NE(failure().find("no line of more than 30 characters"), std::string::npos) << failure();
  options.path = {put("short.txt", "a\nb\nc\n")};
  EXPECT_NE(failure().find("data.min_chars"), std::string::npos);
  options.cut.mode = TextMode::stream;
  EXPECT_NE(failure().find("no 40 bytes"), std::string::npos);
  options.path = {(folder / "absent.txt").string()};
  EXPECT_NE(failure().find("absent.txt"), std::string::npos);
  options.path = {put("one.txt", std::string(45, 'x'))};
  EXPECT_NE(failure().find("1 sequences give 0 for training"), std::string::npos) << failure();
}

TEST_F(TokenData, TokenisedDataKeepItsMask) {
  const std::string path = (folder / "t.h5").string();
  {
    Hdf5Writer file(path);
    std::vector<std::int32_t> ids(4 * 6);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i);
    std::vector<std::uint8_t> mask(ids.size(), 1);
    mask[0] = 0;                                        // padding on the left
    mask[11] = mask[10] = 0;                            // at the end
    for (std::size_t i = 18; i < 24; ++i) mask[i] = 0;  // nothing else
    file.write<std::int32_t>("/input_ids", ids, Shape{4, 6});
    file.write<std::uint8_t>("/attention_mask", mask, Shape{4, 6});
    file.attribute("/", "vocab_size", std::int64_t{1000});
    file.commit();
  }
  options.path = {path};
  options.cut.length = 8;
  options.vocabulary = 1000;
  options.shuffle = false;
  const auto d = opened();
  ASSERT_EQ(d.num_samples(), 4);
  EXPECT_EQ(d.id(2), "t.h5@2");
  HostTokenBatch b;
  d.collate(std::vector<std::int64_t>{0, 1, 3}, true, b);
  EXPECT_EQ(std::vector<int>(b.ids.begin(), b.ids.begin() + 8), (std::vector<int>{0, 1, 2, 3, 4, 5, 0, 0}));
  EXPECT_EQ(std::vector<std::uint8_t>(b.mask.begin(), b.mask.begin() + 8), (std::vector<std::uint8_t>{0, 1, 1, 1, 1, 1, 0, 0}));
  EXPECT_EQ(b.tokens, 5.0 + 4.0);
  EXPECT_EQ(b.loss_weight, 5.0 + 3.0);  // the first real token of the first row follows padding and counts
}

/// What the log says while `work` runs.
template <class Work>
std::string log_of(Work work) {
  std::FILE* file = std::tmpfile();
  setup_log({.level = "info"}, 0, file);
  work();
  setup_log({}, 0, stdout);
  std::rewind(file);
  std::string out;
  for (int ch = std::fgetc(file); ch != EOF; ch = std::fgetc(file)) out += static_cast<char>(ch);
  std::fclose(file);
  return out;
}

TEST_F(TokenData, TextThatIsNotUsedIsSaidInEveryRunAndWarnedOfBeyondATenth) {
  options.cut.min_chars = 30;
  options.cut.length = 32;
  std::string text = "short\n";
  for (int i = 0; i < 8; ++i) text += std::string(2000, static_cast<char>('a' + i)) + "\n";
  options.path = {put("long.txt", text + "tail\n")};
  for (int run = 0; run < 2; ++run) {  // built, and found again
    const std::string log = log_of([&] { opened(); });
    EXPECT_NE(log.find("warning"), std::string::npos) << log;
    EXPECT_NE(log.find("of 16,009 bytes of text, 256 (1.6 %) are used; 15,744 (98.3 %) are cut off because their lines are longer than "
                       "model.max_seq_length = 32 bytes; 9 (0.1 %) are not used because their lines have no more than data.min_chars = 30"),
              std::string::npos)
        << log;
  }
  options.cut.length = 2000;  // nearly everything is used: told, not warned of
  const std::string little = log_of([&] { opened(); });
  EXPECT_EQ(little.find("warning"), std::string::npos) << little;
  EXPECT_NE(little.find("9 (0.1 %) are not used"), std::string::npos) << little;
  options.cut.mode = TextMode::stream;
  options.cut.length = 1000;
  const std::string stream = log_of([&] { opened(); });
  EXPECT_NE(stream.find("at the ends of files are not used"), std::string::npos) << stream;
  options.cut.mode = TextMode::lines;
  options.cut.length = 40;
  options.path = {put("whole.txt", std::string(35, 'a') + "\n" + std::string(36, 'b') + "\n" + std::string(37, 'c') + "\n")};
  EXPECT_EQ(log_of([&] { opened(); }).find("bytes of text"), std::string::npos);
}

TEST_F(TokenData, EqualLinesHaveEqualDigests) {
  options.path = {put("twice.txt",
                      "this line stands in the text twice, of course\nanother line that is as long as it must be\n"
                      "this line stands in the text twice, of course\nthis line stands in the text twice, of course!\n")};
  options.cut.length = 60;
  options.validation_ratio = 0.25;
  const auto digests = opened().input_digests();
  ASSERT_EQ(digests.size(), 4U);
  EXPECT_EQ(digests[0], digests[2]);
  EXPECT_EQ(std::set<std::uint64_t>(digests.begin(), digests.end()).size(), 3U);
  options.group_by = "input";
  for (int seed = 0; seed < 8; ++seed) {
    options.split_seed = seed;
    const auto d = opened();
    const auto in = [&](const std::vector<std::int64_t>& part, std::int64_t s) { return std::find(part.begin(), part.end(), s) != part.end(); };
    EXPECT_EQ(in(d.splits().train, 0), in(d.splits().train, 2)) << seed;
    EXPECT_EQ(d.splits().train.size() + d.splits().validation.size(), 4U);
  }
}

TEST_F(TokenData, PartsThatAFileNames) {
  options.split_file = {put("parts.json", R"({"train": ["text.txt:4", 0, "text.txt:2"], "val": [7, 8], "test": [9]})")};
  options.num_eval_samples = 1;
  const auto d = opened();
  EXPECT_EQ(d.splits().train, (std::vector<std::int64_t>{3, 0, 1}));
  EXPECT_EQ(d.splits().validation, std::vector<std::int64_t>{7});
}

}  // namespace
}  // namespace gnn_hpc::hgnn_moe
