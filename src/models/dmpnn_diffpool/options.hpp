// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"
#include "models/dmpnn_diffpool/dataset_options.hpp"
#include "nn/target_losses.hpp"

#include <span>
#include <vector>

namespace gnn_hpc::dmpnn {

/// How a molecule becomes one vector: the read-out of a message passing network, the same on weighted polymer graphs, or DiffPool.
enum class Encoder { dmpnn, wdmpnn, diffpool };
/// Read-out of `Encoder::dmpnn`: mean or sum of the atoms' vectors, or sum / 100.
enum class Aggregation { mean, sum, norm };
/// Columns of the assignment head that graph g uses: the first c_g, or, as the published code has it, those at its place in the batch.
enum class Assign { shared, batch };
/// Feature of a coarse edge: weighted mean of the bond vectors (their width), or its weight W (width 1).
enum class CoarseEdge { bond_mean, adjacency };
/// Coarse edges once with their true reverse, or the published list: each edge twice, reverse of position i at i xor 1.
enum class CoarseGraph { clean, legacy };
/// Auxiliary losses over the graphs of the global batch: mean, sum, or computed but not part of the loss.
enum class AuxReduction { mean, sum, none };

/// The block `model` (specification sections 3, 4 and 6). Defaults are those of its section 6 but for `encoder`: who names no read-out gets the
/// plain D-MPNN that other programs call by this name, not the pooled variant.
struct ModelOptions {
  Encoder encoder = Encoder::dmpnn;
  int hidden_dim = 300;  ///< d_h
  int depth = 3;         ///< edge states h^0 .. h^(depth-1)
  bool undirected = false;
  double dropout = 0.0;  ///< after every message step and the atoms' output; > 0 switches sharing off
  Aggregation aggregation = Aggregation::mean;
  bool batch_norm = false;  ///< over graphs, after the read-out; never for wdmpnn
  int ffn_hidden = 300, ffn_layers = 1;
  double ffn_dropout = 0.0;

  int diffpool_depth = 1;  ///< pooling levels
  double diffpool_ratio = 0.5;
  int diffpool_topk = 3;  ///< 0: dense
  Assign assign = Assign::shared;
  CoarseEdge coarse_edge = CoarseEdge::bond_mean;
  CoarseGraph coarse_graph = CoarseGraph::clean;
  double adjacency_scale = 1.0;  ///< factor on W in adjacency features and on A in the link loss
  int lp_max_nodes = 0;          ///< graphs with more nodes have no link loss; 0: no limit
  double lambda_lp = 0.5, lambda_ent = 1e-3;
  AuxReduction aux_reduction = AuxReduction::mean;
  bool use_mean = true;  ///< H = mean over the clusters of the last level, else the sum
  int head_width = 0;    ///< columns of the assignment heads; 0: the task takes the largest c_g of the training set
  bool detach = false;   ///< seed era: no gradient through H, only the predictor learns

  /// Compute equal states once (colour refinement at load time): the same result to rounding. Off with dropout.
  bool sharing = true;

  int descriptors = 0;  ///< d_xd, set by the task
  int outputs = 1;      ///< columns of the head, set by the task: `num_columns(slices)`

  /// True if rows of a batch may stand for classes of equal states.
  bool shares() const { return sharing && dropout == 0.0; }
  /// True if there is a BatchNorm over graphs.
  bool normalises() const { return batch_norm && encoder != Encoder::wdmpnn; }
  /// Levels of pooling; 0 without DiffPool.
  int levels() const { return encoder == Encoder::diffpool ? diffpool_depth : 0; }
  /// Width of the edge features at a level (level 0: the bond vectors').
  int edge_width(int level, int bond_width) const { return level == 0 || coarse_edge == CoarseEdge::bond_mean ? bond_width : 1; }

  /// Reads the block; every key has the name of its member.
  static ModelOptions parse(Config node);
};

/// c = max(1, ceil(float(n) float(ratio))), the product in single precision (ratio 0.07 of 100 nodes gives 7, in double 8);
/// `head_width` > 0 clamps it.
int cluster_count(int nodes, double ratio, int head_width = 0);

/// Largest c_g of level 0 among graphs of these sizes: the head width of a training set. At least 1.
int head_width_for(std::span<const int> nodes, double ratio);

}  // namespace gnn_hpc::dmpnn
