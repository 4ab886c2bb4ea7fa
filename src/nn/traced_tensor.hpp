// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace gnn_hpc {

/// One named intermediate of a forward pass in host memory, row-major, as golden files name it (without `outputs/`).
struct TracedTensor {
  std::string name;
  std::vector<std::size_t> shape;
  std::vector<double> values;
  bool per_edge = false;  ///< rows are edges, which a system may hold once where a file repeats them
};

/// The entries of a View of rank 1 to 3, row-major. Waits for the device. For comparison and messages only.
template <class V>
std::vector<double> host_values(const V& x) {
  static_assert(V::rank >= 1 && V::rank <= 3);
  if (x.size() == 0) return {};
  const auto read = [&](auto dense) {
    Kokkos::deep_copy(dense, x);  // a subview has gaps, which no copy between memories takes
    const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), dense);
    std::vector<double> out(x.size());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<double>(host.data()[i]);
    return out;
  };
  using Value = typename V::non_const_value_type;
  if constexpr (V::rank == 1)
    return read(View1<Value>("gnn_hpc::host_values", x.extent(0)));
  else if constexpr (V::rank == 2)
    return read(View2<Value>("gnn_hpc::host_values", x.extent(0), x.extent(1)));
  else
    return read(View3<Value>("gnn_hpc::host_values", x.extent(0), x.extent(1), x.extent(2)));
}

/// The same for whole numbers.
inline std::vector<int> host_ints(const View1<int>& x) {
  const std::vector<double> values = host_values(x);
  return {values.begin(), values.end()};
}

}  // namespace gnn_hpc
