// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace gnn_hpc::hgnn_moe {

enum class CouplerType { gnn, hgnn };
/// Which sets of experts are hyperedges (specification, section 2).
enum class HyperedgeStrategy { all_pairs, all_triplets, all };
/// Weights in the node degree only (what the library upstream calls computes), or in the numerator as well (the published formula).
enum class HypergraphNorm { pyg, paper };
enum class WeightTransform { none, softplus };
/// Three evaluation orders of one function: n products of T rows (default), n of T E rows with an E x E combination per token, or the
/// general two-step sum over hyperedges.
enum class HypergraphForm { collapsed, dense, incidence };
enum class Aggregation { mean, pool };
enum class OrthogonalityType { gram_identity, cosine_similarity };
enum class WeightTarget { ffn_input, ffn_output, attention, combined };

/// Specialisation losses (specification, section 5); off by default.
struct OrthogonalityOptions {
  bool outputs = false;        ///< apply_orthogonality_loss
  double output_weight = 0.1;  ///< orthogonality_loss_weight
  Aggregation aggregation = Aggregation::mean;
  OrthogonalityType type = OrthogonalityType::gram_identity;
  std::int64_t warmup_steps = 1000;  ///< factor min(1, step / warmup_steps); 0: always 1
  bool weights = false;              ///< apply_weight_orthogonality_loss
  double weight_weight = 0.05;       ///< weight_orthogonality_loss_weight
  WeightTarget weight_target = WeightTarget::ffn_input;
  bool any() const { return outputs || weights; }
};

/// The block `model` of a language model; names of the input file are those of the published program.
struct ModelOptions {
  int vocab_size = 256;
  int max_seq_length = 128;  ///< L at most; rows of the table of positions
  int embed_dim = 256;       ///< D
  int num_layers = 4;
  int num_heads = 4;  ///< h; where the file says nothing: D/64 if D is a multiple of 64, else 8
  double dropout_rate = 0.1;
  int num_experts = 4;  ///< E
  int gnn_layers = 2;   ///< n, convolutions of a coupler
  CouplerType coupler_type = CouplerType::gnn;
  HyperedgeStrategy strategy = HyperedgeStrategy::all_pairs;
  bool learnable_edge_weights = true;
  HypergraphNorm norm = HypergraphNorm::pyg;
  WeightTransform weight_transform = WeightTransform::none;
  HypergraphForm form = HypergraphForm::collapsed;
  OrthogonalityOptions orthogonality;
  int num_ghost_experts = 0;  ///< G
  double ghost_activation_threshold = 0.7;

  /// Reads and checks the block; problems are collected in the node as everywhere.
  static ModelOptions parse(Config node);
  struct Problem {
    std::string option, message;
  };
  /// What excludes each other or does not divide; empty if all is well.
  std::vector<Problem> problems() const;
};

/// D/64 if D is a multiple of 64, else 8: the published rule for a number of heads left at its default.
int default_num_heads(int embed_dim);

}  // namespace gnn_hpc::hgnn_moe
