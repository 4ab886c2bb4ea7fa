// SPDX-License-Identifier: Apache-2.0
#include "base/restart_process.hpp"

#include "base/blas_kernels.hpp"

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <dlfcn.h>
#include <unistd.h>

namespace gnn_hpc {

namespace {

bool is_set(const char* variable) { return std::getenv(variable) != nullptr; }

/// Sets OPENBLAS_CORETYPE where better kernels can be had; false: all is well as it is.
bool choose_blas_kernels() {
  const char* own_choice = std::getenv(kOwnBlasChoice);
  const char* asked = std::getenv("OPENBLAS_CORETYPE");
  if (own_choice == nullptr && asked != nullptr) return false;  // the user's
  const BlasLibrary library = blas_library();
  if (!library.takes_a_choice) return false;
  const std::string better = better_blas_kernels(library.kernels, this_processor(), asked != nullptr ? asked : "");
  if (better.empty()) return false;
  ::setenv(kOwnBlasChoice, library.kernels.c_str(), 0);
  ::setenv("OPENBLAS_CORETYPE", better.c_str(), 1);
  return true;
}

}  // namespace

void start_with_better_settings(char** argv) {
  bool again = false;
  // Read at the first product, so that no second start is needed.
  if (::dlsym(RTLD_DEFAULT, "MKL_Set_Threading_Layer") != nullptr) ::setenv("MKL_THREADING_LAYER", "GNU", 0);
  const bool waits_chosen = is_set("GOMP_SPINCOUNT") || is_set("OMP_WAIT_POLICY");
  const bool places_bind = !is_set("OMP_PROC_BIND") && (is_set("OMP_PLACES") || is_set("GOMP_CPU_AFFINITY"));
  if (!waits_chosen && !places_bind && !threads_are_bound()) {
    ::setenv("GOMP_SPINCOUNT", "3000", 0);
    again = true;
  }
  if (choose_blas_kernels()) again = true;
  if (!again) return;
  // The second start must not inherit the binding of the first one's main thread as its only core.
  const cpu_set_t cores = allowed_cores();
  sched_setaffinity(0, sizeof cores, &cores);
  // Both return only where they cannot. The real path first: it gives the process its name in `ps`.
  std::error_code none;
  ::execv(std::filesystem::read_symlink("/proc/self/exe", none).c_str(), argv);
  ::execv("/proc/self/exe", argv);
}

bool threads_are_bound() {
  const char* bind = std::getenv("OMP_PROC_BIND");
  return bind != nullptr && *bind != '\0' && std::string_view(bind) != "false" && std::string_view(bind) != "FALSE";
}

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

}  // namespace gnn_hpc
