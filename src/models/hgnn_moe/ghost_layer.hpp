// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/hgnn_moe/hgnn_coupler.hpp"
#include "models/hgnn_moe/layer.hpp"

namespace gnn_hpc::hgnn_moe {

/// A layer with E primary experts and G ghosts that wake one by one where the primaries saturate (specification, section 5):
///   x <- x + sum_k softmax(w)_k C_k,  C = coupler of the primaries, of the active ghosts (two at least, else 0), of both (one at least)
/// Ghost outputs are multiplied by their level = count/100. After the primaries of a training step: where the saturation
///   (1 - mean_ij (cosines of the experts' mean outputs - I)^2_ij) var(x - mean_e X_e)
/// exceeds the threshold and a ghost sleeps, the first such gets count 1; otherwise every count in 1..99 grows by 1. This forward scales
/// with the levels before, and couples those ghosts whose level after exceeds 0.1. Counts are a buffer `name.ghost_count` of the store;
/// evaluation leaves them alone. The saturation is over all ranks and read by the host: a fence in every training step.
template <class T>
class GhostLayer final : public Layer<T> {
 public:
  GhostLayer(ParamStore<T>& store, const std::string& name, const ModelOptions& options, int index);

  void forward(Step<T>& step, const TokenBatch& batch, View2<T> x, View2<T> y, View1<double> extra) override;
  void backward(Step<T>& step, const TokenBatch& batch, View2<T> dx) override;
  void decode(Step<T>& step, int sequences, int past, int new_tokens, View2<T> x, View2<T> cache, int capacity, View2<T> y) override;

  /// Ghosts that sleep, and the couplers that wait for them.
  std::vector<std::string> resting() const override;

  std::vector<std::pair<std::string, const ExpertBank<T>*>> banks() const override { return {{"primary", &primary_}, {"ghost", &ghost_}}; }
  View2<T> outputs(const std::string& bank) const override;
  std::vector<CouplerTap> taps(Step<T>& step) const override;
  std::vector<CouplerTap> report() const override;
  double smallest_degree(const Exec&) const override;

 private:
  enum Mix : int { kPrimary, kGhost, kMixed, kMixes };
  RandomKey key(const Step<T>& step, int bank) const {
    return step.key.fold(static_cast<std::uint64_t>(index_) + 1).fold(static_cast<std::uint64_t>(bank));
  }
  double saturation(Step<T>& step, View2<T> x) const;
  std::vector<double> levels() const;
  void advance(bool saturated);
  void choose(const std::vector<double>& scale);
  void couple(Step<T>& step, View2<T> x, View2<T> y);

  std::string name_;
  int index_, primaries_, ghosts_, width_;
  double threshold_;
  ExpertBank<T> primary_, ghost_;
  HgnnCoupler<T> primary_coupler_, ghost_coupler_, mixed_coupler_;
  Param<T> weights_;  ///< coupling_weights [3]
  Buffer<T> count_;   ///< [G] 0 asleep, 1..99 waking, 100 awake

  struct Saved {
    View2<T> all;          ///< [R, (E+G) D]: primaries, then active ghosts times their levels
    View2<T> ghosts;       ///< [R, G D] unscaled
    View2<T> mix[kMixes];  ///< [R,D]
    View1<T> share;        ///< [3] softmax of the weights
    std::vector<int> active;
    std::vector<double> level;  ///< [G] that scaled
    double saturation = 0.0;
  } saved_;
};

}  // namespace gnn_hpc::hgnn_moe
