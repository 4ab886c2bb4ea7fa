// SPDX-License-Identifier: Apache-2.0
#include "models/gvp/task.hpp"

namespace gnn_hpc::gvp {

template <class T>
std::string GvpTask<T>::component(const std::string& name) const {
  if (name.starts_with("W_v") || name.starts_with("W_s")) return "residue embedding";
  if (name.starts_with("W_e")) return "edge embedding";
  if (name.starts_with("layers.")) return name.find(".conv.") != std::string::npos ? "messages" : "feed-forward and norms";
  return name.starts_with("W_out") ? "read-out" : name.starts_with("attention") ? "pooling" : "head";
}

template <class T>
std::unique_ptr<Task<T>> make_task(Config& root, std::uint64_t seed) {
  ProteinDataOptions data = ProteinDataOptions::parse(root);
  Config node = root.block("model", "geometric vector perceptrons");
  const ModelOptions model = ModelOptions::parse(node);
  node.done();
  return std::make_unique<GvpTask<T>>(std::move(data), model, seed);
}

template class GvpTask<float>;
template class GvpTask<double>;
template std::unique_ptr<Task<float>> make_task<float>(Config&, std::uint64_t);
template std::unique_ptr<Task<double>> make_task<double>(Config&, std::uint64_t);

}  // namespace gnn_hpc::gvp
