// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gnn_hpc {

inline constexpr int kResidueScalars = 6;      ///< cos and sin of phi, psi, omega
inline constexpr int kResidueVectors = 3;      ///< directions forward, backward, of the side chain
inline constexpr int kDistanceGaussians = 16;  ///< of an edge, over 0 to 20 angstrom
inline constexpr int kPositionWaves = 16;      ///< of an edge: 8 cosines, then 8 sines

/// Features of the residues of a chain and its edges to near ones (GVP specification, section 2). A residue that lacks an atom is masked: no edges,
/// zero directions, position 0.
struct ResidueGraph {
  int num_nodes = 0;
  std::vector<std::uint8_t> complete;  ///< [N] 1: N, CA, C and O are there
  std::vector<double> position;        ///< [N,3] CA in angstrom
  std::vector<double> node_s;          ///< [N,6]
  std::vector<double> node_v;          ///< [N,3,3]: x, y, z of the three directions
  std::vector<int> in_ptr;             ///< [N+1] edges that enter a residue
  std::vector<int> src;                ///< [E] where they come from, by (squared distance, number)
  int num_edges() const { return static_cast<int>(src.size()); }
};

/// The graph of a chain with atoms `coords` [N,4,3] (N, CA, C, O in angstrom; NaN: missing). Every complete residue i gets edges from its
/// min(top_k, complete - 1) nearest other complete ones j by d2 = dx dx + dy dy + dz dz, exactly, ties to the lower number: double arithmetic as
/// written, without fused multiply-adds. Linear in residues for chains of even density (a grid of boxes around the atoms). Throws Error(Exit::usage)
/// for top_k < 1.
ResidueGraph build_residue_graph(std::span<const double> coords, int top_k);

/// Features of all edges in double, what the device computes for itself: edge_s [E,32] = exp(-((d - mu_k)/1.25)^2) with mu_k = 20 k / 15, then cos
/// and sin of (src - dst) w_m with w_m = exp(-2 m ln(10000)/16); edge_v [E,3] = unit(x_src - x_dst).
struct ResidueEdgeFeatures {
  std::vector<double> edge_s, edge_v;
};
ResidueEdgeFeatures residue_edge_features(const ResidueGraph& graph);

}  // namespace gnn_hpc
