// SPDX-License-Identifier: Apache-2.0
#include "cli/launch.hpp"
#include "cli/blas_kernels.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

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

TEST(Launch, NarrowKernelsWhereWideOnesRunInHalves) {
  const auto kernels = [](const std::string& chosen, const std::string& vendor, int family, const std::string& flags) {
    std::istringstream cpuinfo(fmt::format("processor\t: 0\nvendor_id\t: {}\ncpu family\t: {}\nmodel\t\t: 17\nflags\t\t: fpu {} sse\n\n"
                                           "processor\t: 1\nvendor_id\t: Other\n", vendor, family, flags));
    return better_blas_kernels(chosen, cpuinfo);
  };
  EXPECT_EQ(kernels("Cooperlake", "AuthenticAMD", 25, "avx512f"), "Haswell");
  EXPECT_EQ(kernels("SkylakeX", "AuthenticAMD", 25, "avx2 avx512f"), "Haswell");
  EXPECT_EQ(kernels("Zen", "AuthenticAMD", 25, "avx512f"), "");
  EXPECT_EQ(kernels("SkylakeX", "AuthenticAMD", 26, "avx512f"), "");
  EXPECT_EQ(kernels("SkylakeX", "GenuineIntel", 6, "avx512f"), "");
  EXPECT_EQ(kernels("SkylakeX", "AuthenticAMD", 25, "avx512fnothing"), "");
  EXPECT_EQ(kernels("", "AuthenticAMD", 25, "avx512f"), "");
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
