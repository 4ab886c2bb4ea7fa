// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

namespace gnn_hpc {

/// Residue graphs of a batch in host memory, nodes and edges numbered over the batch. Edge (src -> dst) says that src is among the nearest
/// neighbours of dst; edges stand by dst, so that `in_ptr` is a CSR by target.
struct ResidueBatch {
  int num_graphs = 0, num_nodes = 0, num_edges = 0;
  std::vector<int> graph_ptr;    ///< [G+1] residues of each chain
  std::vector<int> in_ptr;       ///< [N+1] edges that enter a residue
  std::vector<int> src, dst;     ///< [E]
  std::vector<int> out_ptr;      ///< [N+1] edges that leave a residue: `out_edge[out_ptr[j] .. out_ptr[j+1])`, ascending
  std::vector<int> out_edge;     ///< [E]
  std::vector<int> code;         ///< [N] residue type, 0..19
  std::vector<double> position;  ///< [N,3] CA in angstrom relative to the centre of its chain; 0 where a residue is masked
  std::vector<double> node_s;    ///< [N,6] cos and sin of phi, psi, omega
  std::vector<double> node_v;    ///< [N,3,3]: x, y, z of the channels forward, backward, side chain
  std::vector<double> edge_s;    ///< [E,32] features of the edges as a golden file gives them; empty: computed from positions on the device
  std::vector<double> edge_v;    ///< [E,3] the same

  /// Completes `dst`, `out_ptr` and `out_edge` from `in_ptr` and `src`. Storage is reused.
  void finish();
};

}  // namespace gnn_hpc
