// SPDX-License-Identifier: Apache-2.0
#include "models/partoken/model.hpp"

#include "nn/rows.hpp"

namespace gnn_hpc::partoken {

namespace {

const GvpEncoderNames kNames{"sequence_embedding", "node_encoder", "edge_encoder", "gvp_layers", "output_projection"};

void set_parts(const Exec& exec, View1<double> vq, View1<double> psc, View1<double> card, double beta, View1<double> parts) {
  const bool has_vq = vq.extent(0) > 0, has_psc = psc.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::partoken::parts", Rows(exec, 0, 1), KOKKOS_LAMBDA(const int) {
        parts(0) = has_vq ? beta * vq(0) : 0.0;
        parts(1) = has_psc ? psc(0) : 0.0;
        parts(2) = card(0);
      });
}

}  // namespace

template <class T>
Model<T>::Model(ParamStore<T>& store, const ModelOptions& o)
    : options_(o),
      encoder_(store, o.protein.encoder, kNames),
      partitioner_(store, o.partitioner),
      attention_(store, o.width(), o.heads, o.corrected),
      gate_(store, o.width()),
      codebook_(store, o.codebook),
      unused_hidden_(store, "cluster_attention.0", o.width(), o.width() / 2, true, false),
      unused_(store, "cluster_attention.3", o.width() / 2, 1, true, false),
      head_(store, "classifier", o.width(), 2 * o.width(), o.protein.outputs),
      pooling_(store, o.protein.pooling, o.width()) {}

template <class T>
View2<T> Model<T>::forward(Step<T>& step, const ResidueInput<T>& batch, const CodebookUse& use, const Given* given) {
  Saved& s = saved_;
  const auto* masks = given != nullptr ? &given->masks : nullptr;
  const RowDropout<T> of_nodes{options_.protein.drop_rate, batch.graph_key, batch.graph_ptr, batch.node_graph, masks};
  const RowDropout<T> of_graphs{options_.protein.drop_rate, batch.graph_key, {}, {}, masks};
  s.use = use;
  s.codes = {};
  const View2<T> x = encoder_.forward(step, batch, of_nodes);
  partitioner_.forward(step, batch, x, given != nullptr ? &given->draws : nullptr, s.partition);
  end_part(clock_, step.exec, "partitioner");
  const View2<T> clusters = s.partition.clusters;
  const View1<int> members = s.partition.members;
  if (!use.bypass) {
    codebook_.quantise(step, clusters, members, use.update && step.training(), s.codes);
    if (use.presence) codebook_.presence(step, static_cast<std::size_t>(batch.num_graphs), s.partition.chains, s.codes);
  }
  parts_ = step.arena.template array<double>(3);
  set_parts(step.exec, s.codes.commit, s.codes.psc, s.partition.penalty, options_.codebook.beta, parts_);
  end_part(clock_, step.exec, "codebook");
  const View2<T> pooled = pooling_.forward(step, batch.nodes_of_graph(), x, s.pooled);
  end_part(clock_, step.exec, "pooling");
  s.importance = step.arena.template array<T>(clusters.extent(0));
  s.star =
      attention_.forward(step, of_graphs, pooled, options_.quantized && !use.bypass ? s.codes.picked : clusters, members, s.importance, s.attention);
  end_part(clock_, step.exec, "cluster attention");
  s.fused = gate_.forward(step, of_graphs, pooled, s.star, s.gate);
  end_part(clock_, step.exec, "gate");
  const View2<T> output = head_.forward(step, of_graphs, s.fused, s.head);
  end_part(clock_, step.exec, "head");
  return output;
}

template <class T>
void Model<T>::backward(Step<T>& step, const ResidueInput<T>& batch, View2<T> doutput, const LossWeights& weights) {
  ArenaFrame frame(step.arena);
  const Saved& s = saved_;
  const auto like = [&](const View2<T>& x) { return step.arena.template matrix<T>(x.extent(0), x.extent(1)); };
  const auto dfused = like(s.fused), dpooled = like(s.pooled.y), dstar = like(s.star), dclusters = like(s.partition.clusters),
             dx = like(s.partition.x);
  head_.backward(step, s.head, doutput, dfused);
  gate_.backward(step, s.gate, dfused, dpooled, dstar);
  attention_.backward(step, s.attention, s.partition.members, dstar, dpooled, dclusters);
  if (!s.use.bypass && weights.vq > 0.0) codebook_.commit_backward(step, s.codes, weights.vq, dclusters);
  if (!s.use.bypass && s.use.presence && weights.psc > 0.0) codebook_.presence_backward(step, s.codes, weights.psc, dclusters);
  pooling_.backward(step, batch.nodes_of_graph(), s.pooled, dpooled, dx);
  partitioner_.backward(step, batch, s.partition, dclusters, weights.card, dx);
  encoder_.backward(step, batch, dx);
}

template class Model<float>;
template class Model<double>;

}  // namespace gnn_hpc::partoken
