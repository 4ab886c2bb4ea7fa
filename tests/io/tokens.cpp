// SPDX-License-Identifier: Apache-2.0
#include "io/tokens.hpp"

#include "base/error.hpp"
#include "io/token_table.hpp"
#include "support/paths.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace gnn_hpc {
namespace {

using namespace std::string_literals;

std::string text_of(const TokenSequence& s) { return {s.ids.begin(), s.ids.end()}; }

std::vector<std::string> texts(const std::vector<TokenSequence>& sequences) {
  std::vector<std::string> out;
  for (const TokenSequence& s : sequences) out.push_back(text_of(s));
  return out;
}

template <class Work>
std::string failure(Work work, Exit code = Exit::data) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

TextCut lines(int length, int min_chars) { return {TextMode::lines, length, min_chars}; }
TextCut stream(int length) { return {TextMode::stream, length, 0}; }

TEST(Tokens, EveryLineEndAndBlanksAtBothEnds) {
  const std::string text = "one\r\n \t two words \v\f\rthree\n\n\r\n  \nlast";
  const auto s = cut_text(text, "t", lines(20, 0));
  EXPECT_EQ(texts(s), (std::vector<std::string>{"one", "two words", "three", "last"}));
  EXPECT_EQ(s[0].place, 1);
  EXPECT_EQ(s[1].place, 2);
  EXPECT_EQ(s[2].place, 3);
  EXPECT_EQ(s[3].place, 7);
  EXPECT_TRUE(s[0].mask.empty());
}

TEST(Tokens, EveryByteOfTextIsInASequenceOrCountedAsLeftOut) {
  const auto account = [](const std::string& text, const TextCut& cut) {
    bool given = false;
    TextCutter cutter([&] { return std::exchange(given, true) ? std::string_view() : std::string_view(text); }, "t", cut);
    std::array<std::int64_t, 3> sums{};  // used, cut, passed
    for (TokenSequence s; cutter.next(s);) {
      sums[0] += static_cast<std::int64_t>(s.ids.size());
      sums[1] += s.cut;
      sums[2] += s.passed;
    }
    sums[2] += cutter.left_over();
    return sums;
  };
  using Sums = std::array<std::int64_t, 3>;
  EXPECT_EQ(account("0123456789\n", lines(4, 2)), (Sums{4, 6, 0}));
  EXPECT_EQ(account("ab\n 0123456789  \r\nabc\n\nx", lines(4, 3)), (Sums{4, 6, 6}));  // ab, abc and the x behind the last sequence
  EXPECT_EQ(account("ab\ncd\n", lines(4, 3)), (Sums{0, 0, 4}));
  EXPECT_EQ(account(std::string(2000, 'x'), lines(32, 30)), (Sums{32, 1968, 0}));
  EXPECT_EQ(account("0123456789", stream(4)), (Sums{8, 0, 2}));
  EXPECT_EQ(account("012", stream(4)), (Sums{0, 0, 3}));
  EXPECT_EQ(account("0123", stream(4)), (Sums{4, 0, 0}));
}

TEST(Tokens, MinimumCountsCodePointsAndTheCutCountsBytes) {
  const std::string five = "caf\xC3\xA9!";  // 5 code points, 6 bytes
  EXPECT_TRUE(cut_text(five, "t", lines(20, 5)).empty());
  EXPECT_EQ(texts(cut_text(five, "t", lines(20, 4))), (std::vector<std::string>{five}));
  EXPECT_EQ(texts(cut_text(five, "t", lines(4, 4))), (std::vector<std::string>{"caf\xC3"}));  // within the code point
  // Blanks inside stay, also where the cut comes right behind them; those at the end count for nothing.
  EXPECT_EQ(texts(cut_text("ab  cd   ", "t", lines(3, 5))), (std::vector<std::string>{"ab "}));
  EXPECT_TRUE(cut_text("ab  cd   ", "t", lines(3, 6)).empty());
}

TEST(Tokens, WindowsDropTheIncompleteLastOne) {
  const auto s = cut_text("abcdefgh\n1", "t", stream(3));
  EXPECT_EQ(texts(s), (std::vector<std::string>{"abc", "def", "gh\n"}));
  EXPECT_EQ(s[2].place, 6);
  EXPECT_TRUE(cut_text("ab", "t", stream(3)).empty());
  EXPECT_TRUE(cut_text("", "t", stream(3)).empty());
  EXPECT_TRUE(cut_text("", "t", lines(3, 0)).empty());
}

TEST(Tokens, AnyDivisionIntoBlocksGivesTheSame) {
  std::string text;
  for (int i = 0; i < 200; ++i)
    text += std::string(static_cast<std::size_t>(i % 37), static_cast<char>('a' + i % 26)) + (i % 3 == 0 ? "\r\n" : i % 3 == 1 ? " \r" : "\n");
  for (const TextCut& cut : {lines(16, 10), stream(7)}) {
    const auto whole = texts(cut_text(text, "t", cut));
    EXPECT_GT(whole.size(), 50U);
    for (const std::size_t block : {1U, 2U, 7U, 100U}) {
      std::size_t at = 0;
      TextCutter cutter(
          [&] {
            const std::string_view part = std::string_view(text).substr(std::min(at, text.size()), block);
            at += part.size();
            return part;
          },
          "t", cut);
      std::vector<std::string> parts;
      for (TokenSequence s; cutter.next(s);) parts.push_back(text_of(s));
      EXPECT_EQ(parts, whole) << block;
    }
  }
}

TEST(Tokens, NulIsAnErrorThatNamesItsOffset) {
  for (const TextCut& cut : {lines(4, 30), stream(100)}) {
    const std::string message = failure([&] { cut_text("short\nline\0 more"s, "x.txt", cut); });
    EXPECT_NE(message.find("x.txt"), std::string::npos) << message;
    EXPECT_NE(message.find("byte 10"), std::string::npos) << message;
  }
}

class TokenFiles : public ::testing::Test {
 protected:
  struct Content {
    std::vector<std::int64_t> ids{1, 2, 3, 4, 5, 6};
    Shape shape{2, 3};
    std::vector<std::uint8_t> mask;
    Shape mask_shape{2, 3};
    std::string name = "input_ids";
    std::int64_t vocabulary = 10;
  };
  std::string write(const Content& c) const {
    const std::string path = (folder / "t.h5").string();
    Hdf5Writer file(path);
    file.write<std::int64_t>("/" + c.name, c.ids, c.shape);
    if (!c.mask.empty()) file.write<std::uint8_t>("/attention_mask", c.mask, c.mask_shape);
    if (c.vocabulary > 0) file.attribute("/", "vocab_size", c.vocabulary);
    file.commit();
    return path;
  }
  static std::vector<TokenSequence> read(const std::string& path, int length, int vocabulary) {
    TokenTable table(path, length, vocabulary);
    std::vector<TokenSequence> out;
    for (TokenSequence s; table.next(s);) out.push_back(s);
    EXPECT_EQ(table.fraction_read(), 1.0);
    return out;
  }
  std::string refused(const Content& c, int length = 3, int vocabulary = 10) const {
    const std::string path = write(c);
    const std::string message = failure([&] { read(path, length, vocabulary); });
    EXPECT_NE(message.find("t.h5"), std::string::npos) << message;
    return message;
  }
  test::TemporaryFolder folder;
};

TEST_F(TokenFiles, RowsWithAndWithoutMask) {
  Content c;
  auto s = read(write(c), 3, 10);
  ASSERT_EQ(s.size(), 2U);
  EXPECT_EQ(s[1].ids, (std::vector<std::int32_t>{4, 5, 6}));
  EXPECT_TRUE(s[1].mask.empty());
  EXPECT_EQ(s[1].place, 1);
  c.ids = {0, 2, 9, 7, 7, 7};
  c.mask = {0, 1, 0, 0, 0, 0};  // padding on the left stays, at the end it is dropped; a row of nothing else is legal
  s = read(write(c), 5, 12);
  EXPECT_EQ(s[0].ids, (std::vector<std::int32_t>{0, 2}));
  EXPECT_EQ(s[0].mask, (std::vector<std::uint8_t>{0, 1}));
  EXPECT_TRUE(s[1].ids.empty());
}

TEST_F(TokenFiles, AFlatListIsCutLikeAStream) {
  Content c;
  c.name = "tokens";
  c.ids = {1, 2, 3, 4, 5, 6, 7};
  c.shape = {7};
  const auto s = read(write(c), 3, 10);
  ASSERT_EQ(s.size(), 2U);
  EXPECT_EQ(s[1].ids, (std::vector<std::int32_t>{4, 5, 6}));
}

TEST_F(TokenFiles, IdsOutsideTheVocabularyAreNamedByRowAndColumn) {
  Content c;
  c.ids[4] = 10;
  EXPECT_NE(refused(c).find("row 1, column 1 (counted from 0): id 10 is outside the vocabulary [0, 10)"), std::string::npos);
  c.ids[4] = -1;
  EXPECT_NE(refused(c).find("id -1"), std::string::npos);
  c.ids[4] = std::int64_t{1} << 40;  // no wrap-around
  EXPECT_NE(refused(c).find("id 1099511627776"), std::string::npos);
  c.name = "tokens";
  c.shape = {6};
  EXPECT_NE(refused(c).find("position 4"), std::string::npos);
  c.vocabulary = 0;  // not said: the model's
  EXPECT_NE(refused(c).find("[0, 10)"), std::string::npos);
}

TEST_F(TokenFiles, WhatDoesNotFitIsRefused) {
  EXPECT_NE(refused({}, 2).find("model.max_seq_length=2"), std::string::npos);
  EXPECT_NE(refused({}, 3, 9).find("vocab_size"), std::string::npos);
  Content c;
  c.name = "words";
  EXPECT_NE(refused(c).find("neither input_ids"), std::string::npos);
  c = {};
  c.shape = {6};
  EXPECT_NE(refused(c).find("expected [N,L]"), std::string::npos);
  c = {};
  c.mask = {1, 1, 1, 1, 1, 2};
  EXPECT_NE(refused(c).find("attention_mask: row 1, column 2"), std::string::npos);
  c.mask_shape = {6};
  EXPECT_NE(refused(c).find("attention_mask has shape"), std::string::npos);
}

}  // namespace
}  // namespace gnn_hpc
