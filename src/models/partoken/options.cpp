// SPDX-License-Identifier: Apache-2.0
#include "models/partoken/options.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace gnn_hpc::partoken {

namespace {

constexpr std::array<std::pair<LossKind, const char*>, 3> kLosses{
    {{LossKind::composite, "composite"}, {LossKind::loop, "loop"}, {LossKind::ce, "ce"}}};

void parse_partitioner(Config& node, PartitionerOptions& o) {
  node.number("max_clusters", o.max_clusters, at_least_one, "most clusters of a chain");
  node.number("nhid", o.hidden, at_least_one, "hidden width of the seed selector and width of a chain's context");
  node.number("k_hop", o.k_hop, at_least_one, "a cluster's residues lie within so many edges of its seed");
  node.number("cluster_size_max", o.cluster_size_max, at_least_one, "most residues of a cluster, the seed included");
  node.number("termination_threshold", o.termination_threshold, Range{0.0, 1.0, true, false},
              "share of assigned residues from which on a chain gets no further cluster");
  node.number("tau_init", o.tau_init, positive, "temperature of seeds and thresholds in the first epoch");
  node.number("tau_min", o.tau_min, positive, "lowest temperature");
  node.number("tau_decay", o.tau_decay, Range{0.0, 1.0, true, false}, "factor of the temperature from epoch to epoch");
  node.flag("eval_noise", o.eval_noise, "Gumbel noise in evaluations and predictions, too, as published: they are random then");
  std::string kind = o.dense ? "dense" : "sparse";
  node.choice("partitioner", kind, {"sparse", "dense"},
              "neighbours from edge lists, or from an adjacency matrix a chain (the same results, for comparison)");
  o.dense = kind == "dense";
}

void parse_codebook(Config& node, CodebookOptions& o) {
  node.number("codebook_size", o.codes, at_least_one, "codes");
  node.number("codebook_beta", o.beta, non_negative, "weight of the commitment");
  node.number("codebook_decay", o.decay, below_one, "memory of the averages that codes are");
  node.number("codebook_eps", o.epsilon, positive, "added to counts that sums are divided by");
  std::string distance = o.cosine ? "cos" : "l2";
  node.choice("distance", distance, {"l2", "cos"}, "by which a cluster finds its code");
  o.cosine = distance == "cos";
  node.number("psc_temp", o.psc_temp, positive, "temperature of the presence of codes");
  node.number("revive_below", o.revive_below, non_negative, "codes whose average count falls below it become a cluster of the batch; 0 = off");
}

}  // namespace

std::string name_of(LossKind kind) {
  for (const auto& [known, name] : kLosses) {
    if (known == kind) return name;
  }
  return "?";
}

void ModelOptions::complete() {
  partitioner.width = codebook.width = width();
  partitioner.corrected = codebook.corrected = corrected;
}

ModelOptions ModelOptions::parse(Config& node) {
  ModelOptions o;
  o.protein = protein::ModelOptions::parse(node);
  parse_partitioner(node, o.partitioner);
  parse_codebook(node, o.codebook);
  node.number("heads", o.heads, at_least_one, "heads of the attention over clusters; must divide the scalar width of residues");
  node.flag("quantized", o.quantized, "attention sees the codes of clusters instead of the clusters");
  node.number("kmeans_batches", o.kmeans_batches, at_least_one, "training batches whose clusters start the codebook (kmeans_init of a phase)");
  std::string loss = name_of(o.loss), fidelity = "corrected";
  node.choice("loss", loss, {"composite", "loop", "ce"},
              "composite: classes + commitment + presence + cardinality; loop: classes + commitment, as the published scripts; ce: classes alone");
  node.number("lambda_vq", o.lambda_vq, non_negative, "weight of the commitment");
  node.number("lambda_psc", o.lambda_psc, non_negative, "weight of the presence of codes");
  node.number("lambda_card", o.lambda_card, non_negative, "weight of the size of clusters");
  node.choice("fidelity", fidelity, {"corrected", "upstream"},
              "upstream: scores and sizes get no gradient and the codebook starts from zero counts, as in the published program");
  o.corrected = fidelity == "corrected";
  for (const auto& [kind, name] : kLosses) {
    if (loss == name) o.loss = kind;
  }
  if (o.width() % o.heads != 0) {
    node.problem("heads", fmt::format("{} heads do not divide the {} scalar channels of residues (node_h)", o.heads, o.width()));
  }
  if (o.protein.pooling == PoolingKind::attention) node.problem("pooling", "attention: clusters are attended to; allowed are sum, mean and max");
  o.complete();
  return o;
}

}  // namespace gnn_hpc::partoken
