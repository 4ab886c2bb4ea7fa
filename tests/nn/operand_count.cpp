// SPDX-License-Identifier: Apache-2.0
#include "nn/operand_count.hpp"

#include "base/error.hpp"
#include "nn/matmul.hpp"
#include "support/views.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace gnn_hpc {
namespace {

TEST(OperandCount, SubnormalNumbersAreFoundByTheirBits) {
  if constexpr (!kExecIsHost) GTEST_SKIP() << "on the host only";
  const float least = std::numeric_limits<float>::denorm_min(), below = std::nextafter(std::numeric_limits<float>::min(), 0.0f);
  View2<float> x("x", 2, 4);
  const float values[] = {0.0f,
                          -0.0f,
                          least,
                          -below,
                          std::numeric_limits<float>::min(),
                          1.0f,
                          std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()};
  for (int i = 0; i < 8; ++i) x(i / 4, i % 4) = values[i];
  EXPECT_EQ(count_subnormals(x), 2);
  View2<double> y("y", 1, 3);
  y(0, 0) = std::numeric_limits<double>::denorm_min();
  y(0, 1) = 1e-310;
  y(0, 2) = 1e-300;
  EXPECT_EQ(count_subnormals(y), 2);
}

TEST(OperandCount, CountsEachProductWhileItLivesAndNotAfter) {
  if constexpr (!kExecIsHost) GTEST_SKIP() << "on the host only";
  const Exec exec;
  const auto x = test::random_matrix<float>(7, 4, 1), w = test::random_matrix<float>(5, 4, 2), y = test::random_matrix<float>(7, 5, 3);
  x(2, 1) = std::numeric_limits<float>::denorm_min();
  y(0, 0) = y(6, 4) = std::numeric_limits<float>::denorm_min();
  const View2<float> out("out", 7, 5), dw("dw", 5, 4);
  {
    OperandCount count;
    EXPECT_THROW(OperandCount(), Error) << "one at a time";
    Matmul<float>::nt(exec, x, w, out);
    Matmul<float>::nt(exec, x, w, out);
    Matmul<float>::tn(exec, y, x, dw);
    const auto entries = count.entries();
    ASSERT_EQ(entries.size(), 2U);
    EXPECT_EQ(entries[0].form, OperandCount::Form::nt);
    EXPECT_EQ(entries[0].matrix, w.data());
    EXPECT_EQ(entries[0].products, 2);
    EXPECT_EQ(entries[0].left, 2 * 28);
    EXPECT_EQ(entries[0].left_subnormal, 2);
    EXPECT_EQ(entries[0].right, 2 * 20);
    EXPECT_EQ(entries[0].right_subnormal, 0);
    EXPECT_EQ(entries[1].matrix, dw.data());
    EXPECT_EQ(entries[1].left_subnormal, 2);
    EXPECT_EQ(entries[1].right_subnormal, 1);
  }
  EXPECT_EQ(OperandCount::active(), nullptr);
}

}  // namespace
}  // namespace gnn_hpc
