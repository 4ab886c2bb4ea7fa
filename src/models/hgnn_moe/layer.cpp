// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/layer.hpp"

#include "models/hgnn_moe/ghost_layer.hpp"
#include "models/hgnn_moe/specialisation.hpp"

#include <limits>

namespace gnn_hpc::hgnn_moe {

namespace {

template <class T>
class ExpertLayer final : public Layer<T> {
 public:
  ExpertLayer(ParamStore<T>& store, const std::string& name, const ModelOptions& o, int index)
      : index_(index),
        options_(o.orthogonality),
        bank_(store, name + ".experts", o, o.num_experts),
        coupler_(make_coupler(store, name + ".coupler", o)),
        output_loss_(o.orthogonality, o.num_experts, o.embed_dim) {
    if (options_.weights) weight_loss_ = WeightOrthogonality<T>(targets(options_.weight_target));
  }

  void forward(Step<T>& step, const TokenBatch& batch, View2<T> x, View2<T> y, View1<double> extra) override {
    out_ = step.arena.template matrix<T>(static_cast<std::size_t>(batch.num_rows), columns());
    bank_.forward(step, batch, key(step), x, out_);
    coupler_->forward(step, out_, x, y);
    specialised_ = extra.extent(0) > 0;
    if (!specialised_) return;
    const double warm = warmup_factor(options_, step.index);
    if (options_.outputs) output_loss_.forward(step, out_, warm * options_.output_weight, extra);
    if (options_.weights) weight_loss_.forward(step, warm * options_.weight_weight, extra);
  }

  void backward(Step<T>& step, const TokenBatch& batch, View2<T> dx) override {
    ArenaFrame frame(step.arena);
    OutputGradient<T> gradient = coupler_->backward(step, dx);
    if (specialised_ && options_.outputs) {
      if (gradient.each.extent(1) == 0) {
        gradient.each = step.arena.template matrix<T>(out_.extent(0), columns());
        Kokkos::deep_copy(step.exec, gradient.each, T(0));
      }
      output_loss_.backward(step, out_, gradient.each);
    }
    if (specialised_ && options_.weights) weight_loss_.backward(step);
    bank_.backward(step, batch, key(step), gradient, dx);
  }

  void decode(Step<T>& step, int sequences, int past, int new_tokens, View2<T> x, View2<T> cache, int capacity, View2<T> y) override {
    ArenaFrame frame(step.arena);
    out_ = step.arena.template matrix<T>(x.extent(0), columns());
    bank_.decode(step, sequences, past, new_tokens, x, cache, capacity, 0, out_);
    coupler_->forward(step, out_, x, y);
  }

  std::vector<std::pair<std::string, const ExpertBank<T>*>> banks() const override { return {{"expert", &bank_}}; }
  View2<T> outputs(const std::string&) const override { return out_; }
  std::vector<CouplerTap> taps(Step<T>& step) const override {
    std::vector<CouplerTap> out = coupler_->taps(step);
    for (CouplerTap& tap : out) tap.name = "coupler." + tap.name;
    return out;
  }
  std::vector<CouplerTap> report() const override { return coupler_->report(); }
  double smallest_degree(const Exec& exec) const override { return coupler_->smallest_degree(exec); }

 private:
  std::size_t columns() const { return static_cast<std::size_t>(bank_.size()) * static_cast<std::size_t>(bank_.width()); }
  RandomKey key(const Step<T>& step) const { return step.key.fold(static_cast<std::uint64_t>(index_) + 1); }

  std::vector<Param<T>> targets(WeightTarget target) const {
    std::vector<Param<T>> out;
    const auto add = [&](WeightTarget which, Param<T> ExpertBank<T>::Expert::*member) {
      if (target != which && target != WeightTarget::combined) return;
      for (int e = 0; e < bank_.size(); ++e) out.push_back(bank_.expert(e).*member);
    };
    add(WeightTarget::ffn_input, &ExpertBank<T>::Expert::w1);
    add(WeightTarget::ffn_output, &ExpertBank<T>::Expert::w2);
    add(WeightTarget::attention, &ExpertBank<T>::Expert::in_weight);
    return out;
  }

  int index_;
  OrthogonalityOptions options_;
  ExpertBank<T> bank_;
  std::unique_ptr<Coupler<T>> coupler_;
  OutputOrthogonality<T> output_loss_;
  WeightOrthogonality<T> weight_loss_;
  View2<T> out_;
  bool specialised_ = false;
};

}  // namespace

template <class T>
std::unique_ptr<Layer<T>> make_layer(ParamStore<T>& store, const std::string& name, const ModelOptions& options, int index) {
  if (options.num_ghost_experts > 0) return std::make_unique<GhostLayer<T>>(store, name, options, index);
  return std::make_unique<ExpertLayer<T>>(store, name, options, index);
}

template std::unique_ptr<Layer<float>> make_layer<float>(ParamStore<float>&, const std::string&, const ModelOptions&, int);
template std::unique_ptr<Layer<double>> make_layer<double>(ParamStore<double>&, const std::string&, const ModelOptions&, int);

}  // namespace gnn_hpc::hgnn_moe
