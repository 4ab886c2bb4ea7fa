// SPDX-License-Identifier: Apache-2.0
#include "nn/segment_sum.hpp"

#include "base/error.hpp"
#include "support/gradcheck.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace gnn_hpc {
namespace {

using test::random_matrix;
using test::values_of;

View1<int> indices(const std::vector<int>& values) {
  View1<int> x("gnn_hpc::test::indices", values.size());
  const auto host = Kokkos::create_mirror_view(x);
  for (std::size_t i = 0; i < values.size(); ++i) host(i) = values[i];
  Kokkos::deep_copy(x, host);
  return x;
}

struct Case {
  std::vector<int> row_ptr, item, owner;  // item as a permutation
  std::size_t rows() const { return row_ptr.size() - 1; }
  std::size_t items() const { return owner.size(); }
  Segments segments(bool permuted) const { return {indices(row_ptr), permuted ? indices(item) : View1<int>(), indices(owner)}; }
};

Case case_of(std::vector<int> sizes) {
  Case c;
  c.row_ptr = {0};
  for (std::size_t n = 0; n < sizes.size(); ++n) {
    c.row_ptr.push_back(c.row_ptr.back() + sizes[n]);
    c.owner.insert(c.owner.end(), static_cast<std::size_t>(sizes[n]), static_cast<int>(n));
  }
  const int count = c.row_ptr.back();
  for (int i = 0; i < count; ++i) c.item.push_back((i * 7 + 3) % std::max(count, 1));  // a permutation: no size below is a multiple of 7
  return c;
}

std::vector<Case> cases() {
  std::vector<int> many;
  for (int n = 0; n < 200; ++n) many.push_back(n * n % 11);
  many.back() += (7 - std::accumulate(many.begin(), many.end(), 0) % 7) % 7 + 1;
  return {case_of({}), case_of({0}), case_of({0, 0, 0}), case_of({1}), case_of({3, 0, 1, 0, 0, 4}), case_of({0, 40, 0}), case_of(many)};
}

std::vector<double> expected_sum(const Case& c, bool permuted, const std::vector<double>& x, std::size_t width) {
  std::vector<double> y(c.rows() * width, 0.0);
  for (std::size_t i = 0; i < c.items(); ++i) {
    const auto from = static_cast<std::size_t>(permuted ? c.item[i] : static_cast<int>(i));
    for (std::size_t k = 0; k < width; ++k) y[static_cast<std::size_t>(c.owner[i]) * width + k] += x[from * width + k];
  }
  return y;
}

TEST(SegmentSum, BothReductionsMatchTheDefinition) {
  for (const Case& c : cases()) {
    ASSERT_TRUE(c.items() == 0 || c.items() % 7 != 0);
    for (const bool permuted : {false, true}) {
      for (const std::size_t width : {1U, 32U, 69U}) {
        SCOPED_TRACE(fmt::format("{} rows, {} items, width {}, permuted {}", c.rows(), c.items(), width, permuted));
        const auto x = random_matrix<double>(c.items(), width, 3);
        const auto expected = expected_sum(c, permuted, values_of(x), width);
        const auto csr = test::nan_matrix<double>(c.rows(), width), scatter = test::nan_matrix<double>(c.rows(), width);
        SegmentSum<double>::forward(Exec(), Reduction::csr, c.segments(permuted), x, csr);
        SegmentSum<double>::forward(Exec(), Reduction::scatter, c.segments(permuted), x, scatter);
        Kokkos::fence();
        EXPECT_EQ(values_of(csr), expected);  // the same order of additions: the same bits
        EXPECT_LE(test::relative_difference(values_of(scatter), expected), 1e-14);
      }
    }
  }
}

TEST(SegmentSum, BackwardIsTheAdjoint) {
  for (const Case& c : cases()) {
    for (const bool permuted : {false, true}) {
      for (const Reduction reduction : {Reduction::csr, Reduction::scatter}) {
        SCOPED_TRACE(fmt::format("{} rows, {} items, permuted {}", c.rows(), c.items(), permuted));
        const Segments s = c.segments(permuted);
        test::expect_adjoint([&](View2<double> x, View2<double> y) { SegmentSum<double>::forward(Exec(), reduction, s, x, y); },
                             [&](View2<double> dy, View2<double> dx) { SegmentSum<double>::backward(Exec(), s, dy, dx); },
                             random_matrix<double>(c.items(), 33, 4), c.rows(), 33);
      }
    }
  }
}

TEST(SegmentMean, MatchesTheDefinitionAndItsAdjoint) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(fmt::format("{} rows, {} items", c.rows(), c.items()));
    const std::size_t width = 37;
    const auto row_ptr = indices(c.row_ptr);
    const auto x = random_matrix<double>(c.items(), width, 5);
    const auto y = test::nan_matrix<double>(c.rows(), width);
    SegmentMean<double>::forward(Exec(), row_ptr, x, y);
    Kokkos::fence();
    auto expected = expected_sum(c, false, values_of(x), width);
    for (std::size_t n = 0; n < c.rows(); ++n) {
      const int size = std::max(1, c.row_ptr[n + 1] - c.row_ptr[n]);
      for (std::size_t k = 0; k < width; ++k) expected[n * width + k] /= size;
    }
    EXPECT_LE(test::relative_difference(values_of(y), expected), 1e-15);
    test::expect_adjoint([&](View2<double> a, View2<double> b) { SegmentMean<double>::forward(Exec(), row_ptr, a, b); },
                         [&](View2<double> a, View2<double> b) { SegmentMean<double>::backward(Exec(), row_ptr, a, b); }, x, c.rows(), width);
  }
}

TEST(SegmentSum, RepeatsBitByBit) {
  const Case c = cases().back();
  const auto x = random_matrix<float>(c.items(), 64, 6);
  std::vector<double> first;
  for (int k = 0; k < 3; ++k) {
    const auto y = test::nan_matrix<float>(c.rows(), 64);
    SegmentSum<float>::forward(Exec(), Reduction::csr, c.segments(true), x, y);
    Kokkos::fence();
    if (k == 0) first = values_of(y);
    EXPECT_EQ(values_of(y), first);
  }
}

TEST(SegmentSum, RefusesShapesThatDoNotFit) {
  const Case c = case_of({2, 3});
  const auto x = random_matrix<double>(5, 4, 1);
  for (const Reduction reduction : {Reduction::csr, Reduction::scatter}) {
    EXPECT_THROW(SegmentSum<double>::forward(Exec(), reduction, c.segments(false), x, test::nan_matrix<double>(2, 5)), Error);
  }
  EXPECT_THROW(SegmentSum<double>::forward(Exec(), Reduction::csr, c.segments(false), x, test::nan_matrix<double>(3, 4)), Error);
  EXPECT_THROW(SegmentSum<double>::backward(Exec(), c.segments(false), test::nan_matrix<double>(3, 4), x), Error);
}

}  // namespace
}  // namespace gnn_hpc
