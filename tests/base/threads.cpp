// SPDX-License-Identifier: Apache-2.0
#include "base/threads.hpp"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

namespace gnn_hpc {
namespace {

TEST(Threads, ANewThreadMayRunOnAllProcessors) {
  const int processors = available_processors();
  ASSERT_GE(processors, 1);
  EXPECT_EQ(available_processors(), processors);
  // What a runtime that binds its threads does to the main thread, and what its children inherit.
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &before)) {
      CPU_SET(cpu, &one);
      break;
    }
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  int inherited = 0, widened = 0;
  std::thread([&] {
    cpu_set_t own;
    sched_getaffinity(0, sizeof own, &own);
    inherited = CPU_COUNT(&own);
    use_available_processors();
    sched_getaffinity(0, sizeof own, &own);
    widened = CPU_COUNT(&own);
  }).join();
  sched_setaffinity(0, sizeof before, &before);
  EXPECT_EQ(inherited, 1);
  EXPECT_EQ(widened, processors);
}

}  // namespace
}  // namespace gnn_hpc
