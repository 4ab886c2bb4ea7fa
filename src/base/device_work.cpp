// SPDX-License-Identifier: Apache-2.0
#include "base/device_work.hpp"

#include "base/config.hpp"

#include <atomic>
#include <string_view>

namespace gnn_hpc {

namespace {

std::atomic<std::int64_t> g_launches{0}, g_fences{0}, g_copies{0}, g_bytes{0};

void count_launch(const char*, std::uint32_t, std::uint64_t*) { ++g_launches; }
/// Kokkos waits before each call of a tool unless told otherwise: not the program's waits.
void count_fence(const char* name, std::uint32_t, std::uint64_t*) {
  if (std::string_view(name).find("Profile Tool Fence") == std::string_view::npos) ++g_fences;
}
void count_copy(Kokkos::Profiling::SpaceHandle, const char*, const void*, Kokkos::Profiling::SpaceHandle, const char*, const void*,
                std::uint64_t bytes) {
  ++g_copies;
  g_bytes += static_cast<std::int64_t>(bytes);
}

}  // namespace

DeviceWork::DeviceWork() {
  namespace tools = Kokkos::Tools::Experimental;
  for (std::atomic<std::int64_t>* count : {&g_launches, &g_fences, &g_copies, &g_bytes}) *count = 0;
  tools::set_begin_parallel_for_callback(count_launch);
  tools::set_begin_parallel_reduce_callback(count_launch);
  tools::set_begin_parallel_scan_callback(count_launch);
  tools::set_begin_fence_callback(count_fence);
  tools::set_begin_deep_copy_callback(count_copy);
}

DeviceWork::~DeviceWork() {
  namespace tools = Kokkos::Tools::Experimental;
  tools::set_begin_parallel_for_callback(nullptr);
  tools::set_begin_parallel_reduce_callback(nullptr);
  tools::set_begin_parallel_scan_callback(nullptr);
  tools::set_begin_fence_callback(nullptr);
  tools::set_begin_deep_copy_callback(nullptr);
}

DeviceWork::Counts DeviceWork::counts() const { return {g_launches, g_fences, g_copies, g_bytes}; }

}  // namespace gnn_hpc
