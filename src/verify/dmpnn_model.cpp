// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"
#include "models/dmpnn_diffpool/model.hpp"
#include "train/optimizer.hpp"
#include "verify/adapters.hpp"
#include "verify/dmpnn_inputs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace gnn_hpc::verify::dmpnn {

namespace {

using namespace gnn_hpc::dmpnn;

constexpr std::size_t kMostParameters = std::size_t{1} << 30;

/// The model on the batch of a golden file, at precision T. Everything is compared twice: without sharing, with all intermediates, and
/// with rows of classes.
template <class T>
class GoldenRun {
 public:
  GoldenRun(GoldenFile& file, Report& report)
      : file_(file),
        report_(report),
        allowed_(Tolerances::of(std::is_same_v<T, float>)),
        options_(read_model_options(file)),
        slices_(read_slices(file)),
        molecules_(read_molecules(file, report)),
        model_(store_, options_, molecules_.atoms.width, molecules_.bonds.width) {
    if (static_cast<std::size_t>(molecules_.num_targets) != slices_.size() || molecules_.num_descriptors != options_.descriptors) {
      file_.fail(fmt::format("inputs/y has {} targets and inputs/x_d {} columns, config says {} and {}", molecules_.num_targets,
                             molecules_.num_descriptors, slices_.size(), options_.descriptors));
    }
    check_labels();
    // A damaged width must not become an allocation that the machine cannot give.
    if (store_.num_parameters() > kMostParameters) {
      file_.fail(fmt::format("config describes a model of {} parameters; damaged?", store_.num_parameters()));
    }
    store_.finalize(0);
    model_.set_tables(molecules_.atoms, molecules_.bonds);
    for (const TensorInfo& t : store_.tensors()) initial_[t.name] = file_.real("params/" + t.name, {t.shape.begin(), t.shape.end()}).values;
    for (const TensorInfo& t : store_.buffer_tensors()) initial_[t.name] = store_.get_buffer(t);
    for (const std::string& name : file_.names_under("params")) {
      if (store_.find(name.substr(7)) == nullptr) file_.fail(fmt::format("{}: the model has no parameter of this name", name));
    }
  }

  void check() {
    for (const bool shared : {false, true}) {
      suffix_ = shared ? " (shared states)" : "";
      upload(shared);
      check_pass(!shared);
    }
    check_trajectory();
  }

 private:
  void check_labels() {
    for (std::size_t i = 0; i < molecules_.target.size(); ++i) {
      const TargetSlice& slice = slices_[i % slices_.size()];
      const double y = molecules_.target[i];
      if (slice.kind == TargetSlice::Kind::multiclass && std::isfinite(y) && (y < 0.0 || y >= slice.classes || y != std::floor(y))) {
        file_.fail(fmt::format("inputs/y holds {}, classes are 0 to {}", y, slice.classes - 1));
      }
    }
  }

  void upload(bool shared) {
    ModelOptions o = options_;
    o.sharing = shared;
    const std::vector<MoleculeView> views = molecules_.views();
    std::vector<std::int64_t> samples;
    for (std::size_t g = 0; g < views.size(); ++g) samples.push_back(static_cast<std::int64_t>(g));
    const MoleculeClasses classes = shared ? MoleculeClasses(views, o.depth, o.undirected) : MoleculeClasses();
    collate(o, views, samples, shared ? &classes : nullptr, molecules_.atoms.rows(), molecules_.bonds.rows(), host_);
    batch_.upload(host_, exec_);
    exec_.fence("gnn_hpc::verify");
  }

  void load_parameters() {
    for (const TensorInfo& t : store_.tensors()) store_.set(t, initial_.at(t.name));
    for (const TensorInfo& t : store_.buffer_tensors()) store_.set_buffer(t, initial_.at(t.name));
  }

  struct Losses {
    double total, main, link, entropy;
  };
  /// Forward, loss and backward of a training step; gradients are added to.
  Losses pass(std::vector<TracedTensor>* traced, RealTensor* output) {
    arena_.reset();
    Step<T> step{exec_, arena_, Mode::train, {}, comm_};
    const View2<T> raw = model_.forward(step, batch_);
    if (output != nullptr) *output = host_matrix(raw);
    if (traced != nullptr) *traced = trace(model_, step, batch_);
    const auto loss = model_.loss(step, batch_, slices_, host_.loss_weight);
    model_.backward(step, batch_);
    exec_.fence("gnn_hpc::verify");
    const auto read = [](const View1<double>& x) { return Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), x)(0); };
    return {read(loss.total), read(loss.main), read(loss.link), read(loss.entropy)};
  }

  RealTensor host_matrix(const View2<T>& x) const {
    exec_.fence("gnn_hpc::verify");
    const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), x);
    return {{x.extent(0), x.extent(1)}, {host.data(), host.data() + x.size()}};
  }

  RealTensor scalar(const std::string& name) {
    RealTensor t = file_.real(name);
    if (t.values.size() != 1) file_.fail(fmt::format("{} has shape {}, expected one number", name, shape_text(t.shape)));
    return {{}, t.values};
  }

  void check_pass(bool with_trace) {
    load_parameters();
    store_.zero_gradients(exec_);
    std::vector<TracedTensor> traced;
    RealTensor raw;
    const Losses loss = pass(with_trace ? &traced : nullptr, &raw);
    traced.push_back({"raw", raw.shape, raw.values});
    traced.push_back({"prediction", raw.shape, predictions(raw)});
    for (const TensorInfo& t : store_.buffer_tensors()) traced.push_back({t.name.substr(t.name.rfind('.') + 1), t.shape, store_.get_buffer(t)});
    check_outputs(traced, with_trace);
    const std::pair<const char*, double> parts[] = {{"total", loss.total}, {"main", loss.main}, {"link", loss.link}, {"entropy", loss.entropy}};
    for (const auto& [name, value] : parts) {
      const std::string full = std::string("loss/") + name;
      if (file_.has(full)) report_.compare(full + suffix_, scalar(full), value, allowed_.output);
    }
    check_gradients();
    if (file_.has("outputs/raw_eval")) {
      arena_.reset();
      Step<T> step{exec_, arena_, Mode::evaluate, {}, comm_};
      const RealTensor expected = file_.real("outputs/raw_eval");
      report_.compare("outputs/raw_eval" + suffix_, expected, {expected.shape, host_matrix(model_.forward(step, batch_)).values}, allowed_.output);
    }
  }

  /// Sigmoid of logits, softmax over the classes of each target.
  std::vector<double> predictions(const RealTensor& raw) const {
    std::vector<double> out = raw.values;
    for (std::size_t i = 0; i < out.size();) {
      const TargetSlice& slice = slices_[i % raw.shape[1] / static_cast<std::size_t>(slices_[0].classes)];
      const auto classes = static_cast<std::size_t>(slice.classes);
      if (slice.kind == TargetSlice::Kind::binary) out[i] = 1.0 / (1.0 + std::exp(-out[i]));
      if (slice.kind == TargetSlice::Kind::multiclass) {
        const double largest = *std::max_element(&out[i], &out[i] + classes);
        double sum = 0.0;
        for (std::size_t c = 0; c < classes; ++c) sum += out[i + c] = std::exp(out[i + c] - largest);
        for (std::size_t c = 0; c < classes; ++c) out[i + c] /= sum;
      }
      i += classes;
    }
    return out;
  }

  void check_outputs(const std::vector<TracedTensor>& traced, bool all) {
    std::map<std::string, const TracedTensor*> by_name;
    for (const TracedTensor& t : traced) by_name[t.name] = &t;
    for (const std::string& name : file_.names_under("outputs")) {
      if (name == "outputs/raw_eval") continue;
      const auto found = by_name.find(name.substr(8));
      if (found == by_name.end()) {
        if (all) report_.fail(name, "not checked: the model has no intermediate of this name");
        continue;
      }
      const TracedTensor& ours = *found->second;
      const std::string last = name.substr(name.rfind('/') + 1);
      if (last == "S_cluster" || last == "clusters" || last == "edge_index_coarse" || last == "rev_coarse") {
        report_.compare_exact(name + suffix_, file_.integers(name), {ours.shape, {ours.values.begin(), ours.values.end()}});
        continue;
      }
      const RealTensor expected = file_.real(name);
      // What is nothing in single precision (shares of 1e-71) cannot be compared in it; coarse weights are sums of products of shares of 1,
      // and below that one's rounding they hold the rounding of the softmax's argument.
      const double largest = largest_magnitude(expected.values);
      const double least = last == "W_coarse" ? std::numeric_limits<float>::epsilon() : std::numeric_limits<float>::min();
      const bool nothing = std::is_same_v<T, float> && largest > 0.0 && largest < least;
      const bool folded = last == "raw" || last == "prediction";  // [G, tasks, classes] in the file
      report_.compare(name + suffix_, expected, {folded && expected.values.size() == ours.values.size() ? expected.shape : ours.shape, ours.values},
                      allowed_.output, nothing ? least : -1.0);
    }
  }

  /// Largest entry of all expected gradients, as far as the file tells: a norm bounds it.
  double largest_gradient() {
    double largest = 0.0;
    for (const char* group : {"grads", "grads_norm", "grads_head"}) {
      if (std::string(group) == "grads_norm" && file_.has_group("grads")) continue;
      for (const std::string& name : file_.names_under(group)) largest = std::max(largest, largest_magnitude(file_.real(name).values));
    }
    return largest;
  }

  void check_gradients() {
    const double largest = largest_gradient();
    for (const char* group : {"grads", "grads_norm", "grads_head"}) {
      const std::string prefix = std::string(group) + "/";
      for (const std::string& name : file_.names_under(group)) {
        const TensorInfo* info = store_.find(name.substr(prefix.size()));
        if (info == nullptr) {
          report_.fail(name, "the model has no parameter of this name");
          continue;
        }
        RealTensor ours{info->shape, store_.get_gradient(*info)};
        const RealTensor expected = file_.real(name);
        if (prefix == "grads_norm/") {
          double squares = 0.0;
          for (const double v : ours.values) squares += v * v;
          ours = {{}, {std::sqrt(squares)}};
        } else if (prefix == "grads_head/" && expected.shape.size() == 2 && ours.shape.size() == 2) {
          ours.shape[0] = std::min(ours.shape[0], expected.shape[0]);
          ours.values.resize(ours.shape[0] * ours.shape[1]);
        }
        const double size = largest_magnitude(expected.values);
        const bool zero = size <= kZeroGradient * largest;  // false for NaN
        const double scale = zero ? largest : size < kSmallGradient * largest ? kSmallGradient * largest : -1.0;
        report_.compare(name + suffix_, expected, ours, allowed_.gradient, scale, zero ? "zero: against the largest gradient" : "");
        if (zero && prefix == "grads/" && ours.shape == expected.shape) note_rounding(name.substr(prefix.size()), ours, expected);
      }
    }
    for (const TensorInfo& t : store_.tensors()) {
      if (file_.has_group("grads") && !file_.has("grads/" + t.name)) report_.fail("grads/" + t.name, "the file has no gradient of this parameter");
    }
  }

  void note_rounding(const std::string& parameter, const RealTensor& ours, const RealTensor& expected) {
    double& rounding = rounding_[parameter];
    for (std::size_t i = 0; i < ours.values.size(); ++i) rounding = std::max(rounding, std::abs(ours.values[i] - expected.values[i]));
  }

  /// Optimiser steps on the same batch from the initial parameters: Adam, clipping, warm-up and exponential decay.
  void check_trajectory() {
    if (!file_.has("trajectory/loss")) return;
    const RealTensor expected = file_.real("trajectory/loss", {-1});
    TrainOptions options;
    options.optimizer = "adam";
    options.weight_decay = 0.0;
    options.schedule = "warmup_exponential";
    options.learning_rate = file_.number_attribute("config", "max_lr");
    options.initial_learning_rate = file_.number_attribute("config", "init_lr");
    options.final_learning_rate = file_.number_attribute("config", "final_lr");
    options.clip_norm = file_.number_attribute("config", "clip_norm");
    options.warmup_epochs = static_cast<int>(file_.integer_attribute("trajectory", "warmup_epochs", 0, 1000000));
    options.epochs = static_cast<int>(file_.integer_attribute("trajectory", "epochs", 1, 1000000));
    const Schedule schedule(options, file_.integer_attribute("trajectory", "steps_per_epoch", 1, 1000000));
    load_parameters();
    Optimizer<T> optimizer(store_, options);
    RealTensor losses{expected.shape, {}}, rates = losses;
    for (std::size_t s = 0; s < expected.values.size(); ++s) {
      const StepRate rate = schedule.at(static_cast<std::int64_t>(s));
      store_.zero_gradients(exec_);
      optimizer.begin_step(exec_);
      losses.values.push_back(pass(nullptr, nullptr).total);
      optimizer.apply(exec_, rate);
      rates.values.push_back(rate.learning_rate);
    }
    exec_.fence("gnn_hpc::verify");
    report_.compare("trajectory/loss", expected, losses, allowed_.trajectory);
    if (file_.has("trajectory/lr")) report_.compare("trajectory/lr", file_.real("trajectory/lr"), rates, allowed_.input);
    double rate_sum = 0.0;
    for (const double rate : rates.values) rate_sum += rate;
    check_final_norms(rate_sum);
  }

  void check_final_norms(double rate_sum) {
    const std::string group = "trajectory/final_norm";
    for (const std::string& name : file_.names_under(group)) {
      const TensorInfo* info = store_.find(name.substr(group.size() + 1));
      if (info == nullptr) {
        report_.fail(name, "the model has no parameter of this name");
        continue;
      }
      double squares = 0.0;
      for (const double v : store_.get(*info)) squares += v * v;
      const RealTensor expected = scalar(name);
      double allowed = allowed_.trajectory;
      const auto rounding = rounding_.find(info->name);
      if (rounding != rounding_.end()) {
        allowed += noise_walk(rounding->second, rate_sum, info->size) / std::max(largest_magnitude(expected.values), 1e-300);
      }
      report_.compare(name, expected, {{}, {std::sqrt(squares)}}, allowed, -1.0,
                      rounding != rounding_.end() ? "next to no gradient: Adam makes steps of its rounding" : "");
    }
  }

  GoldenFile& file_;
  Report& report_;
  Tolerances allowed_;
  ModelOptions options_;
  std::vector<TargetSlice> slices_;
  GoldenMolecules molecules_;
  std::string suffix_;
  Exec exec_;
  Arena arena_;
  Comm comm_;
  ParamStore<T> store_;
  Model<T> model_;
  HostMoleculeBatch host_;
  MoleculeBatch<T> batch_;
  std::map<std::string, std::vector<double>> initial_;
  std::map<std::string, double> rounding_;  ///< gradients that count as zero: largest difference from the file's
};

}  // namespace

void check_model(GoldenFile& file, bool single_precision, Report& report) {
  if (single_precision) {
    GoldenRun<float>(file, report).check();
  } else {
    GoldenRun<double>(file, report).check();
  }
}

}  // namespace gnn_hpc::verify::dmpnn
