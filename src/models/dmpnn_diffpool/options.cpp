// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/options.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>

namespace gnn_hpc::dmpnn {

ModelOptions ModelOptions::parse(Config node) {
  ModelOptions o;
  const auto choose = [&node](const char* key, auto& value, const std::vector<std::string>& names, const char* doc) {
    std::string name = names[static_cast<std::size_t>(value)];
    node.choice(key, name, names, doc);
    const auto found = std::find(names.begin(), names.end(), name);
    if (found != names.end()) value = static_cast<std::decay_t<decltype(value)>>(found - names.begin());
  };
  choose("encoder", o.encoder, {"dmpnn", "wdmpnn", "diffpool"}, "D-MPNN; the same on weighted polymer graphs; D-MPNN with differentiable pooling");
  node.number("hidden_dim", o.hidden_dim, at_least_one, "width of edge and atom states");
  node.number("depth", o.depth, at_least_one, "edge states; depth - 1 message steps");
  node.flag("undirected", o.undirected, "average an edge and its reverse before every message step");
  node.number("dropout", o.dropout, below_one, "after every message step and the atoms' output; above 0 equal states are not shared");
  choose("aggregation", o.aggregation, {"mean", "sum", "norm"}, "read-out of dmpnn; norm: sum / 100");
  node.flag("batch_norm", o.batch_norm, "BatchNorm over graphs after the read-out (not with wdmpnn)");
  node.number("ffn_hidden", o.ffn_hidden, at_least_one, "width of the predictor's hidden layers");
  node.number("ffn_layers", o.ffn_layers, at_least_one, "hidden layers of the predictor");
  node.number("ffn_dropout", o.ffn_dropout, below_one, "in front of the predictor's layers but the first");
  node.number("diffpool_depth", o.diffpool_depth, at_least_one, "pooling levels");
  node.number("diffpool_ratio", o.diffpool_ratio, Range{0.0, 1.0, true, false},
              "clusters per node; guidance: 0.5 below 50 atoms, 0.3 to 0.4 up to 100, 0.2 to 0.3 above");
  node.number("diffpool_topk", o.diffpool_topk, non_negative, "clusters a node may belong to; 0: all");
  choose("assign", o.assign, {"shared", "batch"}, "columns of the assignment head: the first c_g, or by place in the batch as published");
  choose("coarse_edge", o.coarse_edge, {"bond_mean", "adjacency"}, "feature of a coarse edge: mean bond vector, or its weight");
  choose("coarse_graph", o.coarse_graph, {"clean", "legacy"}, "each coarse edge once, or the published doubled list");
  node.number("adjacency_scale", o.adjacency_scale, positive, "factor on coarse weights and on A in the link loss (published: 2)");
  node.number("lp_max_nodes", o.lp_max_nodes, non_negative, "larger graphs have no link loss (published: 256); 0: no limit");
  node.number("lambda_lp", o.lambda_lp, non_negative, "weight of the link loss");
  node.number("lambda_ent", o.lambda_ent, non_negative, "weight of the entropy loss");
  choose("aux_reduction", o.aux_reduction, {"mean", "sum", "none"}, "auxiliary losses over the graphs of a batch; none: not trained on");
  node.flag("use_mean", o.use_mean, "mean over the clusters of the last level, else their sum");
  node.number("head_width", o.head_width, non_negative, "columns of the assignment heads; 0: the largest need of the training set");
  node.flag("detach", o.detach, "seed era: no gradient through the pooled graph, only the predictor learns");
  node.flag("sharing", o.sharing, "compute equal states once: same result to rounding");
  node.done();
  return o;
}

int cluster_count(int nodes, double ratio, int head_width) {
  const float product = static_cast<float>(nodes) * static_cast<float>(ratio);
  const int count = std::max(1, static_cast<int>(std::ceil(product)));
  return head_width > 0 ? std::min(count, head_width) : count;
}

int head_width_for(std::span<const int> nodes, double ratio) {
  int width = 1;
  for (const int n : nodes) width = std::max(width, cluster_count(n, ratio));
  return width;
}

}  // namespace gnn_hpc::dmpnn
