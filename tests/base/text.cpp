// SPDX-License-Identifier: Apache-2.0
#include "base/text.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {

TEST(Text, EditDistanceCountsSwapsOnce) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("learning_rte", "learning_rate"), 1U);
  EXPECT_EQ(edit_distance("epcohs", "epochs"), 1U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
}

TEST(Text, NearestWordFindsMisspellingsOnly) {
  const std::vector<std::string> keys{"epochs", "batch_size", "learning_rate", "seed", "k"};
  EXPECT_EQ(nearest_word("learning_rte", keys), "learning_rate");
  EXPECT_EQ(nearest_word("batch-size", keys), "batch_size");
  EXPECT_EQ(nearest_word("Epochs", keys), "epochs");
  EXPECT_EQ(nearest_word("sede", keys), "seed");
  EXPECT_EQ(nearest_word("optimizer", keys), "");
  EXPECT_EQ(nearest_word("cat", keys), "") << "a short word is not close to another short word";
  EXPECT_EQ(nearest_word("x", {}), "");
}

TEST(Text, WhatSteersATerminalIsWrittenOut) {
  EXPECT_EQ(printable("E (eV/atom), \xC3\xA9 \xE2\x82\xAC"), "E (eV/atom), \xC3\xA9 \xE2\x82\xAC");
  EXPECT_EQ(printable("a\nb\tc\r"), "a\\nb\\tc\\r");
  EXPECT_EQ(printable("a\nb\tc\r", 0, LineEnds::keep), "a\nb\tc\\r");
  EXPECT_EQ(printable("\x1b[2J\x7f"), "\\x1b[2J\\x7f");
  EXPECT_EQ(printable("\xC2\x9B"
                      "31m"),
            "\\u009b31m")
      << "the same escape in eight bits";
  EXPECT_EQ(printable("\xE2\x80\xAE"
                      "cba"),
            "\\u202ecba")
      << "right to left";
  EXPECT_EQ(printable("\xFF\xC3(\xC0\xAF\xED\xA0\x80"), "\\xff\\xc3(\\xc0\\xaf\\xed\\xa0\\x80") << "no UTF-8";
  EXPECT_EQ(printable("\xC3\xA9\xC3\xA9\xC3\xA9", 2), "\xC3\xA9\xC3\xA9...") << "never within a character";
  EXPECT_EQ(printable_name(std::string(300, 'x')).size(), 63U);
}

TEST(Text, SplitAndJoin) {
  EXPECT_EQ(split("a.b.c", '.'), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(split("", '.'), std::vector<std::string>{""});
  EXPECT_EQ(split("a.", '.'), (std::vector<std::string>{"a", ""}));
  const std::vector<std::string> words{"x", "y"};
  EXPECT_EQ(join(words, ", "), "x, y");
}

TEST(Text, LongTextsAreCutBetweenCharactersAndSayTheirLength) {
  EXPECT_EQ(shortened(std::string(200, 'x')), std::string(200, 'x'));
  EXPECT_EQ(shortened(std::string(300000, 'x')), std::string(200, 'x') + "... (300,000 bytes)");
  EXPECT_EQ(shortened("abc\xC3\xA9 and more", 4), "abc... (14 bytes)");
}

TEST(Text, NumbersForPeople) {
  EXPECT_EQ(format_duration(0.85), "850 ms");
  EXPECT_EQ(format_duration(12.34), "12.3 s");
  EXPECT_EQ(format_duration(245), "4m05s");
  EXPECT_EQ(format_duration(3 * 3600 + 7 * 60), "3h07m");
  EXPECT_EQ(format_duration(52 * 3600), "2d04h");
  EXPECT_EQ(format_duration(-1), "?");
  EXPECT_EQ(format_bytes(512), "512 B");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(3.0 * 1024 * 1024 * 1024), "3.0 GiB");
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1234567), "1,234,567");
  EXPECT_EQ(format_count(-1000), "-1,000");
}

}  // namespace gnn_hpc
