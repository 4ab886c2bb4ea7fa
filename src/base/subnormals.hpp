// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace gnn_hpc {

// Subnormal numbers are those whose size is below std::numeric_limits<T>::min(), about 1e-38 in single and 1e-308 in double precision. Many
// processors compute with them in microcode, tens of times slower than with others (measured: docs/performance.md, section "Subnormal
// numbers"), and nothing that is trained here depends on them. So every thread that computes takes them for zero, as operands and as results:
// the threads of the host's parallel pool, which lanes and a BLAS with OpenMP use too, and those that are started by a thread that does
// (a new thread inherits this state). All of them or none: a sum must not depend on the thread that forms it. Only graphs are built with
// them (`KeepSubnormals`), so that a cache is the same whatever a run does. Files are read and written bit by bit or with integers: a
// subnormal number in one stays what it is. On a GPU kernels do what its compiler says; this is about the host.

/// True if this program knows how to flush on this kind of processor (x86-64, AArch64).
bool can_flush_subnormals() noexcept;

/// From now on the calling thread takes subnormal numbers for zero, or not. x86-64: bits FTZ and DAZ of MXCSR; AArch64: FZ of FPCR.
void flush_subnormals(bool on) noexcept;
/// What the calling thread does, found out by computing: true if subnormal operands and results are zero in both precisions.
bool flushes_subnormals() noexcept;

/// `flush_subnormals` on the calling thread and all threads of the host's parallel pool. Call from the main thread, outside of parallel
/// regions, after Kokkos was initialised.
void flush_subnormals_on_all_threads(bool on);
/// Threads of the pool, the calling one included, and those of them that flush.
struct FlushingThreads {
  int all = 0, flushing = 0;
};
FlushingThreads count_flushing_threads();

/// While this lives, the calling thread, and threads that it starts, compute with subnormal numbers as IEEE 754 says.
class KeepSubnormals {
 public:
  KeepSubnormals() noexcept : flushed_(flushes_subnormals()) { flush_subnormals(false); }
  ~KeepSubnormals() { flush_subnormals(flushed_); }
  KeepSubnormals(const KeepSubnormals&) = delete;
  KeepSubnormals& operator=(const KeepSubnormals&) = delete;

 private:
  bool flushed_;
};

}  // namespace gnn_hpc
