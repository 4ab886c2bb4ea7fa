// SPDX-License-Identifier: Apache-2.0
#include "graph/residue_batch.hpp"

namespace gnn_hpc {

void ResidueBatch::finish() {
  const auto nodes = static_cast<std::size_t>(num_nodes);
  dst.resize(src.size());
  out_edge.resize(src.size());
  out_ptr.assign(nodes + 1, 0);
  for (const int j : src) ++out_ptr[static_cast<std::size_t>(j) + 1];
  for (std::size_t j = 0; j < nodes; ++j) out_ptr[j + 1] += out_ptr[j];
  std::vector<int> next(out_ptr.begin(), out_ptr.end() - 1);
  for (std::size_t i = 0; i < nodes; ++i) {
    for (int e = in_ptr[i]; e < in_ptr[i + 1]; ++e) {
      const auto edge = static_cast<std::size_t>(e);
      dst[edge] = static_cast<int>(i);
      out_edge[static_cast<std::size_t>(next[static_cast<std::size_t>(src[edge])]++)] = e;
    }
  }
}

}  // namespace gnn_hpc
