// SPDX-License-Identifier: Apache-2.0
#include "base/device_layout.hpp"

#include "base/config.hpp"
#include "base/error.hpp"

#include <cstdint>

namespace gnn_hpc {

namespace {

/// The sizes of all kinds of View in use, as digits of one number.
KOKKOS_INLINE_FUNCTION std::uint64_t view_sizes() {
  using Strided = Kokkos::View<float*, Kokkos::LayoutStride, Memory>;
  using Unmanaged = Kokkos::View<float**, Kokkos::LayoutRight, Memory, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;
  std::uint64_t digits = 0;
  const std::uint64_t sizes[] = {sizeof(View1<float>), sizeof(View2<float>), sizeof(View3<float>), sizeof(Strided), sizeof(Unmanaged)};
  for (const std::uint64_t size : sizes) {
    digits = 1000 * digits + size;
  }
  return digits;
}

}  // namespace

void require_equal_layout_on_device() {
  if (kExecIsHost) return;  // one compiler laid out both
  std::uint64_t on_device = 0;
  Kokkos::parallel_reduce(
      "gnn_hpc::view_sizes", Rows(Exec(), 0, 1), KOKKOS_LAMBDA(int, std::uint64_t& sizes) { sizes += view_sizes(); }, on_device);
  if (on_device == view_sizes()) return;
  throw Error(Exit::internal, fmt::format("this build cannot run on its device: Views of one, two, three indices, strided and unmanaged have "
                                          "sizes {} there and {} on the host; build with the compiler and options of scripts/build.sh",
                                          on_device, view_sizes()));
}

}  // namespace gnn_hpc
