// SPDX-License-Identifier: Apache-2.0
#include "cli/launch.hpp"
#include "cli/machine.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

namespace gnn_hpc {
namespace {

TEST(Launch, WarnsOfOversubscription) {
  LaunchLayout layout{.ranks = 4, .ranks_here = 4, .threads = 8, .cores_allowed = 16, .cores_online = 16};
  const auto warnings = launch_warnings(layout, true);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_EQ(warnings[0], "4 ranks with 8 threads each on a machine with 16 cores; set OMP_NUM_THREADS=4 or start fewer ranks");
  layout.threads = 4;
  EXPECT_TRUE(launch_warnings(layout, true).empty());
}

TEST(Launch, WarnsOfThreadsSqueezedOnOneCore) {
  // `mpirun -n 2` binds a rank to one core; OMP_NUM_THREADS=2 then shares it.
  const LaunchLayout layout{.ranks = 2, .ranks_here = 2, .threads = 2, .cores_allowed = 1, .cores_online = 4};
  const auto warnings = launch_warnings(layout, true);
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_NE(warnings[0].find("2 threads a rank on 1 cores allowed to it; set OMP_NUM_THREADS=1"), std::string::npos) << warnings[0];
}

TEST(Launch, WarnsOfThreadsBoundToNothing) {
  LaunchLayout layout{.ranks = 2, .ranks_here = 2, .threads = 4, .cores_allowed = 8, .cores_online = 8};
  ASSERT_EQ(launch_warnings(layout, false).size(), 1U);
  EXPECT_NE(launch_warnings(layout, false)[0].find("OMP_PROC_BIND"), std::string::npos);
  EXPECT_TRUE(launch_warnings(layout, true).empty());
  layout.cores_allowed = 4;  // the launcher has bound the ranks
  EXPECT_TRUE(launch_warnings(layout, false).empty());
  EXPECT_TRUE(launch_warnings({.ranks = 1, .ranks_here = 1, .threads = 8, .cores_allowed = 8, .cores_online = 8}, false).empty());
}

TEST(Launch, WarnsOfRanksThatShareADevice) {
  LaunchLayout layout{.ranks = 8, .ranks_here = 8, .threads = 1, .cores_allowed = 1, .cores_online = 64, .devices = 4, .device = 0};
  ASSERT_EQ(launch_warnings(layout, false).size(), 1U);
  layout.ranks_here = 4;
  EXPECT_TRUE(launch_warnings(layout, false).empty());
}

TEST(Launch, KokkosArgumentsKeepTheUsersChoice) {
  const auto words = kokkos_arguments({"--kokkos-device-id=3", "--kokkos-disable-warnings=no"}, Comm());
  EXPECT_EQ(words, (std::vector<std::string>{"--kokkos-device-id=3", "--kokkos-disable-warnings=no"}));
  const auto plain = kokkos_arguments({}, Comm());
  EXPECT_NE(std::find(plain.begin(), plain.end(), "--kokkos-disable-warnings"), plain.end());
}

TEST(Launch, RankOfTheLauncher) {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID"}) unsetenv(name);
  EXPECT_EQ(launcher_rank(), 0);
  setenv("SLURM_PROCID", "5", 1);
  EXPECT_EQ(launcher_rank(), 5);
  setenv("PMI_RANK", "2", 1);
  EXPECT_EQ(launcher_rank(), 2);
  unsetenv("SLURM_PROCID");
  unsetenv("PMI_RANK");
}

TEST(Launch, ProductsAtLessThanHalfOfTheSureRateAreWarnedOf) {
  Processor processor;
  processor.flags = {"sse2", "avx", "avx2", "fma", "avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"};
  processor.ghz = 2.3;
  // One 512-bit multiply-add a clock: 16 x 2 x 2.3 x 2 = 147 GFLOP/s on two cores.
  const auto slow = slow_products(56.0, processor, 2);
  ASSERT_TRUE(slow) << "kernels for SSE on a processor with AVX-512";
  EXPECT_NE(slow->find("products reach 56 GFLOP/s float, less than half of what 2 core(s) with AVX-512 at 2.30 GHz surely can do (147)"),
            std::string::npos)
      << *slow;
  EXPECT_TRUE(slow_products(73.0, processor, 2));
  EXPECT_FALSE(slow_products(74.0, processor, 2));
  EXPECT_FALSE(slow_products(223.0, processor, 2));
  processor.flags = {"sse2", "avx", "avx2", "fma"};  // two 256-bit units: the same
  EXPECT_TRUE(slow_products(73.0, processor, 2));
  processor.flags = {"sse2", "avx"};
  EXPECT_TRUE(slow_products(36.0, processor, 2));
  EXPECT_FALSE(slow_products(37.0, processor, 2));
  processor.flags = {"sse2"};
  EXPECT_FALSE(slow_products(19.0, processor, 2));
}

TEST(Launch, ARateThatIsNotKnownIsNotWarnedOf) {
  Processor processor;
  processor.flags = {"sse2", "avx", "avx2", "fma"};
  EXPECT_FALSE(slow_products(0.1, processor, 2)) << "no clock";
  processor.flags = {"riscv"};
  processor.ghz = 2.0;
  EXPECT_FALSE(slow_products(0.1, processor, 2)) << "no instructions";
}

TEST(Launch, LayoutOfThisProcess) {
  const LaunchLayout layout = current_layout(Comm());
  EXPECT_EQ(layout.ranks, 1);
  EXPECT_GE(layout.threads, 1);
  EXPECT_GE(layout.cores_allowed, 1);
  EXPECT_GE(layout.cores_online, layout.cores_allowed);
}

}  // namespace
}  // namespace gnn_hpc
