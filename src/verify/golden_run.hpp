// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/param.hpp"
#include "nn/traced_tensor.hpp"
#include "verify/comparison.hpp"
#include "verify/expected_gradients.hpp"
#include "verify/golden_file.hpp"
#include "verify/manifest.hpp"
#include "verify/trajectory.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gnn_hpc::verify {

/// Losses of a pass: full names in the file with their values, and the one that trajectories record.
struct GoldenLosses {
  std::vector<std::pair<std::string, double>> named;
  double recorded = 0.0;
};

/// A model on the batch of a golden file, in one way of evaluating it, at precision T: what a system tells GoldenRun. The constructor of a
/// derived class reads `config` and `inputs` and adds the model's tensors to `store`.
template <class T>
class GoldenCase {
 public:
  virtual ~GoldenCase() = default;

  ParamStore<T> store;
  std::string suffix;  ///< of names in the report, where a model is evaluated in several ways
  bool main = true;    ///< the way in which the model must know every output of the file
  bool steps = true;   ///< whose trajectory is compared

  /// Which gradients are special: `used`, `cancels`, `saturates`. Called after the first pass.
  virtual void mark(std::vector<GradientName>& names) const = 0;
  /// True if a gradient must be in the file although its tensor takes no part.
  virtual bool needs_unused_gradients() const { return true; }
  /// What the file must hold besides gradients. Called after the first pass.
  virtual void require(Manifest& manifest) const = 0;
  /// Value of a tensor or buffer before the first step.
  virtual std::vector<double> initial(const TensorInfo& tensor, bool is_buffer) = 0;
  /// Once, when the store holds its memory: uploads, tables.
  virtual void prepare() {}
  /// Forward, loss and backward of a training step; gradients are added to. `traced`: all that the file may call an output, if asked for.
  virtual GoldenLosses pass(std::int64_t step, std::vector<TracedTensor>* traced) = 0;
  /// The step at which the file's gradients were taken.
  virtual std::int64_t first_step() { return 0; }
  virtual std::vector<std::string> resting() const { return {}; }
  /// Ours and theirs; by default within Tolerances::output. `name` begins with `outputs/`.
  virtual void compare_output(GoldenFile& file, const std::string& name, const TracedTensor& ours, Report& report) {
    report.compare(name + suffix, file.real(name), {ours.shape, ours.values}, Tolerances::of(std::is_same_v<T, float>).output);
  }
  /// Outputs (full names) that `check_further` compares.
  virtual bool is_further(std::string_view name) const {
    static_cast<void>(name);
    return false;
  }
  /// Anything else, after the first pass and before the trajectory.
  virtual void check_further(Report& report) { static_cast<void>(report); }
  /// Options and schedule of the file's trajectory.
  virtual Trajectory trajectory() = 0;
  /// What else the file holds of the state after its last step.
  virtual void after_trajectory(Report& report) { static_cast<void>(report); }
};

/// Compares all that a golden file of kind `model` may hold: outputs, losses, every gradient, buffers, optimiser steps.
template <class T>
class GoldenRun {
 public:
  GoldenRun(GoldenFile& file, GoldenCase<T>& model, Report& report)
      : file_(file), case_(model), report_(report), allowed_(Tolerances::of(std::is_same_v<T, float>)) {}

  void check() {
    // A damaged width must not become an allocation that the machine cannot give.
    if (case_.store.num_parameters() > kMostParameters) {
      file_.fail(fmt::format("config describes a model of {} parameters; damaged?", case_.store.num_parameters()));
    }
    refuse_unknown_parameters();
    case_.store.finalize(0);
    for (const TensorInfo& t : case_.store.tensors()) initial_[t.name] = case_.initial(t, false);
    for (const TensorInfo& t : case_.store.buffer_tensors()) initial_[t.name] = case_.initial(t, true);
    case_.prepare();
    load();
    case_.store.zero_gradients(Exec());
    std::vector<TracedTensor> traced;
    const GoldenLosses losses = case_.pass(case_.first_step(), &traced);
    require();
    check_outputs(traced);
    for (const auto& [name, value] : losses.named) report_.compare(name + case_.suffix, file_.scalar(name), value, allowed_.output);
    for (const TensorInfo& t : case_.store.tensors()) gradients_->compare(t.name, {t.shape, case_.store.get_gradient(t)}, case_.suffix, report_);
    if (case_.main) gradients_->report_unknown(report_);
    check_buffers();
    case_.check_further(report_);
    check_steps();
  }

 private:
  static constexpr std::size_t kMostParameters = std::size_t{1} << 30;

  void refuse_unknown_parameters() const {
    for (const std::string& name : file_.names_under("params")) {
      const std::string own = name.substr(7);
      if (case_.store.find(own) == nullptr && case_.store.find_buffer(own) == nullptr && !is_constant(own)) {
        file_.fail(fmt::format("{}: the model has no parameter of this name", name));
      }
    }
  }
  /// What published checkpoints hold besides parameters: counters and centres of expansions.
  static bool is_constant(std::string_view name) {
    return name.ends_with(".num_batches_tracked") || name.ends_with(".centers") || name.ends_with(".tp.weight") || name.ends_with(".tp.output_mask");
  }

  void load() {
    for (const TensorInfo& t : case_.store.tensors()) case_.store.set(t, initial_.at(t.name));
    for (const TensorInfo& t : case_.store.buffer_tensors()) case_.store.set_buffer(t, initial_.at(t.name));
  }

  /// Every gradient, and what the case asks for. Which tensors take part is known only after a pass.
  void require() {
    std::vector<GradientName> names = gradient_names(case_.store.tensors());
    case_.mark(names);
    gradients_.emplace(file_, "", std::move(names), allowed_);
    Manifest manifest(file_);
    manifest.data(gradients_->missing(case_.needs_unused_gradients()));
    case_.require(manifest);
    manifest.finish();
  }

  void check_outputs(const std::vector<TracedTensor>& traced) {
    std::map<std::string, const TracedTensor*> by_name;
    for (const TracedTensor& t : traced) by_name[t.name] = &t;
    for (const std::string& name : file_.names_under("outputs")) {
      if (case_.is_further(name)) continue;
      const auto found = by_name.find(name.substr(8));
      if (found != by_name.end())
        case_.compare_output(file_, name, *found->second, report_);
      else if (case_.main)
        report_.fail(name, "not checked: the model has no intermediate of this name");
    }
  }

  void check_buffers() {
    if (!case_.main) return;
    for (const std::string& name : file_.names_under("buffers_after")) {
      const RealTensor expected = file_.real(name);
      const TensorInfo* info = case_.store.find_buffer(name.substr(14));
      if (info)
        report_.compare(name, expected, {info->shape, case_.store.get_buffer(*info)}, allowed_.output);
      else if (!is_constant(name))
        report_.fail(name, "the model has no buffer of this name");
    }
  }

  void check_steps() {
    if (!case_.steps || !file_.has_group("trajectory")) return;
    load();
    Trajectory t = case_.trajectory();
    t.pass = [this](std::int64_t step) { return case_.pass(step, nullptr).recorded; };
    t.resting = [this] { return case_.resting(); };
    t.walk = [this](const TensorInfo& tensor, const Steps& taken) { return gradients_->walk(tensor.name, taken); };
    t.gradient_norm = gradients_->norm();
    check_trajectory<T>(file_, case_.store, t, report_);
    case_.after_trajectory(report_);
  }

  GoldenFile& file_;
  GoldenCase<T>& case_;
  Report& report_;
  Tolerances allowed_;
  std::map<std::string, std::vector<double>> initial_;
  std::optional<ExpectedGradients> gradients_;
};

}  // namespace gnn_hpc::verify
