// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <span>
#include <vector>

namespace gnn_hpc::partoken {

/// What a partition of one chain looks like (specification spec/partoken.md, section 5).
struct PartitionStatistics {
  double coverage = 0.0;   ///< assigned residues / (residues + 1e-8)
  double clusters = 0.0;   ///< that have members
  double mean_size = 0.0;  ///< assigned residues / max(clusters, 1)
  double entropy = 0.0;    ///< -sum q log q over clusters, q = importance + 1e-8
  double largest = 0.0;    ///< of the importances
};

/// @param assign number of each residue's cluster, -1: none  @param members [S]  @param importance [S]
inline PartitionStatistics partition_statistics(std::span<const int> assign, std::span<const int> members, std::span<const double> importance) {
  PartitionStatistics out;
  double assigned = 0.0;
  for (const int cluster : assign) assigned += cluster >= 0 ? 1.0 : 0.0;
  for (std::size_t s = 0; s < members.size(); ++s) {
    if (members[s] == 0) continue;
    out.clusters += 1.0;
    const double q = importance[s] + 1e-8;
    out.entropy -= q * std::log(q);
    out.largest = std::fmax(out.largest, importance[s]);
  }
  out.coverage = assigned / (static_cast<double>(assign.size()) + 1e-8);
  out.mean_size = assigned / std::fmax(out.clusters, 1.0);
  return out;
}

}  // namespace gnn_hpc::partoken
