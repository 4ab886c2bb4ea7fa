// SPDX-License-Identifier: Apache-2.0
#include "base/device_work.hpp"

#include "base/config.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

void fill(const View1<double>& x) {
  Kokkos::parallel_for(
      "fill", Rows(Exec(), 0, x.extent_int(0)), KOKKOS_LAMBDA(const int i) { x(i) = i; });
}

double sum_of(const View1<double>& x) {
  double sum = 0.0;
  Kokkos::parallel_reduce(
      "sum", Rows(Exec(), 0, x.extent_int(0)), KOKKOS_LAMBDA(const int i, double& s) { s += x(i); }, sum);
  return sum;
}

TEST(DeviceWork, CountsWhatHappensWhileItLives) {
  const View1<double> a("a", 100), b("b", 100);
  fill(a);
  DeviceWork::Counts counts;
  {
    const DeviceWork work;
    fill(a);
    fill(b);
    EXPECT_EQ(sum_of(a), 4950.0);
    EXPECT_EQ(work.counts().launches, 3);
    const auto fences = work.counts().fences;
    Exec().fence("test");
    EXPECT_EQ(work.counts().fences, fences + 1);
    Kokkos::deep_copy(b, a);
    counts = work.counts();
  }
  EXPECT_EQ(counts.copies, 1);
  EXPECT_EQ(counts.copied_bytes, 800);
  fill(a);
  EXPECT_EQ(DeviceWork().counts().launches, 0);
}

}  // namespace
}  // namespace gnn_hpc
