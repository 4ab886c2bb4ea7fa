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
  const auto expect = [](const char* label, int two, int one) {
    EXPECT_EQ(read_label(label).two_letters, two) << label;
    EXPECT_EQ(read_label(label).one_letter, one) << label;
  };
  expect("Fe1", 26, 0);
  expect("Ca2A", 20, 0);
  expect("CaA", 20, 0);
  expect("C13A", 0, 6);
  expect("OW2", 0, 8);
  expect("CA", 20, 6);
  expect("CO2", 27, 6);
  expect("fe1", 26, 9);
  for (const char* none : {"Xx", "", "Wat1", "WAT", "Ow", "T1", "M1", "1O", "OXT"}) expect(none, 0, 0);
}

}  // namespace
}  // namespace gnn_hpc
