// SPDX-License-Identifier: Apache-2.0
#include "nn/gather.hpp"

namespace gnn_hpc {

void transpose(const HostGather& in, int columns, HostGather& out) {
  const auto rows = static_cast<std::size_t>(in.rows());
  out.ptr.assign(static_cast<std::size_t>(columns) + 2, 0);
  for (const int i : in.item) ++out.ptr[static_cast<std::size_t>(i) + 2];
  for (std::size_t i = 2; i < out.ptr.size(); ++i) out.ptr[i] += out.ptr[i - 1];
  out.item.resize(in.item.size());
  out.weight.resize(in.weight.size());
  for (std::size_t r = 0; r < rows; ++r) {
    for (int k = in.ptr[r]; k < in.ptr[r + 1]; ++k) {
      const auto at = static_cast<std::size_t>(out.ptr[static_cast<std::size_t>(in.item[static_cast<std::size_t>(k)]) + 1]++);
      out.item[at] = static_cast<int>(r);
      if (!in.weight.empty()) out.weight[at] = in.weight[static_cast<std::size_t>(k)];
    }
  }
  out.ptr.pop_back();
}

void transpose(const std::vector<int>& row, int columns, HostGather& out) {
  out.weight.clear();
  out.ptr.assign(static_cast<std::size_t>(columns) + 2, 0);
  for (const int i : row) ++out.ptr[static_cast<std::size_t>(i) + 2];
  for (std::size_t i = 2; i < out.ptr.size(); ++i) out.ptr[i] += out.ptr[i - 1];
  out.item.resize(row.size());
  for (std::size_t r = 0; r < row.size(); ++r) {
    out.item[static_cast<std::size_t>(out.ptr[static_cast<std::size_t>(row[r]) + 1]++)] = static_cast<int>(r);
  }
  out.ptr.pop_back();
}

template <class T>
Gather<T> GatherStorage<T>::upload(const Exec& exec, const HostGather& host) {
  return {host.rows(), ptr_.assign(exec, host.ptr), item_.assign(exec, host.item), weight_.assign(exec, host.weight)};
}

template class GatherStorage<float>;
template class GatherStorage<double>;

}  // namespace gnn_hpc
