// SPDX-License-Identifier: Apache-2.0
#include "verify/trajectory.hpp"

#include "train/optimizer.hpp"
#include "train/schedule.hpp"

#include <algorithm>
#include <cmath>

namespace gnn_hpc::verify {

namespace {

/// `group`/NAME against the norms of the store's parameters.
template <class T>
void compare_final_norms(GoldenFile& file, const std::string& group, const ParamStore<T>& store, const Tolerances& allowed,
                         const std::function<double(const TensorInfo&)>& walk, Report& report) {
  for (const std::string& name : file.names_under(group)) {
    const RealTensor expected = file.real(name);
    const TensorInfo* tensor = store.find(name.substr(group.size() + 1));
    if (tensor == nullptr) {
      report.fail(name, "the model has no parameter of this name");
      continue;
    }
    double squares = 0.0;
    for (const double v : store.get(*tensor)) squares += v * v;
    const double scale = largest_magnitude(expected.values), further = walk(*tensor);
    report.compare_within(name, expected, {{}, {std::sqrt(squares)}}, allowed.trajectory * scale + further, scale,
                          further > allowed.trajectory * scale ? "next to no gradient: Adam makes steps of its rounding" : "");
  }
}

}  // namespace

Steps Steps::of(const std::vector<double>& rates, double clip_norm, double norm) {
  Steps steps;
  for (const double rate : rates) steps.rate_sum += rate;
  if (clip_norm > 0.0) steps.clip_factor = std::min(1.0, clip_norm / (norm + 1e-6));
  return steps;
}

double Steps::walk(const std::vector<double>& noise, const std::vector<double>& gradient) const {
  constexpr double kEpsilon = 1e-8;  // of the optimiser
  double squares = 0.0;
  for (std::size_t i = 0; i < noise.size(); ++i) {
    const double off = clip_factor * noise[i], size = gradient.empty() ? 0.0 : clip_factor * std::abs(gradient[i]);
    const double part = off / (size + off + kEpsilon);
    squares += part * part;
  }
  return 2.0 * rate_sum * std::sqrt(squares);
}

template <class T>
void require_trajectory(const GoldenFile& file, const ParamStore<T>& store, std::initializer_list<std::string_view> names, bool required,
                        Manifest& manifest) {
  if (!required && !file.has_group("trajectory")) return;
  manifest.data(names, "trajectory/");
  for (const TensorInfo& t : store.tensors()) manifest.data({t.name}, "trajectory/final_norm/");
}

template <class T>
void check_trajectory(GoldenFile& file, ParamStore<T>& store, const Trajectory& trajectory, Report& report) {
  const Tolerances allowed = Tolerances::of(std::is_same_v<T, float>);
  const RealTensor expected = file.real("trajectory/loss"), rates = trajectory.stored_rates ? file.real("trajectory/lr") : expected;
  if (expected.shape.size() != 1 || expected.values.empty() || rates.shape != expected.shape) {
    return report.fail("trajectory/loss", fmt::format("shape {}, that of trajectory/lr {}; expected one number a step in both",
                                                      shape_text(expected.shape), shape_text(rates.shape)));
  }
  if (static_cast<std::int64_t>(expected.values.size()) > trajectory.most_steps) {
    return report.fail("trajectory/loss",
                       fmt::format("shape {}, the schedule is made for {} steps", shape_text(expected.shape), trajectory.most_steps));
  }
  const Exec exec;
  const Schedule schedule(trajectory.options, trajectory.steps_per_epoch);
  Optimizer<T> optimizer(store, trajectory.options);
  RealTensor losses{expected.shape, {}}, ours = losses, betas = losses, norms = losses;
  for (std::size_t s = 0; s < expected.values.size(); ++s) {
    const StepRate rate = schedule.at(static_cast<std::int64_t>(s));
    store.zero_gradients(exec);
    optimizer.begin_step(exec);
    losses.values.push_back(trajectory.pass(static_cast<std::int64_t>(s)));
    if (trajectory.resting) optimizer.rest(trajectory.resting());
    optimizer.apply(exec, rate);
    exec.fence("gnn_hpc::verify::check_trajectory");
    norms.values.push_back(std::sqrt(Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), optimizer.report())(Optimizer<T>::kNormSquared)));
    ours.values.push_back(rate.learning_rate);
    betas.values.push_back(rate.beta1);
  }
  report.compare("trajectory/loss", expected, losses, allowed.trajectory);
  if (trajectory.stored_rates) report.compare("trajectory/lr", rates, ours, allowed.input);
  if (file.has("trajectory/beta1")) report.compare("trajectory/beta1", file.real("trajectory/beta1"), betas, allowed.input);
  if (file.has("trajectory/grad_norm")) report.compare("trajectory/grad_norm", file.real("trajectory/grad_norm"), norms, allowed.trajectory);
  const Steps taken = Steps::of(ours.values, trajectory.options.clip_norm, trajectory.gradient_norm);
  compare_final_norms<T>(
      file, "trajectory/" + trajectory.norms, store, allowed, [&](const TensorInfo& t) { return trajectory.walk(t, taken); }, report);
}

template void require_trajectory<float>(const GoldenFile&, const ParamStore<float>&, std::initializer_list<std::string_view>, bool, Manifest&);
template void require_trajectory<double>(const GoldenFile&, const ParamStore<double>&, std::initializer_list<std::string_view>, bool, Manifest&);
template void check_trajectory<float>(GoldenFile&, ParamStore<float>&, const Trajectory&, Report&);
template void check_trajectory<double>(GoldenFile&, ParamStore<double>&, const Trajectory&, Report&);

}  // namespace gnn_hpc::verify
