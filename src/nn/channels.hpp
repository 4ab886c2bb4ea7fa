// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"
#include "base/error.hpp"

namespace gnn_hpc {

/// On a GPU the channels of a row go to the lanes of a team. On a CPU a row is one thread's work: there the loop over channels must
/// become vector instructions, and sums over rows must keep a strip of channels in registers.
/// f(c) for every channel of this team's row; f must not carry a dependency from one channel to the next.
template <class TeamMember, class F>
KOKKOS_INLINE_FUNCTION void each_channel(const TeamMember& team, int width, const F& f) {
  if constexpr (kExecIsHost) {
    GNN_HPC_SIMD
    for (int c = 0; c < width; ++c) f(c);
  } else {
    Kokkos::parallel_for(Kokkos::TeamVectorRange(team, width), f);
  }
}

/// strip.template run<W>(c) for strips [c, c + W) that cover [0, width). On a CPU W is 256 as long as it fits, then 32, then 1: the
/// constant width lets the compiler vectorise, and a wide strip reads rows in long pieces, as the memory likes it. On a GPU 1.
template <class TeamMember, class Strip>
KOKKOS_INLINE_FUNCTION void each_strip([[maybe_unused]] const TeamMember& team, int width, const Strip& strip) {
  if constexpr (kExecIsHost) {
    int c = 0;
    for (; c + 256 <= width; c += 256) strip.template run<256>(c);
    for (; c + 32 <= width; c += 32) strip.template run<32>(c);
    for (; c < width; ++c) strip.template run<1>(c);
  } else {
    Kokkos::parallel_for(Kokkos::TeamVectorRange(team, width), [&](const int c) { strip.template run<1>(c); });
  }
}

/// A matrix in the same memory with other extents; the number of elements must agree and the rows must be dense.
template <class T>
View2<T> reshape(const View2<T>& x, std::size_t rows, std::size_t columns) {
  GNN_HPC_REQUIRE(x.size() == rows * columns, "{} x {} cannot become {} x {}", x.extent(0), x.extent(1), rows, columns);
  return View2<T>(x.data(), rows, columns);
}

/// `count` elements of a row as a vector, from `begin` on: an address, no access, so that the host may take it of device memory.
template <class T>
View1<T> row_elements(const View2<T>& x, int row, int begin, int count) {
  return View1<T>(x.data() + static_cast<std::size_t>(row) * x.stride(0) + static_cast<std::size_t>(begin), count);
}

/// Rows [begin, end) of a matrix.
template <class T>
View2<T> row_range(const View2<T>& x, int begin, int end) {
  return Kokkos::subview(x, Kokkos::make_pair(begin, end), Kokkos::ALL);
}

/// Columns [begin, end) of a matrix; keeps the row stride.
template <class T>
View2<T> column_range(const View2<T>& x, int begin, int end) {
  return Kokkos::subview(x, Kokkos::ALL, Kokkos::make_pair(begin, end));
}

}  // namespace gnn_hpc
