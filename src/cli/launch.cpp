// SPDX-License-Identifier: Apache-2.0
#include "cli/launch.hpp"

#include "base/config.hpp"
#include "base/restart_process.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <sched.h>
#include <unistd.h>

namespace gnn_hpc {

int launcher_rank() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID"}) {
    if (const char* text = std::getenv(name)) {
      int rank = 0;
      if (std::from_chars(text, text + std::strlen(text), rank).ec == std::errc()) return rank;
    }
  }
  return 0;
}

std::vector<std::string> kokkos_arguments(const std::vector<std::string>& user, [[maybe_unused]] const Comm& comm) {
  std::vector<std::string> out = user;
  const auto given = [&](std::string_view option, const char* variable) {
    return std::getenv(variable) != nullptr || std::any_of(user.begin(), user.end(), [&](const std::string& a) { return a.starts_with(option); });
  };
  if constexpr (!kExecIsHost) {
    const int devices = Kokkos::num_devices();
    if (devices > 0 && !given("--kokkos-device-id", "KOKKOS_DEVICE_ID") && !given("--kokkos-map-device-id-by", "KOKKOS_MAP_DEVICE_ID_BY")) {
      out.push_back(fmt::format("--kokkos-device-id={}", comm.local_rank() % devices));
    }
  }
  if (!given("--kokkos-disable-warnings", "KOKKOS_DISABLE_WARNINGS")) out.push_back("--kokkos-disable-warnings");
  return out;
}

LaunchLayout current_layout(const Comm& comm) {
  LaunchLayout layout;
  layout.ranks = comm.size();
  layout.ranks_here = comm.local_size();
  layout.threads = kExecIsHost ? Exec().concurrency() : 1;
  layout.cores_online = static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  const cpu_set_t allowed = allowed_cores();
  layout.cores_allowed = CPU_COUNT(&allowed) > 0 ? CPU_COUNT(&allowed) : layout.cores_online;
  layout.cores_online = std::max(layout.cores_online, layout.cores_allowed);
  if (!kExecIsHost) {
    layout.devices = Kokkos::num_devices();
    layout.device = Kokkos::device_id();
  }
  // Ranks of one job are launched alike; the worst of them speaks for all.
  std::int64_t worst[] = {layout.threads, -layout.cores_allowed, layout.ranks_here};
  comm.max(std::span<std::int64_t>(worst));
  layout.threads = static_cast<int>(worst[0]);
  layout.cores_allowed = static_cast<int>(-worst[1]);
  layout.ranks_here = static_cast<int>(worst[2]);
  return layout;
}

std::vector<std::string> launch_warnings(const LaunchLayout& layout, bool threads_bound) {
  std::vector<std::string> out;
  if (layout.devices > 0) {
    if (layout.ranks_here > layout.devices) {
      out.push_back(fmt::format("{} ranks share {} devices on this machine; start one rank a device (Slurm: --gpus-per-task=1)", layout.ranks_here,
                                layout.devices));
    }
    return out;
  }
  if (layout.threads > layout.cores_allowed) {
    out.push_back(
        fmt::format("{} threads a rank on {} cores allowed to it; set OMP_NUM_THREADS={} or give the rank more cores "
                    "(mpirun --map-by slot:PE={}, srun -c {})",
                    layout.threads, layout.cores_allowed, layout.cores_allowed, layout.threads, layout.threads));
  } else if (layout.ranks_here * layout.threads > layout.cores_online) {
    out.push_back(fmt::format("{} ranks with {} threads each on a machine with {} cores; set OMP_NUM_THREADS={} or start fewer ranks",
                              layout.ranks_here, layout.threads, layout.cores_online, std::max(1, layout.cores_online / layout.ranks_here)));
  } else if (layout.ranks_here > 1 && layout.threads > 1 && !threads_bound && layout.cores_allowed == layout.cores_online) {
    out.push_back(
        fmt::format("{} ranks on one machine and their threads are bound to no cores; set OMP_PROC_BIND=spread "
                    "OMP_PLACES=threads, or let the launcher bind (mpirun --map-by slot:PE={})",
                    layout.ranks_here, layout.threads));
  }
  return out;
}

}  // namespace gnn_hpc
