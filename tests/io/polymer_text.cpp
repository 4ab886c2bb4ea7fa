// SPDX-License-Identifier: Apache-2.0
#include "io/polymer_text.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.hpp"

namespace gnn_hpc {
namespace {

TEST(PolymerText, HasAllParts) {
  const auto p = parse_polymer_text(" [*:1]CC[*:2].[*:3]CO[*:4] | 0.25|0.75 |<1-2:0.5: 0.5 <1-1:0.5:0.5<2-2:0.5:0.5<3-4:1:1.0 ~ 802.5 ");
  EXPECT_EQ(p.fragments, (std::vector<std::string>{"[*:1]CC[*:2]", "[*:3]CO[*:4]"}));
  EXPECT_EQ(p.weights, (std::vector<double>{0.25, 0.75}));
  ASSERT_EQ(p.rules.size(), 4U);
  EXPECT_EQ(p.rules[0].from, 1);
  EXPECT_EQ(p.rules[0].to, 2);
  EXPECT_EQ(p.rules[1].forward, 0.5);
  EXPECT_EQ(p.rules[3].backward, 1.0);
  EXPECT_DOUBLE_EQ(p.degree_of_polymerisation, 1.0 + std::log10(802.5));
}

TEST(PolymerText, WhatMayBeLeftOut) {
  const auto no_rule = parse_polymer_text("[*:1]CC[*:2]|1|<~10");
  EXPECT_TRUE(no_rule.rules.empty());
  EXPECT_DOUBLE_EQ(no_rule.degree_of_polymerisation, 2.0);
  const auto no_length = parse_polymer_text("CC|0.4|<1-1:1:1");
  EXPECT_EQ(no_length.rules.size(), 1U);
  EXPECT_EQ(no_length.degree_of_polymerisation, 1.0);
  EXPECT_EQ(parse_polymer_text("CC|1").weights.size(), 1U);
}

TEST(PolymerText, WeightsIntoAPointAddUpToOne) {
  EXPECT_NO_THROW(
      parse_polymer_text("C|1|<1-2:0.333333:0.333333<1-1:0.333333:9<2-2:0.333333:0<1-3:0.1:0.333334<2-3:0.9:0.333334"));  // i-i counts once
  EXPECT_NO_THROW(parse_polymer_text("C|1|<1-2:0.999995:1"));
  EXPECT_THROW(parse_polymer_text("C|1|<1-2:0.99998:1"), Error);
  EXPECT_THROW(parse_polymer_text("C|1|<1-2:1:1<1-1:0.5:0.5"), Error);
}

TEST(PolymerText, ErrorsSayWhatIsWrong) {
  const auto reason = [](const char* text) -> std::string {
    try {
      parse_polymer_text(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::data);
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(reason("C.C|1|<~10"), "2 fragments but 1 weights; expected fragments|weight|...|<rules~Xn");
  EXPECT_NE(reason("C"), "accepted");
  EXPECT_NE(reason("C|0.5|0.5|<~10"), "accepted");
  EXPECT_NE(reason("C|half|").find("half"), std::string::npos);
  EXPECT_NE(reason("C|nan|"), "accepted");
  EXPECT_NE(reason("C|-1|").find("negative"), std::string::npos);
  EXPECT_NE(reason("C|1|<1-2:1").find("malformed connection rule '1-2:1'"), std::string::npos);
  EXPECT_NE(reason("C|1|<1:1:1").find("malformed"), std::string::npos);
  EXPECT_NE(reason("C|1|<1-2-3:1:1").find("malformed"), std::string::npos);
  EXPECT_NE(reason("C|1|<a-2:1:1").find("label"), std::string::npos);
  EXPECT_NE(reason("C|1|<1-2:1:x").find("x"), std::string::npos);
  EXPECT_NE(reason("C|1|<1-2:1:1~0").find("Xn"), std::string::npos);
  EXPECT_NE(reason("C|1|<1-2:1:1~").find("Xn"), std::string::npos);
  EXPECT_NE(reason("C|1|<1-2:1:1~-5").find("Xn"), std::string::npos);
  EXPECT_NE(reason("C|1|<1-2:1:1~5~6").find("~"), std::string::npos);
  EXPECT_NE(reason("C|1|<1-2:0.5:1").find("attachment point 2 add up to 0.5"), std::string::npos);
}

}  // namespace
}  // namespace gnn_hpc
