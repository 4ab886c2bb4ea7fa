// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sched.h>

namespace gnn_hpc {

/// Two settings that libraries read from the environment when they are loaded are chosen here where the user has not: the program sets
/// them and starts itself once more. Call before anything else, in test programs too: their numbers are to be the program's.
///   GOMP_SPINCOUNT     Threads that wait for each other should not do so by spinning for long: where other programs use the same cores,
///                      a spinning thread keeps the one it waits for from running (measured: docs/performance.md, section "Waiting
///                      threads"). Not where the environment says how threads wait, nor where it binds them: whoever binds has the
///                      cores alone.
///   MKL_THREADING_LAYER  where a site's MKL is used as one library (mkl_rt): threads of the OpenMP that Kokkos uses, not of a second one
///   OPENBLAS_CORETYPE  see `better_blas_kernels`; once more for each class of kernels that the library turns out not to have
void start_with_better_settings(char** argv);

/// Set beside OPENBLAS_CORETYPE where the program chose it: the kernels that the library had chosen itself.
inline constexpr const char* kOwnBlasChoice = "GNN_HPC_OWN_BLAS_CHOICE";

/// True if OMP_PROC_BIND is set to bind.
bool threads_are_bound();

/// Cores given to this process, also where an OpenMP runtime has bound its main thread to one of them since. Asks the runtime that is
/// loaded, if any: BLAS may bring one into a build without OpenMP.
cpu_set_t allowed_cores();

}  // namespace gnn_hpc
