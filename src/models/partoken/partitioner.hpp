// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/linear.hpp"
#include "nn/residue_input.hpp"

#include <map>
#include <string>

namespace gnn_hpc::partoken {

/// The partitioner's part of the block `model` (specification spec/partoken.md, sections 2 and 7).
struct PartitionerOptions {
  int width = 100;                      ///< D, channels of residues
  int hidden = 50;                      ///< H, of the seed selector and of contexts
  int max_clusters = 5;                 ///< S
  int k_hop = 1;                        ///< steps from the seed to candidates
  int cluster_size_max = 25;            ///< residues of a cluster, the seed included
  double termination_threshold = 0.95;  ///< share of assigned residues from which on a chain gets no further cluster
  double tau_init = 1.0, tau_min = 0.1, tau_decay = 0.95;
  bool eval_noise = false;  ///< Gumbel noise in evaluations, too
  bool corrected = true;    ///< the cardinality penalty has a gradient
  bool dense = false;       ///< adjacency matrices instead of edge lists, O(B M^2), for comparison
};

/// What a golden file draws instead of us: uniforms of the Gumbel noise and keep-masks of the seed selector, by cluster.
template <class T>
struct GivenDraws {
  View2<double> uniform;  ///< [S,N]; rows of clusters that the file lacks are 0.5
  View2<T> keep;          ///< [S N, H], 0 and 1; empty: nothing is dropped
};

template <class T>
struct PartitionWeights;

/// Carves every chain into up to S clusters of residues that lie together, one after the other (specification spec/partoken.md, section 2):
/// a seed by a straight-through Gumbel softmax over the free residues, then those within k steps of it whose score passes a learned
/// threshold; a cluster is the mean of its members, and the context of a chain learns of it.
///   cluster_c   = mean over members of x                         (forward)
///   gradient    = that of this mean and that of sum_i m_i x_i / max(sum m, 1), m = soft seed + p
/// One kernel of a team a chain, all clusters inside: the host decides nothing. Derivation: docs/derivations/partoken.md.
template <class T>
class Partitioner {
 public:
  static constexpr int kKeyWidth = 64, kThresholdWidth = 128, kLocal = 3;
  static constexpr double kSeedDropout = 0.1, kLinkWeight = 0.2, kContextRate = 0.1;

  Partitioner() = default;
  /// Registers `partitioner.*` and the buffer `partitioner.epoch`.
  Partitioner(ParamStore<T>& store, const PartitionerOptions& options);

  const PartitionerOptions& options() const { return options_; }
  /// What the temperature follows; kept in a buffer, hence in checkpoints.
  void set_epoch(const Exec& exec, std::int64_t epoch) const;

  /// All of a forward pass; rows of clusters are b S + c, of residues by cluster c N + i.
  struct Saved {
    View2<T> x;                     ///< [N,D] as given
    View2<T> mean;                  ///< [B,D] of the chains' residues
    View2<T> projected, keys;       ///< [N,H] W0 x + b0, [N,64] Wk x
    View2<T> keep;                  ///< [S N,H] factors of dropout; empty: nothing is dropped
    View2<T> logit, soft;           ///< [S,N] of seeds: before noise; after noise, temperature and softmax; of free residues
    View2<int> candidate;           ///< [S,N] residues, those of chain b from graph_ptr(b) on
    View2<T> p, link;               ///< [S,N] of the candidates, in the same order
    View2<T> shift, query, hidden;  ///< [B S,H] W0 context, [B S,64] Wq x_seed, [B S,128] of the threshold
    View2<T> local;                 ///< [B S, D+H+3]: x of the seed, context, phi: input of the threshold
    View1<T> theta;                 ///< [B S]
    View1<int> seed, candidates;    ///< [B S] residue, -1 where there is no cluster; number of candidates
    View1<int> members;             ///< [B S] residues of the cluster
    View1<double> gap;              ///< [B S] sum of p - expected size
    View2<T> clusters;              ///< [B S,D]
    View1<int> assign;              ///< [N] number of the cluster, -1: none
    View1<double> chains;           ///< [2S] chains, over all ranks, that have cluster c, and that have candidates for it
    View1<double> penalty;          ///< [1] this rank's share of the cardinality penalty
  };

  /// The temperature is max(tau_min, tau_init tau_decay^epoch).
  void forward(Step<T>& step, const ResidueInput<T>& graph, View2<T> x, const GivenDraws<T>* given, Saved& saved) const;
  /// dclusters [B S,D]; penalty_weight: of the penalty in the loss. dx [N,D] is added to.
  void backward(Step<T>& step, const ResidueInput<T>& graph, const Saved& saved, View2<T> dclusters, double penalty_weight, View2<T> dx) const;

 private:
  PartitionWeights<T> weights() const;
  void allocate(Step<T>& step, const ResidueInput<T>& graph, Saved& saved) const;
  View2<T> masks(Step<T>& step, const ResidueInput<T>& graph, const GivenDraws<T>* given) const;

  PartitionerOptions options_;
  Linear<T> select_hidden_, select_, context_, query_, key_, threshold_hidden_, threshold_;
  Buffer<T> epoch_;
};

}  // namespace gnn_hpc::partoken
