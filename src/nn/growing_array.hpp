// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"

#include <cstddef>
#include <vector>

namespace gnn_hpc {

/// Device memory that only grows: a batch's arrays are windows on it, so that steps allocate nothing after warm-up.
template <class T>
class GrowingArray {
 public:
  /// Copies with conversion; the window is valid until the next call. On a device the copy runs on `exec`.
  template <class S>
  View1<T> assign(const Exec& exec, const std::vector<S>& source) {
    const std::size_t n = source.size();
    if (storage_.extent(0) < n) {
      exec.fence("gnn_hpc::GrowingArray");
      Kokkos::realloc(Kokkos::WithoutInitializing, storage_, n + n / 4);
      if constexpr (!kExecIsHost) Kokkos::realloc(Kokkos::WithoutInitializing, staging_, n + n / 4);
    }
    T* host = kExecIsHost ? storage_.data() : staging_.data();
    for (std::size_t i = 0; i < n; ++i) host[i] = static_cast<T>(source[i]);
    View1<T> window(storage_.data(), n);
    if constexpr (!kExecIsHost) {
      Kokkos::deep_copy(exec, window, Kokkos::subview(staging_, Kokkos::make_pair(std::size_t{0}, n)));
    }
    return window;
  }

 private:
  View1<T> storage_;
  Kokkos::View<T*, Kokkos::LayoutRight, Kokkos::SharedHostPinnedSpace> staging_;
};

}  // namespace gnn_hpc
