// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/hgnn_moe/coupler.hpp"
#include "models/hgnn_moe/experts.hpp"
#include "models/hgnn_moe/options.hpp"

#include <memory>
#include <string>
#include <vector>

namespace gnn_hpc::hgnn_moe {

/// One layer: x <- x + coupler(experts(x)).
template <class T>
class Layer {
 public:
  virtual ~Layer() = default;
  /// y [R,D] from x [R,D]. Keeps what backward needs; adds its specialisation losses to `extra` (one number, empty: not wanted).
  virtual void forward(Step<T>& step, const TokenBatch& batch, View2<T> x, View2<T> y, View1<double> extra) = 0;
  /// dx holds the gradient of y and becomes that of x.
  virtual void backward(Step<T>& step, const TokenBatch& batch, View2<T> dx) = 0;
  /// `new_tokens` more tokens of every sequence; see ExpertBank::decode.
  virtual void decode(Step<T>& step, int sequences, int past, int new_tokens, View2<T> x, View2<T> cache, int capacity, View2<T> y) = 0;

  /// Parts of the names of parameters without gradient in the last forward pass.
  virtual std::vector<std::string> resting() const { return {}; }

  /// Experts in groups with the names that intermediates carry: "expert" (all), or "primary" and "ghost".
  virtual std::vector<std::pair<std::string, const ExpertBank<T>*>> banks() const = 0;
  virtual View2<T> outputs(const std::string& bank) const = 0;  ///< X [R, E D] of the last forward
  /// Intermediates of the couplers (`coupler.` in front), and `saturation` of a ghost layer. Fences.
  virtual std::vector<CouplerTap> taps(Step<T>& step) const = 0;
  virtual std::vector<CouplerTap> report() const = 0;
  virtual double smallest_degree(const Exec& exec) const = 0;
};

/// A layer with or without ghosts, by `options.num_ghost_experts`; parameters `name.*`.
template <class T>
std::unique_ptr<Layer<T>> make_layer(ParamStore<T>& store, const std::string& name, const ModelOptions& options, int index);

}  // namespace gnn_hpc::hgnn_moe
