// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/dmpnn_diffpool/classes.hpp"
#include "models/dmpnn_diffpool/molecule.hpp"
#include "models/dmpnn_diffpool/options.hpp"
#include "nn/gather.hpp"
#include "train/task.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace gnn_hpc::dmpnn {

/// A batch of molecules in host memory. Rows of a layer are classes of equal states, in order of first use, or, without sharing, the
/// edges and atoms themselves.
struct HostMoleculeBatch : HostBatch {
  int num_graphs = 0, num_nodes = 0, num_edges = 0, num_targets = 1, num_descriptors = 0;
  bool shared = false;  ///< rows are classes

  /// Nodes of each graph at level l: [levels + 1] of [G+1]; level 0 are the atoms, level l + 1 the clusters of level l.
  std::vector<std::vector<int>> node_ptr;
  std::vector<int> node_graph;  ///< [N]
  std::vector<int> edge_ptr;    ///< [G+1]
  std::vector<int> src, dst;    ///< [M]; the reverse of e is e xor 1
  std::vector<int> bond_type;   ///< [M]
  HostGather edges_out;         ///< [N] edges that leave each atom, ascending

  // Rows of the encoder of level 0.
  std::vector<int> h0_atom, h0_bond;  ///< [R0] rows of the feature tables
  struct Layer {
    std::vector<int> residual;  ///< [R] row of h^0, or the atom type of a row of z
    HostGather in, out;         ///< [R] rows of the layer before with coefficients, and its transpose
    HostGather residual_out;    ///< transpose of `residual`
  };
  std::vector<Layer> steps;           ///< [depth-1]
  Layer nodes;                        ///< rows of z
  HostGather h0_by_atom, h0_by_bond;  ///< transposes of h0_atom and h0_bond
  std::vector<int> node_row;          ///< [N] row of z of each atom
  HostGather row_nodes;               ///< its transpose
  HostGather pool, pool_out;          ///< [G] rows of z of the last level with the read-out's coefficients, and the transpose

  std::vector<double> target;       ///< [G,K] scaled; NaN where missing
  std::vector<double> descriptors;  ///< [G,d_xd]

  // Scratch of `collate`, kept for its memory.
  std::vector<std::vector<int>> class_rows, class_used;
  std::vector<int> row_place;
};

/// Assembles molecules into a batch; storage is reused. Thread-safe for different batches. An empty span is legal.
/// @param views     the molecules, in batch order
/// @param samples   their numbers: copied to `batch.samples`, they name the molecules in `classes` and key dropout
/// @param classes   of the whole data set, made with the same depth and `undirected`; nullptr, or options that do not share: rows are
///                  edges and atoms
/// @param num_atom_types, num_bond_types   rows of the data set's feature tables
/// `loss_weight` becomes the number of targets present.
/// Throws Error(Exit::data) for indices out of range or molecules that disagree in their numbers of targets or descriptors.
void collate(const ModelOptions& options, std::span<const MoleculeView> views, std::span<const std::int64_t> samples, const MoleculeClasses* classes,
             int num_atom_types, int num_bond_types, HostMoleculeBatch& batch);

}  // namespace gnn_hpc::dmpnn
