// SPDX-License-Identifier: Apache-2.0
#include "verify/hgnn_moe_trajectory.hpp"

#include "train/optimizer.hpp"
#include "verify/trajectory.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gnn_hpc::verify::hgnn_moe {

using gnn_hpc::hgnn_moe::HostTokenBatch;
using gnn_hpc::hgnn_moe::Model;
using gnn_hpc::hgnn_moe::TokenBatch;

namespace {

/// Bias of the keys: it adds the same number to all scores of a query, so that softmax does not feel it and its gradient is rounding noise.
bool holds_key_bias(const TensorInfo& tensor) { return tensor.name.ends_with("attention.in_proj_bias"); }

TrainOptions train_options(const GoldenFile& file, const RealTensor& rates) {
  TrainOptions o;
  o.epochs = 1;
  o.optimizer = "adamw";
  o.schedule = "cosine";
  o.no_decay.clear();
  o.weight_decay = 0.01;
  o.clip_norm = 1.0;
  o.learning_rate = rates.values.at(0);
  if (file.has_attribute("config", "weight_decay")) o.weight_decay = file.number_attribute("config", "weight_decay");
  if (file.has_attribute("config", "clip_norm")) o.clip_norm = file.number_attribute("config", "clip_norm");
  if (file.has_attribute("config", "eta_min")) o.minimum_learning_rate = file.number_attribute("config", "eta_min");
  return o;
}

template <class T>
class Trajectory {
 public:
  Trajectory(GoldenFile& file, Model<T>& model, ParamStore<T>& store, const ExpectedGradients* gradients, Report& report)
      : file_(file), model_(model), store_(store), gradients_(gradients), report_(report), allowed_(Tolerances::of(std::is_same_v<T, float>)) {}

  void run(const std::function<HostTokenBatch(std::int64_t)>& batch_of) {
    const RealTensor expected = file_.real("trajectory/loss"), rates = file_.real("trajectory/lr");
    if (expected.shape.size() != 1 || expected.values.empty() || rates.shape != expected.shape) {
      return report_.fail("trajectory/loss", fmt::format("shape {}, that of trajectory/lr {}; expected one number a step in both",
                                                         shape_text(expected.shape), shape_text(rates.shape)));
    }
    const TrainOptions options = train_options(file_, rates);
    const auto steps = static_cast<std::int64_t>(expected.values.size());
    const Schedule schedule(options, steps);
    Optimizer<T> optimizer(store_, options);
    RealTensor losses{expected.shape, {}}, norms = losses, ours = losses;
    TokenBatch batch;
    for (std::int64_t s = 0; s < steps; ++s) {
      arena_.reset();
      Step<T> step{exec_, arena_, Mode::train, RandomKey{}, alone_, s};
      const HostTokenBatch host = batch_of(s);
      batch.upload(host, exec_);
      optimizer.begin_step(exec_);
      store_.zero_gradients(exec_);
      model_.forward(step, batch);
      const View1<double> loss = model_.loss(step, batch, std::max(host.loss_weight, 1.0));
      model_.backward(step, batch);
      const StepRate rate = schedule.at(s);
      optimizer.rest(model_.resting());
      optimizer.apply(exec_, rate);
      exec_.fence("gnn_hpc::verify::trajectory");
      losses.values.push_back(Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), loss)(1));  // without specialisation losses
      norms.values.push_back(std::sqrt(Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), optimizer.report())(Optimizer<T>::kNormSquared)));
      ours.values.push_back(rate.learning_rate);
    }
    report_.compare("trajectory/loss", expected, losses, allowed_.trajectory);
    report_.compare("trajectory/lr", rates, ours, allowed_.input);
    const RealTensor norm = file_.real("trajectory/grad_norm");
    report_.compare("trajectory/grad_norm", norm, norms, allowed_.trajectory);
    const double first = norm.values.empty() ? 0.0 : std::abs(norm.values[0]);
    const Steps taken = Steps::of(ours.values, options.clip_norm, first);
    compare_final_norms<T>(file_, store_, allowed_, [&](const TensorInfo& t) { return walk_of(t, first, taken); }, report_);
  }

 private:
  /// A file without gradients has their norm, which bounds the largest of them: noise of the keys' third of the bias.
  double walk_of(const TensorInfo& tensor, double gradient_norm, const Steps& taken) const {
    if (gradients_ != nullptr) return gradients_->walk(tensor.name, taken);
    return holds_key_bias(tensor) ? taken.walk(std::vector<double>(tensor.size / 3, allowed_.zero_noise * gradient_norm)) : 0.0;
  }

  GoldenFile& file_;
  Model<T>& model_;
  ParamStore<T>& store_;
  const ExpectedGradients* gradients_;
  Report& report_;
  Tolerances allowed_;
  Exec exec_;
  Arena arena_;
  Comm alone_;
};

}  // namespace

template <class T>
void require_trajectory(const GoldenFile& file, const ParamStore<T>& store, bool required, Manifest& manifest) {
  if (!required && !file.has_group("trajectory")) return;
  manifest.data({"loss", "lr", "grad_norm"}, "trajectory/");
  for (const TensorInfo& t : store.tensors()) manifest.data({t.name}, "trajectory/final_norm/");
}

template <class T>
void check_trajectory(GoldenFile& file, Model<T>& model, ParamStore<T>& store, const ExpectedGradients* gradients,
                      const std::function<HostTokenBatch(std::int64_t)>& batch_of, Report& report) {
  if (file.has_group("trajectory")) Trajectory<T>(file, model, store, gradients, report).run(batch_of);
}

template <class T>
RealTensor evaluate_batches(Model<T>& model, const std::vector<HostTokenBatch>& batches) {
  const Exec exec;
  const Comm alone;
  Arena arena;
  TokenBatch batch;
  double sum = 0.0, count = 0.0;
  for (const HostTokenBatch& host : batches) {
    arena.reset();
    Step<T> step{exec, arena, Mode::evaluate, RandomKey{}, alone};
    batch.upload(host, exec);
    model.forward(step, batch);
    const View1<double> loss = model.loss(step, batch, 1.0);
    exec.fence("gnn_hpc::verify::evaluate_batches");
    sum += Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), loss)(1);
    count += host.loss_weight;
  }
  const double mean = count > 0.0 ? sum / count : std::numeric_limits<double>::infinity();
  return {{2}, {mean, std::exp(std::fmin(mean, 20.0))}};
}

template void require_trajectory<float>(const GoldenFile&, const ParamStore<float>&, bool, Manifest&);
template void require_trajectory<double>(const GoldenFile&, const ParamStore<double>&, bool, Manifest&);
template void check_trajectory<float>(GoldenFile&, Model<float>&, ParamStore<float>&, const ExpectedGradients*,
                                      const std::function<HostTokenBatch(std::int64_t)>&, Report&);
template void check_trajectory<double>(GoldenFile&, Model<double>&, ParamStore<double>&, const ExpectedGradients*,
                                       const std::function<HostTokenBatch(std::int64_t)>&, Report&);
template RealTensor evaluate_batches<float>(Model<float>&, const std::vector<HostTokenBatch>&);
template RealTensor evaluate_batches<double>(Model<double>&, const std::vector<HostTokenBatch>&);

}  // namespace gnn_hpc::verify::hgnn_moe
