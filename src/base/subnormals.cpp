// SPDX-License-Identifier: Apache-2.0
#include "base/subnormals.hpp"

#include "base/config.hpp"

#include <atomic>
#include <cstdint>
#include <limits>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace gnn_hpc {

namespace {

/// True if halves of the smallest normal numbers, and sums that start from such halves, are zero. `volatile`: computed here and now.
template <class T>
bool flushes() noexcept {
  volatile T smallest = std::numeric_limits<T>::min(), half = T(0.5), subnormal = std::numeric_limits<T>::denorm_min();
  volatile T large = T(1) / std::numeric_limits<T>::epsilon();
  volatile T result = smallest * half, from_operand = subnormal * large;
  return result == T(0) && from_operand == T(0);
}

/// body() once on every thread of the host's pool. A free function: extended lambdas of the device compilers may not stand in one with a
/// deduced type.
template <class Body>
void on_each_thread(const Body& body) {
  using Host = Kokkos::DefaultHostExecutionSpace;
  Kokkos::parallel_for("gnn_hpc::subnormals", Kokkos::RangePolicy<Host>(0, Host().concurrency()), [&](int) { body(); });
  Host().fence();
}

}  // namespace

bool can_flush_subnormals() noexcept {
#if defined(__x86_64__) || defined(__aarch64__)
  return true;
#else
  return false;
#endif
}

void flush_subnormals([[maybe_unused]] bool on) noexcept {
#if defined(__x86_64__)
  constexpr unsigned kFlush = 0x8000U | 0x0040U;  // FTZ, DAZ
  const unsigned state = _mm_getcsr();
  _mm_setcsr(on ? state | kFlush : state & ~kFlush);
#elif defined(__aarch64__)
  constexpr std::uint64_t kFlush = std::uint64_t{1} << 24;  // FZ
  std::uint64_t state = 0;
  asm volatile("mrs %0, fpcr" : "=r"(state));
  state = on ? state | kFlush : state & ~kFlush;
  asm volatile("msr fpcr, %0" : : "r"(state));
#endif
}

bool flushes_subnormals() noexcept { return flushes<float>() && flushes<double>(); }

void flush_subnormals_on_all_threads(bool on) {
  flush_subnormals(on);  // first: threads that the pool starts from now on inherit it
  on_each_thread([on] { flush_subnormals(on); });
}

FlushingThreads count_flushing_threads() {
  std::atomic<int> all{0}, flushing{0};
  on_each_thread([&] {
    ++all;
    if (flushes_subnormals()) ++flushing;
  });
  return {all.load(), flushing.load()};
}

}  // namespace gnn_hpc
