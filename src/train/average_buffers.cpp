// SPDX-License-Identifier: Apache-2.0
#include "train/average_buffers.hpp"

#include "base/error.hpp"
#include "io/checksum.hpp"

#include <cstdint>
#include <span>

namespace gnn_hpc {

template <class T>
void average_buffers(ParamStore<T>& store, const Comm& comm) {
  if (comm.size() == 1 || store.buffers().extent(0) == 0) return;
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), store.buffers());
  const auto differs = [&](const T* values, std::size_t count) {
    const auto digest = static_cast<std::int64_t>(xxh3_64(values, count * sizeof(T)) >> 1);
    return comm.max(digest) != -comm.max(-digest);
  };
  if (!differs(host.data(), host.extent(0))) return;
  for (const TensorInfo& t : store.buffer_tensors()) {
    T* values = host.data() + t.offset;
    if (t.rule == BufferRule::none) {
      if (differs(values, t.size)) throw Error(Exit::internal, fmt::format("buffer {} differs between ranks", t.name));
      continue;
    }
    comm.sum(std::span<T>(values, t.size));
    for (std::size_t i = 0; i < t.size; ++i) values[i] /= static_cast<T>(comm.size());
  }
  Kokkos::deep_copy(store.buffers(), host);
}

template void average_buffers(ParamStore<float>&, const Comm&);
template void average_buffers(ParamStore<double>&, const Comm&);

}  // namespace gnn_hpc
