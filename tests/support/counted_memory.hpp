// SPDX-License-Identifier: Apache-2.0
// Counts the bytes that `new` has given out, and their peak. Replaces the operators: include it in one file of a test program.
#pragma once

#include <malloc.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace gnn_hpc::test {

inline std::atomic<std::size_t> bytes_now{0}, bytes_peak{0};

inline void* counted_new(std::size_t size) {
  void* p = std::malloc(size > 0 ? size : 1);
  if (p == nullptr) throw std::bad_alloc();
  const std::size_t now = bytes_now += ::malloc_usable_size(p);
  for (std::size_t peak = bytes_peak; now > peak && !bytes_peak.compare_exchange_weak(peak, now);) {
  }
  return p;
}

inline void counted_delete(void* p) noexcept {
  if (p == nullptr) return;
  bytes_now -= ::malloc_usable_size(p);
  std::free(p);
}

/// Most bytes that were in use at once during `work`, above those before it.
template <class Work>
std::size_t peak_bytes(const Work& work) {
  const std::size_t before = bytes_now;
  bytes_peak = before;
  work();
  return bytes_peak - before;
}

}  // namespace gnn_hpc::test

void* operator new(std::size_t size) { return gnn_hpc::test::counted_new(size); }
void* operator new[](std::size_t size) { return gnn_hpc::test::counted_new(size); }
void operator delete(void* p) noexcept { gnn_hpc::test::counted_delete(p); }
void operator delete[](void* p) noexcept { gnn_hpc::test::counted_delete(p); }
void operator delete(void* p, std::size_t) noexcept { gnn_hpc::test::counted_delete(p); }
void operator delete[](void* p, std::size_t) noexcept { gnn_hpc::test::counted_delete(p); }
