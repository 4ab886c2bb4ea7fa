// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"

#include <string>
#include <vector>

namespace gnn_hpc {

/// This process among the ranks, as the launcher's environment tells before MPI is started; 0 if it does not.
int launcher_rank();

/// The arguments for Kokkos::initialize: those of the user, plus a device by rank on this machine where neither an option nor
/// the environment (KOKKOS_DEVICE_ID, KOKKOS_MAP_DEVICE_ID_BY) chooses one. Kokkos' own warnings are off: `launch_warnings`
/// says the same once, not once a rank.
std::vector<std::string> kokkos_arguments(const std::vector<std::string>& user, const Comm& comm);

/// How ranks, threads and devices are laid out; the same text on every rank. Collective.
struct LaunchLayout {
  int ranks = 1, ranks_here = 1;
  int threads = 1;        ///< of this rank's backend
  int cores_allowed = 1;  ///< to this process by its affinity mask or OpenMP's places
  int cores_online = 1;   ///< of this machine
  int devices = 0;        ///< GPUs visible here; 0 on a host backend
  int device = -1;
};
LaunchLayout current_layout(const Comm& comm);

/// What is probably wrong with a layout: more threads than cores, several ranks on one device, threads free to wander.
std::vector<std::string> launch_warnings(const LaunchLayout& layout, bool threads_bound);

}  // namespace gnn_hpc
