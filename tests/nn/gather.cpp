// SPDX-License-Identifier: Apache-2.0
#include "nn/gather.hpp"

#include "nn/gather_row.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

/// y[r] = sum over k of weight[k] x[item[k]], plainly.
std::vector<double> sums_of(const HostGather& g, const std::vector<double>& x, std::size_t width) {
  std::vector<double> y(static_cast<std::size_t>(g.rows()) * width, 0.0);
  for (std::size_t r = 0; r < static_cast<std::size_t>(g.rows()); ++r) {
    for (int k = g.ptr[r]; k < g.ptr[r + 1]; ++k) {
      const auto at = static_cast<std::size_t>(k);
      for (std::size_t c = 0; c < width; ++c) {
        y[r * width + c] += (g.weight.empty() ? 1.0 : g.weight[at]) * x[static_cast<std::size_t>(g.item[at]) * width + c];
      }
    }
  }
  return y;
}

HostGather example(bool weighted) {
  HostGather g;
  g.ptr = {0, 2, 2, 5, 6};
  g.item = {3, 1, 0, 3, 3, 2};
  if (weighted) g.weight = {0.5, -1.0, 2.0, 0.25, 4.0, 1.5};
  return g;
}

/// <y, G x> = <G' y, x>
TEST(Gather, TheTransposeIsTheTranspose) {
  for (const bool weighted : {false, true}) {
    const HostGather g = example(weighted);
    HostGather t;
    transpose(g, 5, t);  // row 4 of x is used by nobody
    ASSERT_EQ(t.rows(), 5);
    EXPECT_EQ(t.ptr.back(), 6);
    const auto x = test::random_values(5 * 3, 1), y = test::random_values(4 * 3, 2);
    const auto gx = sums_of(g, x, 3), ty = sums_of(t, y, 3);
    double left = 0.0, right = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) left += y[i] * gx[i];
    for (std::size_t i = 0; i < x.size(); ++i) right += x[i] * ty[i];
    EXPECT_NEAR(left, right, 1e-13);
    for (std::size_t r = 0; r < 5; ++r) EXPECT_TRUE(std::is_sorted(t.item.begin() + t.ptr[r], t.item.begin() + t.ptr[r + 1]));
  }
}

/// Rows of many items, of one and of none, added to what stands there or not.
TEST(Gather, LongRowsAreTheSameSums) {
  HostGather g;
  for (const int count : {333, 0, 64, 1}) {
    for (int k = 0; k < count; ++k) g.item.push_back((7 * k + count) % 50);
    g.ptr.push_back(static_cast<int>(g.item.size()));
  }
  g.weight = test::random_values(g.item.size(), 4);
  const auto x = test::random_values(50 * 5, 5), before = test::random_values(4 * 5, 6);
  const auto expected = sums_of(g, x, 5);
  GatherStorage<double> storage;
  const Exec exec;
  const Gather<double> gather = storage.upload(exec, g);
  for (const bool accumulate : {false, true}) {
    const auto y = test::matrix_of<double>(4, 5, before);
    gather_long_rows(exec, gather, test::matrix_of<double>(50, 5, x), y, accumulate);
    exec.fence();
    const auto found = test::values_of(y);
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i] + (accumulate ? before[i] : 0.0), 1e-13);
  }
}

TEST(Gather, AMapIsAGatherOfOneItemARow) {
  const std::vector<int> row{2, 0, 2, 1};
  HostGather map, one, other;
  map.item = row;
  map.ptr = {0, 1, 2, 3, 4};
  transpose(map, 3, one);
  transpose(row, 3, other);
  EXPECT_EQ(one.ptr, other.ptr);
  EXPECT_EQ(one.item, other.item);
  transpose(std::vector<int>{}, 2, other);
  EXPECT_EQ(other.ptr, (std::vector<int>{0, 0, 0}));
}

TEST(Gather, StorageIsReused) {
  GatherStorage<double> storage;
  const Exec exec;
  const Gather<double> first = storage.upload(exec, example(true));
  exec.fence();
  EXPECT_EQ(first.num_rows, 4);
  EXPECT_EQ(test::values_of(first.weight), example(true).weight);
  HostGather small;
  small.ptr = {0, 1};
  small.item = {7};
  const Gather<double> second = storage.upload(exec, small);
  exec.fence();
  EXPECT_EQ(second.num_rows, 1);
  EXPECT_EQ(second.item.data(), first.item.data());
  EXPECT_EQ(second.weight.extent(0), 0U);
}

}  // namespace
}  // namespace gnn_hpc
