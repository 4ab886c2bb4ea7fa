// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"

#include <string>
#include <vector>

namespace gnn_hpc {

/// This process among the ranks, as the launcher's environment tells before MPI is started; 0 if it does not.
int launcher_rank();

/// Two settings that libraries read from the environment when they are loaded are chosen here where the user has not: the program sets
/// them and starts itself once more. Call before anything else.
///   GOMP_SPINCOUNT     Threads that wait for each other should not do so by spinning for long: where other programs use the same cores,
///                      a spinning thread keeps the one it waits for from running (measured: docs/performance.md, section "Waiting
///                      threads"). Not where the environment says how threads wait, nor where it binds them: whoever binds has the
///                      cores alone.
///   OPENBLAS_CORETYPE  see `better_blas_kernels`
void start_with_better_settings(char** argv);

/// The arguments for Kokkos::initialize: those of the user, plus a device by rank on this machine where neither an option nor
/// the environment (KOKKOS_DEVICE_ID, KOKKOS_MAP_DEVICE_ID_BY) chooses one. Kokkos' own warnings are off: `launch_warnings`
/// says the same once, not once a rank.
std::vector<std::string> kokkos_arguments(const std::vector<std::string>& user, const Comm& comm);

/// How ranks, threads and devices are laid out; the same text on every rank. Collective.
struct LaunchLayout {
  int ranks = 1, ranks_here = 1;
  int threads = 1;          ///< of this rank's backend
  int cores_allowed = 1;    ///< to this process by its affinity mask or OpenMP's places
  int cores_online = 1;     ///< of this machine
  int devices = 0;          ///< GPUs visible here; 0 on a host backend
  int device = -1;
};
LaunchLayout current_layout(const Comm& comm);

/// What is probably wrong with a layout: more threads than cores, several ranks on one device, threads free to wander.
std::vector<std::string> launch_warnings(const LaunchLayout& layout, bool threads_bound);

/// True if OMP_PROC_BIND is set to bind.
bool threads_are_bound();

}  // namespace gnn_hpc
