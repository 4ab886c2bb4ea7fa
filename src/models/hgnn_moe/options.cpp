// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/options.hpp"

#include <fmt/format.h>

namespace gnn_hpc::hgnn_moe {

int default_num_heads(int embed_dim) { return embed_dim % 64 == 0 ? embed_dim / 64 : 8; }

ModelOptions ModelOptions::parse(Config node) {
  ModelOptions o;
  std::string coupler = "GNN", strategy = "all_pairs", norm = "pyg", transform = "none", form = "collapsed", aggregation = "mean",
              type = "gram_identity", target = "ffn_input";
  node.number("vocab_size", o.vocab_size, at_least_one, "number of different tokens V; 256: bytes");
  constexpr Range at_least_two{2.0, kInfinity, false, false};  // a token to read and one to predict
  node.number("max_seq_length", o.max_seq_length, at_least_two, "longest sequence L, prompt included");
  node.number("embed_dim", o.embed_dim, at_least_one, "width D");
  node.number("num_layers", o.num_layers, at_least_one, "layers");
  int heads = 0;
  node.number("num_heads", heads, non_negative, "attention heads, a divisor of embed_dim; 0: embed_dim/64 if that divides, else 8");
  node.number("dropout_rate", o.dropout_rate, below_one, "dropout of embeddings, attention probabilities and feed-forward parts");
  node.number("num_experts", o.num_experts, at_least_one, "experts E of a layer; all run on every token");
  node.number("gnn_layers", o.gnn_layers, non_negative, "convolutions n of a coupler");
  node.choice("coupler_type", coupler, {"GNN", "HGNN"}, "pairwise message passing, or hypergraph convolution");
  node.choice("static_hyperedge_strategy", strategy, {"all_pairs", "all_triplets", "all"}, "sets of experts that are hyperedges");
  node.flag("hgnn_learnable_edge_weights", o.learnable_edge_weights, "a weight for every hyperedge; else all 1");
  node.choice("hgnn_norm", norm, {"pyg", "paper"}, "weights in the node degree only (as published runs), or in the numerator as well");
  node.choice("hgnn_weight_transform", transform, {"none", "softplus"}, "softplus keeps weights positive and degrees away from 0");
  node.choice("hgnn_form", form, {"collapsed", "dense", "incidence"}, "evaluation order of the same function; collapsed is the fastest");
  OrthogonalityOptions& x = o.orthogonality;
  node.flag("apply_orthogonality_loss", x.outputs, "specialisation loss on expert outputs");
  node.number("orthogonality_loss_weight", x.output_weight, non_negative, "its factor");
  node.choice("orthogonality_aggregation", aggregation, {"mean", "pool"}, "Gram matrix of mean outputs, or mean of Gram matrices");
  node.choice("orthogonality_loss_type", type, {"gram_identity", "cosine_similarity"}, "distance from the identity, or squared cosines");
  node.number("orthogonality_warmup_steps", x.warmup_steps, non_negative, "steps until both losses reach their factor; 0: at once");
  node.flag("apply_weight_orthogonality_loss", x.weights, "specialisation loss on expert weights");
  node.number("weight_orthogonality_loss_weight", x.weight_weight, non_negative, "its factor");
  node.choice("weight_orthogonality_target_layer", target, {"ffn_input", "ffn_output", "attention", "combined"}, "which matrices");
  node.number("num_ghost_experts", o.num_ghost_experts, non_negative, "experts that wake when a layer saturates");
  node.number("ghost_activation_threshold", o.ghost_activation_threshold, any_number, "saturation above which the next ghost wakes");
  node.done();
  o.num_heads = heads > 0 ? heads : default_num_heads(o.embed_dim);
  o.coupler_type = coupler == "HGNN" ? CouplerType::hgnn : CouplerType::gnn;
  o.strategy = strategy == "all"            ? HyperedgeStrategy::all
               : strategy == "all_triplets" ? HyperedgeStrategy::all_triplets
                                            : HyperedgeStrategy::all_pairs;
  o.norm = norm == "paper" ? HypergraphNorm::paper : HypergraphNorm::pyg;
  o.weight_transform = transform == "softplus" ? WeightTransform::softplus : WeightTransform::none;
  o.form = form == "dense" ? HypergraphForm::dense : form == "incidence" ? HypergraphForm::incidence : HypergraphForm::collapsed;
  x.aggregation = aggregation == "pool" ? Aggregation::pool : Aggregation::mean;
  x.type = type == "cosine_similarity" ? OrthogonalityType::cosine_similarity : OrthogonalityType::gram_identity;
  x.weight_target = target == "ffn_output"  ? WeightTarget::ffn_output
                    : target == "attention" ? WeightTarget::attention
                    : target == "combined"  ? WeightTarget::combined
                                            : WeightTarget::ffn_input;
  if (!node.is_schema()) {
    for (const Problem& p : o.problems()) node.problem(p.option, p.message);
  }
  return o;
}

std::vector<ModelOptions::Problem> ModelOptions::problems() const {
  std::vector<Problem> out;
  if (num_heads < 1 || embed_dim % num_heads != 0) {
    out.push_back({"num_heads", fmt::format("{} heads do not divide embed_dim {}: choose a divisor", num_heads, embed_dim)});
  }
  if (num_ghost_experts > 0 && coupler_type != CouplerType::hgnn) {
    out.push_back({"num_ghost_experts", fmt::format("{} ghosts need coupler_type HGNN: their couplers are hypergraph couplers", num_ghost_experts)});
  }
  if (num_ghost_experts > 0 && orthogonality.any()) {
    out.push_back(
        {"num_ghost_experts", fmt::format("{} ghosts exclude apply_orthogonality_loss and apply_weight_orthogonality_loss", num_ghost_experts)});
  }
  return out;
}

}  // namespace gnn_hpc::hgnn_moe
