// SPDX-License-Identifier: Apache-2.0
#include "io/elements.hpp"

#include <gtest/gtest.h>

#include <string>

namespace gnn_hpc {
namespace {

TEST(Elements, SymbolsAndNumbersAreInverse) {
  for (int z = 1; z <= kLargestZ; ++z) EXPECT_EQ(atomic_number(element_symbol(z)), z);
  EXPECT_EQ(element_symbol(0), "");
  EXPECT_EQ(element_symbol(104), "");
  EXPECT_EQ(atomic_number("Fe"), 26);
  EXPECT_EQ(atomic_number("Lr"), 103);
}

TEST(Elements, ChargesCaseAndIsotopes) {
  for (const char* s : {"Fe3+", "FE", "fe", "Fe+3", "Fe2", "Fe0+"}) EXPECT_EQ(atomic_number(s), 26) << s;
  EXPECT_EQ(atomic_number("O2-"), 8);
  EXPECT_EQ(atomic_number("D"), 1);
  EXPECT_EQ(atomic_number("T"), 1);
  EXPECT_EQ(atomic_number("D1+"), 1);
}

TEST(Elements, OthersAreNone) {
  for (const char* s : {"", "X", "Va", "Wat", "Uiso", "1", "?", ".", "Fe(3)", "Rf", "Xx", "Q", "\xff", "J1"}) {
    EXPECT_EQ(atomic_number(s), 0) << s;
  }
}

TEST(Elements, Labels) {
  EXPECT_EQ(atomic_number_of_label("Fe1"), 26);
  EXPECT_EQ(atomic_number_of_label("OW2"), 8);
  EXPECT_EQ(atomic_number_of_label("CA"), 6);
  EXPECT_EQ(atomic_number_of_label("Ca2A"), 20);
  EXPECT_EQ(atomic_number_of_label("Xx"), 0);
  EXPECT_EQ(atomic_number_of_label(""), 0);
}

}  // namespace
}  // namespace gnn_hpc
