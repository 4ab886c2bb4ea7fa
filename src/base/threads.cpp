// SPDX-License-Identifier: Apache-2.0
#include "base/threads.hpp"

#include "base/config.hpp"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

namespace gnn_hpc {

namespace {

struct Processors {
  cpu_set_t set;
  int count = 0;
};

std::atomic<const Processors*> g_known{nullptr};

/// A free function: extended lambdas of the device compilers may not stand in one with a deduced type.
void collect(cpu_set_t& all) {
  using Host = Kokkos::DefaultHostExecutionSpace;
  std::mutex mutex;
  const auto add_own = [&mutex, &all]() {
    cpu_set_t own;
    CPU_ZERO(&own);
    if (sched_getaffinity(0, sizeof own, &own) != 0) return;
    const std::lock_guard<std::mutex> lock(mutex);
    CPU_OR(&all, &all, &own);
  };
  add_own();
  const int threads = Host().concurrency();
  if (threads > 1) Kokkos::parallel_for("gnn_hpc::available_processors", Kokkos::RangePolicy<Host>(0, threads), [&](int) { add_own(); });
  Host().fence();
}

}  // namespace

int available_processors() {
  static std::once_flag once;
  static Processors found;
  std::call_once(once, [] {
    CPU_ZERO(&found.set);
    collect(found.set);
    found.count = std::max(1, CPU_COUNT(&found.set));
    g_known.store(&found);
  });
  return found.count;
}

void use_available_processors() noexcept {
  if (const Processors* known = g_known.load()) sched_setaffinity(0, sizeof known->set, &known->set);
}

}  // namespace gnn_hpc
