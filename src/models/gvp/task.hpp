// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/gvp/model.hpp"
#include "models/protein/task.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace gnn_hpc::gvp {

/// GVP on protein chains.
template <class T>
class GvpTask final : public protein::ProteinTask<T> {
 public:
  GvpTask(ProteinDataOptions data, const ModelOptions& model, std::uint64_t seed) : protein::ProteinTask<T>("gvp", std::move(data), model, seed) {}

  std::string variant() const override { return "GVP, " + protein::ProteinTask<T>::variant(); }
  void forward(Step<T>& step) override { this->set_output(model_->forward(step, this->batch())); }
  void backward(Step<T>& step) override { model_->backward(step, this->batch(), this->output_gradient()); }

 protected:
  void make_model(ParamStore<T>& store) override { model_.emplace(store, this->options()); }
  View2<T> residue_features() const override { return model_->node_out(); }
  std::string component(const std::string& parameter) const override;

 private:
  std::optional<Model<T>> model_;
};

/// Reads the blocks `data`, `graph` and `model`; weights are drawn from the seed.
template <class T>
std::unique_ptr<Task<T>> make_task(Config& root, std::uint64_t seed);

}  // namespace gnn_hpc::gvp
