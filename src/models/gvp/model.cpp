// SPDX-License-Identifier: Apache-2.0
#include "models/gvp/model.hpp"

namespace gnn_hpc::gvp {

template <class T>
Model<T>::Model(ParamStore<T>& store, const ModelOptions& o)
    : options_(o),
      encoder_(store, o.encoder),
      pooling_(store, o.pooling, o.encoder.node_scalars),
      head_(store, "classifier", o.encoder.node_scalars, o.encoder.node_scalars, o.outputs) {}

template <class T>
View2<T> Model<T>::forward(Step<T>& step, const ResidueInput<T>& batch, const std::map<std::string, View2<T>>* given) {
  const RowDropout<T> of_nodes{options_.drop_rate, batch.graph_key, batch.graph_ptr, batch.node_graph, given};
  const RowDropout<T> of_graphs{options_.drop_rate, batch.graph_key, {}, {}, given};
  const View2<T> x = encoder_.forward(step, batch, of_nodes);
  return head_.forward(step, of_graphs, pooling_.forward(step, batch.nodes_of_graph(), x, pooled_), saved_);
}

template <class T>
void Model<T>::backward(Step<T>& step, const ResidueInput<T>& batch, View2<T> doutput) {
  ArenaFrame frame(step.arena);
  const auto dpooled = step.arena.template matrix<T>(pooled_.y.extent(0), pooled_.y.extent(1));
  const auto dx = step.arena.template matrix<T>(pooled_.x.extent(0), pooled_.x.extent(1));
  head_.backward(step, saved_, doutput, dpooled);
  pooling_.backward(step, batch.nodes_of_graph(), pooled_, dpooled, dx);
  encoder_.backward(step, batch, dx);
}

template <class T>
std::vector<TracedTensor> trace(const Model<T>& model) {
  std::vector<TracedTensor> out;
  const auto add = [&](const std::string& name, const View2<T>& x) { out.push_back({name, {x.extent(0), x.extent(1)}, host_values(x)}); };
  const auto add_state = [&](const std::string& name, const GvpState<T>& x) {
    add(name + ".s", x.s);
    const std::vector<double> rows = host_values(x.v);  // [R,3,C]; files hold [R,C,3]
    const std::size_t channels = x.v.extent(1);
    std::vector<double> values(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::size_t r = i / (3 * channels), d = i / channels % 3, c = i % channels;
      values[(r * channels + c) * 3 + d] = rows[i];
    }
    out.push_back({name + ".v", {x.s.extent(0), channels, 3}, std::move(values)});
  };
  const auto& saved = model.encoder().saved();
  add_state("node_embed", saved.node.out);
  add_state("edge_embed", saved.edges);
  for (std::size_t l = 0; l < saved.layers.size(); ++l) {
    const std::string name = "layers." + std::to_string(l);
    add_state(name + ".conv", saved.layers[l].message);
    add_state(name, saved.layers[l].out);
  }
  add("node_out", model.node_out());
  add("pooled", model.pooled());
  return out;
}

template class Model<float>;
template class Model<double>;
template std::vector<TracedTensor> trace(const Model<float>&);
template std::vector<TracedTensor> trace(const Model<double>&);

}  // namespace gnn_hpc::gvp
