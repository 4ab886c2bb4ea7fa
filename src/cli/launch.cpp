// SPDX-License-Identifier: Apache-2.0
#include "cli/launch.hpp"

#include "base/config.hpp"
#include "cli/blas_kernels.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

#include <dlfcn.h>
#include <sched.h>
#include <unistd.h>

namespace gnn_hpc {

namespace {

/// Cores given to this process, also where an OpenMP runtime has bound its main thread to one of them since. Asks the runtime that is
/// loaded, if any: BLAS may bring one into a build without OpenMP.
cpu_set_t allowed_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  const auto num_places = reinterpret_cast<int (*)()>(::dlsym(RTLD_DEFAULT, "omp_get_num_places"));
  const auto place_size = reinterpret_cast<int (*)(int)>(::dlsym(RTLD_DEFAULT, "omp_get_place_num_procs"));
  const auto place_ids = reinterpret_cast<void (*)(int, int*)>(::dlsym(RTLD_DEFAULT, "omp_get_place_proc_ids"));
  if (num_places != nullptr && place_size != nullptr && place_ids != nullptr) {
    std::vector<int> ids;
    for (int place = 0; place < num_places(); ++place) {
      ids.resize(static_cast<std::size_t>(place_size(place)));
      place_ids(place, ids.data());
      for (const int id : ids) CPU_SET(static_cast<std::size_t>(id), &cores);
    }
  }
  if (CPU_COUNT(&cores) == 0) sched_getaffinity(0, sizeof cores, &cores);
  return cores;
}

bool is_set(const char* variable) { return std::getenv(variable) != nullptr; }

}  // namespace

void start_with_better_settings(char** argv) {
  bool again = false;
  const bool waits_chosen = is_set("GOMP_SPINCOUNT") || is_set("OMP_WAIT_POLICY");
  const bool places_bind = !is_set("OMP_PROC_BIND") && (is_set("OMP_PLACES") || is_set("GOMP_CPU_AFFINITY"));
  if (!waits_chosen && !places_bind && !threads_are_bound()) {
    ::setenv("GOMP_SPINCOUNT", "3000", 0);
    again = true;
  }
  if (!is_set("OPENBLAS_CORETYPE")) {
    std::ifstream cpuinfo("/proc/cpuinfo");
    const std::string kernels = better_blas_kernels(blas_kernels(), cpuinfo);
    if (!kernels.empty()) {
      ::setenv("OPENBLAS_CORETYPE", kernels.c_str(), 0);
      again = true;
    }
  }
  if (!again) return;
  // The second start must not inherit the binding of the first one's main thread as its only core.
  const cpu_set_t cores = allowed_cores();
  sched_setaffinity(0, sizeof cores, &cores);
  // Both return only where they cannot. The real path first: it gives the process its name in `ps`.
  std::error_code none;
  ::execv(std::filesystem::read_symlink("/proc/self/exe", none).c_str(), argv);
  ::execv("/proc/self/exe", argv);
}

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
    return std::getenv(variable) != nullptr ||
           std::any_of(user.begin(), user.end(), [&](const std::string& a) { return a.starts_with(option); });
  };
  if constexpr (!kExecIsHost) {
    const int devices = Kokkos::num_devices();
    if (devices > 0 && !given("--kokkos-device-id", "KOKKOS_DEVICE_ID") &&
        !given("--kokkos-map-device-id-by", "KOKKOS_MAP_DEVICE_ID_BY")) {
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

bool threads_are_bound() {
  const char* bind = std::getenv("OMP_PROC_BIND");
  return bind != nullptr && *bind != '\0' && std::string_view(bind) != "false" && std::string_view(bind) != "FALSE";
}

std::vector<std::string> launch_warnings(const LaunchLayout& layout, bool threads_bound) {
  std::vector<std::string> out;
  if (layout.devices > 0) {
    if (layout.ranks_here > layout.devices) {
      out.push_back(fmt::format("{} ranks share {} devices on this machine; start one rank a device (Slurm: --gpus-per-task=1)",
                                layout.ranks_here, layout.devices));
    }
    return out;
  }
  if (layout.threads > layout.cores_allowed) {
    out.push_back(fmt::format("{} threads a rank on {} cores allowed to it; set OMP_NUM_THREADS={} or give the rank more cores "
                              "(mpirun --map-by slot:PE={}, srun -c {})",
                              layout.threads, layout.cores_allowed, layout.cores_allowed, layout.threads, layout.threads));
  } else if (layout.ranks_here * layout.threads > layout.cores_online) {
    out.push_back(fmt::format("{} ranks with {} threads each on a machine with {} cores; set OMP_NUM_THREADS={} or start fewer ranks",
                              layout.ranks_here, layout.threads, layout.cores_online,
                              std::max(1, layout.cores_online / layout.ranks_here)));
  } else if (layout.ranks_here > 1 && layout.threads > 1 && !threads_bound && layout.cores_allowed == layout.cores_online) {
    out.push_back(fmt::format("{} ranks on one machine and their threads are bound to no cores; set OMP_PROC_BIND=spread "
                              "OMP_PLACES=threads, or let the launcher bind (mpirun --map-by slot:PE={})",
                              layout.ranks_here, layout.threads));
  }
  return out;
}

}  // namespace gnn_hpc
