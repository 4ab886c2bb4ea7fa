// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/decoder.hpp"

namespace gnn_hpc::hgnn_moe {

template <class T>
std::vector<double> TokenDecoder<T>::append(std::span<const int> tokens) {
  arena_.reset();
  Step<T> step{exec_, arena_, Mode::evaluate, RandomKey{}, comm_};
  const View2<T> logits = model_.decode(step, cache_, tokens);
  exec_.fence("gnn_hpc::TokenDecoder::append");
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), logits);
  std::vector<double> out(host.extent(1));
  for (std::size_t v = 0; v < out.size(); ++v) out[v] = static_cast<double>(host(0, v));
  return out;
}

template class TokenDecoder<float>;
template class TokenDecoder<double>;

}  // namespace gnn_hpc::hgnn_moe
