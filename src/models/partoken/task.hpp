// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/partoken/model.hpp"
#include "models/protein/task.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gnn_hpc::partoken {

/// ParToken on protein chains.
template <class T>
class PartokenTask final : public protein::ProteinTask<T>, public AuxiliaryLoss {
 public:
  PartokenTask(ProteinDataOptions data, const ModelOptions& model, std::uint64_t seed)
      : protein::ProteinTask<T>("partoken", std::move(data), model.protein, seed), options_(model) {}

  std::string variant() const override;
  void forward(Step<T>& step) override;
  View1<double> loss(Step<T>& step, double divisor) override;
  void backward(Step<T>& step) override;
  bool has_auxiliary_loss() const override { return options_.loss != LossKind::ce; }
  View1<double> target_loss() override { return class_loss_; }

 protected:
  void make_model(ParamStore<T>& store) override;
  View2<T> residue_features() const override { return model_->saved().partition.x; }
  std::string component(const std::string& parameter) const override;

 private:
  LossWeights weights() const;

  ModelOptions options_;
  std::optional<Model<T>> model_;
  View1<double> class_loss_;
};

/// Reads the blocks `data`, `graph` and `model`; weights are drawn from the seed.
template <class T>
std::unique_ptr<Task<T>> make_task(Config& root, std::uint64_t seed);

}  // namespace gnn_hpc::partoken
