// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace gnn_hpc {

/// What the program asks of the execution space while this object lives, counted by Kokkos' profiling callbacks in process: on a GPU each launch
/// costs some microseconds whatever it does. Products go to a BLAS and count in `matmul_products()`. One object at a time, and not where
/// lanes launch side by side (chunks of rows on a CPU): before each call of a tool Kokkos waits for all threads, inside a parallel region for ever.
class DeviceWork {
 public:
  struct Counts {
    std::int64_t launches = 0;      ///< parallel_for, parallel_reduce, parallel_scan
    std::int64_t fences = 0;        ///< waits of the host, those inside copies included
    std::int64_t copies = 0;        ///< deep_copy between two Views
    std::int64_t copied_bytes = 0;  ///< by them
  };

  DeviceWork();
  ~DeviceWork();
  DeviceWork(const DeviceWork&) = delete;
  DeviceWork& operator=(const DeviceWork&) = delete;

  Counts counts() const;
};

}  // namespace gnn_hpc
