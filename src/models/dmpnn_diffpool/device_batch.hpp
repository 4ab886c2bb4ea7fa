// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/dmpnn_diffpool/batch.hpp"
#include "nn/bond_message.hpp"
#include "nn/diff_pool.hpp"

#include <memory>
#include <vector>

namespace gnn_hpc::dmpnn {

/// A batch of molecules on the device; members as in HostMoleculeBatch.
template <class T>
struct MoleculeBatch {
  int num_graphs = 0, num_nodes = 0, num_edges = 0;
  MessagePlan<T> plan;               ///< of the encoder of level 0
  PoolLevel<T> level;                ///< level 0
  std::vector<View1<int>> node_ptr;  ///< [levels+1] of [G+1]
  std::vector<int> level_nodes;      ///< [levels+1] nodes of the batch
  std::vector<int> largest_graph;    ///< [levels+1] nodes of the largest graph
  Gather<T> pool, pool_out;          ///< read-out of z of the last level, and its transpose
  View1<std::uint64_t> graph_key;    ///< [G] counts elements for dropout
  View2<double> target;              ///< [G,K]
  View2<T> descriptors;              ///< [G,d_xd]

  MoleculeBatch();
  ~MoleculeBatch();
  /// Waits for kernels that still read the previous batch, then copies.
  void upload(const HostMoleculeBatch& host, const Exec& exec);

 private:
  struct Storage;
  std::unique_ptr<Storage> storage_;
};

}  // namespace gnn_hpc::dmpnn
