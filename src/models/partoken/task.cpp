// SPDX-License-Identifier: Apache-2.0
#include "models/partoken/task.hpp"

#include <fmt/format.h>

namespace gnn_hpc::partoken {

namespace {

/// total = cls + sum of the weighted parts.
void add_parts(const Exec& exec, View1<double> cls, View1<double> parts, const LossWeights& w, View1<double> total) {
  Kokkos::parallel_for(
      "gnn_hpc::partoken::loss", Rows(exec, 0, 1),
      KOKKOS_LAMBDA(const int) { total(0) = cls(0) + w.vq * parts(0) + w.psc * parts(1) + w.card * parts(2); });
}

}  // namespace

template <class T>
void PartokenTask<T>::make_model(ParamStore<T>& store) {
  options_.protein = this->options();
  options_.complete();
  model_.emplace(store, options_);
}

template <class T>
std::string PartokenTask<T>::variant() const {
  const PartitionerOptions& p = options_.partitioner;
  return fmt::format("ParToken, {} clusters of at most {} residues within {} hop(s), {} codes, {} loss; ", p.max_clusters, p.cluster_size_max, p.k_hop,
                     options_.codebook.codes, name_of(options_.loss)) +
         protein::ProteinTask<T>::variant();
}

template <class T>
std::string PartokenTask<T>::component(const std::string& name) const {
  if (name.starts_with("node_encoder") || name.starts_with("sequence")) return "residue embedding";
  if (name.starts_with("edge_encoder")) return "edge embedding";
  if (name.starts_with("gvp_layers")) return "layers";
  if (name.starts_with("output_projection")) return "read-out";
  if (name.starts_with("partitioner")) return "partitioner";
  if (name.starts_with("global_cluster_attn")) return "cluster attention";
  if (name.starts_with("fw_gate")) return "gate";
  return name.starts_with("cluster_attention") ? "unused" : "head";
}

template <class T>
LossWeights PartokenTask<T>::weights() const {
  if (options_.loss == LossKind::ce) return {};
  if (options_.loss == LossKind::loop) return {1.0, 0.0, 0.0};
  const double card = options_.corrected ? options_.lambda_card : options_.lambda_card * options_.lambda_card;
  return {options_.lambda_vq, options_.lambda_psc, card};
}

template <class T>
void PartokenTask<T>::forward(Step<T>& step) {
  this->set_output(model_->forward(step, this->batch(), {false, true, weights().psc > 0.0}));
}

template <class T>
View1<double> PartokenTask<T>::loss(Step<T>& step, double divisor) {
  class_loss_ = protein::ProteinTask<T>::loss(step, divisor);
  if (!step.training()) return class_loss_;
  const View1<double> total = step.arena.template array<double>(1);
  add_parts(step.exec, class_loss_, model_->part_losses(), weights(), total);
  return total;
}

template <class T>
void PartokenTask<T>::backward(Step<T>& step) {
  model_->backward(step, this->batch(), this->output_gradient(), weights());
}

template <class T>
std::unique_ptr<Task<T>> make_task(Config& root, std::uint64_t seed) {
  ProteinDataOptions data = ProteinDataOptions::parse(root);
  Config node = root.block("model", "encoder of geometric vector perceptrons, partitioner, codebook");
  const ModelOptions model = ModelOptions::parse(node);
  node.done();
  return std::make_unique<PartokenTask<T>>(std::move(data), model, seed);
}

template class PartokenTask<float>;
template class PartokenTask<double>;
template std::unique_ptr<Task<float>> make_task<float>(Config&, std::uint64_t);
template std::unique_ptr<Task<double>> make_task<double>(Config&, std::uint64_t);

}  // namespace gnn_hpc::partoken
