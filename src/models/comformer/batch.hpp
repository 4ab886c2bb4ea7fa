// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"
#include "train/task.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace gnn_hpc::comformer {

/// How a function of one number (a distance or a cosine) is evaluated for many items. Two forms share one shape:
/// exact (`taps` = 1: every distinct abscissa is a row of its own) and tabulated (`taps` = 4: rows are grid points and
/// every item is a cubic Lagrange combination of 4 consecutive rows; items outside the grid get 4 rows of their own with weights
/// 1, 0, 0, 0). Items are grouped by their first row, so that the transpose is a sum with one writer.
///   forward    y[i,c] = sum_t weight[i,t] table[first[i] + t, c]
///   backward   dtable[r,c] = sum over items i and t with first[i] + t = r of weight[i,t] dy[i,c]
struct HostRowMap {
  int taps = 1;
  std::vector<double> abscissa;  ///< [R] argument of each row
  std::vector<int> first;        ///< [I]
  std::vector<double> weight;    ///< [I, taps]
  std::vector<int> group_ptr;    ///< [R+1] items by `first`: CSR over rows
  std::vector<int> group_item;   ///< [I]
};

/// Options of the tabulated forms (specification, section 7 item 4). 0 points: exact.
struct TableOptions {
  int distance_points = 0;  ///< grid over s = -0.75/|r| in [-1.2, 0]; shorter distances are evaluated exactly
  int cosine_points = 0;    ///< grid over [-1, 1]
  bool directions = false;  ///< the model wants the edges' directions (eComFormer) instead of their angles with the lattice
};

/// A batch of crystals in host memory: unique directed edges with multiplicity, sorted by (target v, source u, image), so that
/// `in_ptr` is a CSR by target; the graph is symmetric, hence the edges leaving u are the `reverse` of the edges entering u.
struct HostCrystalBatch : HostBatch {
  int num_graphs = 0, num_nodes = 0, num_edges = 0, num_targets = 1;
  std::vector<int> graph_ptr;    ///< [G+1] atoms of each crystal
  std::vector<int> node_graph;   ///< [N]
  std::vector<int> atom_row;     ///< [N] atomic number Z (1..103)
  std::vector<int> in_ptr;       ///< [N+1] edges entering each atom
  std::vector<int> src, dst;     ///< [E] u and v
  std::vector<int> reverse;      ///< [E] index of the edge v->u with the opposite image
  std::vector<int> edge_graph;   ///< [E]
  std::vector<int> edge_ptr;     ///< [G+1] edges of each crystal
  std::vector<double> mult;      ///< [E] 1 or 2
  std::vector<double> edge_vec;  ///< [E,3] r from u to v, angstrom
  std::vector<double> lattice;   ///< [G,3,3] l1, l2, l3, angstrom
  std::vector<double> target;    ///< [G,K] scaled; NaN where missing
  HostRowMap distance;           ///< items are the E edges; argument s = -0.75/|r|; exact rows are unordered pairs
  bool directions = false;       ///< `edge_vec` goes to the device, `cosine` is empty
  HostRowMap cosine;             ///< items are [E,3] (edge, slot); argument clamp(l_s.r/(|l_s||r|), -1, 1)
};

/// Completes `in_ptr`, `reverse`, `edge_graph`, `edge_ptr`, `distance` and `cosine` from the other members. Storage is reused.
/// Throws Error(Exit::data) if an edge has no reverse or edges are not sorted by target.
void finish_batch(HostCrystalBatch& batch, const TableOptions& tables);

}  // namespace gnn_hpc::comformer
