// SPDX-License-Identifier: Apache-2.0
#pragma once

// The only file that may name a backend, a layout or an index width.

#include <Kokkos_Core.hpp>

#include <climits>
#include <cstdint>
#include <type_traits>

namespace gnn_hpc {

/// One device per build: an application, not a library.
using Exec = Kokkos::DefaultExecutionSpace;
using Memory = Exec::memory_space;
using Team = Kokkos::TeamPolicy<Exec>::member_type;

/// Rows are items, columns are channels; always row-major, on every backend.
template <class T>
using View1 = Kokkos::View<T*, Kokkos::LayoutRight, Memory>;
template <class T>
using View2 = Kokkos::View<T**, Kokkos::LayoutRight, Memory>;
template <class T>
using View3 = Kokkos::View<T***, Kokkos::LayoutRight, Memory>;

/// The same shapes in ordinary host memory.
template <class T>
using HostView1 = Kokkos::View<T*, Kokkos::LayoutRight, Kokkos::HostSpace>;
template <class T>
using HostView2 = Kokkos::View<T**, Kokkos::LayoutRight, Kokkos::HostSpace>;

using Rows = Kokkos::RangePolicy<Exec, Kokkos::IndexType<int>>;
/// On GPUs the default tile runs the first index fastest; our Views are LayoutRight, so the last one must.
using RowMajor2 = Kokkos::MDRangePolicy<Exec, Kokkos::Rank<2, Kokkos::Iterate::Right, Kokkos::Iterate::Right>, Kokkos::IndexType<int>>;
using RowMajor3 = Kokkos::MDRangePolicy<Exec, Kokkos::Rank<3, Kokkos::Iterate::Right, Kokkos::Iterate::Right>, Kokkos::IndexType<int>>;

/// True where kernels run on the processor that runs the program: Views are its pointers and no transfer is needed. Asks for the execution space:
/// memory that both reach (GH200, MI300A) does not make a GPU a host. False in the preset `device`, which takes on a CPU every branch that a GPU
/// takes, so that tests reach them.
#if defined(GNN_HPC_DEVICE_PATH)
inline constexpr bool kExecIsHost = false;
#else
inline constexpr bool kExecIsHost = std::is_same_v<Exec, Kokkos::DefaultHostExecutionSpace>;
#endif

/// Threads of a team: Kokkos' choice for the backend (one on a CPU). In the preset `device` two where there are two, so that a missing barrier or
/// a race between the threads of a team can show.
#if defined(GNN_HPC_DEVICE_PATH)
inline int team_size() { return Exec().concurrency() > 1 ? 2 : 1; }
#else
inline Kokkos::AUTO_t team_size() { return {}; }
#endif

/// Where the chain of operations on one chunk of rows runs. On a CPU one thread takes a chunk from end to end, so that activations
/// stay in its second-level cache between operations and no thread waits for another; a GPU wants everything at once.
using ChunkExec = std::conditional_t<kExecIsHost, Kokkos::Serial, Exec>;
using ChunkTeam = Kokkos::TeamPolicy<ChunkExec>::member_type;
/// Rows of such a chunk.
inline constexpr int kChunkRows = kExecIsHost ? 192 : INT_MAX;

// Exec and ChunkExec are one type: on a GPU or its path, and in a build without threads.
#if defined(GNN_HPC_DEVICE_PATH) || defined(KOKKOS_ENABLE_CUDA) || defined(KOKKOS_ENABLE_HIP) || !defined(KOKKOS_ENABLE_OPENMP)
#define GNN_HPC_ONE_EXEC
#endif

#if defined(KOKKOS_ENABLE_CUDA)
inline constexpr const char* kBackendName = "CUDA";
#elif defined(KOKKOS_ENABLE_HIP)
inline constexpr const char* kBackendName = "HIP";
#elif defined(GNN_HPC_DEVICE_PATH)
inline constexpr const char* kBackendName = "OpenMP on the path of devices";
#elif defined(KOKKOS_ENABLE_OPENMP)
inline constexpr const char* kBackendName = "OpenMP";
#else
inline constexpr const char* kBackendName = "Serial";
#endif

}  // namespace gnn_hpc

/// Before a loop without dependencies between its turns: asks a host compiler for vector instructions.
#if defined(_OPENMP) && !defined(__CUDACC__) && !defined(__HIPCC__)
#define GNN_HPC_SIMD _Pragma("omp simd")
#else
#define GNN_HPC_SIMD
#endif
