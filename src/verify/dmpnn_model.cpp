// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"
#include "models/dmpnn_diffpool/model.hpp"
#include "train/optimizer.hpp"
#include "verify/adapters.hpp"
#include "verify/dmpnn_inputs.hpp"
#include "verify/expected_gradients.hpp"
#include "verify/manifest.hpp"
#include "verify/trajectory.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

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
    std::vector<GradientName> names = gradient_names(store_.tensors());
    for (GradientName& n : names) {
      n.cancels = n.name.ends_with("W_h.weight");  // its input is what arrives at an atom less what came from there: nothing at a single bond
      n.saturates = n.name.find("_pool_head_") != std::string::npos;
    }
    gradients_.emplace(file_, "", std::move(names), allowed_);
    require_all();
    store_.finalize(0);
    model_.set_tables(molecules_.atoms, molecules_.bonds);
    for (const TensorInfo& t : store_.tensors()) initial_[t.name] = file_.finite("params/" + t.name, {t.shape.begin(), t.shape.end()}).values;
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
  /// Every parameter and its gradient (zero for those without influence), the running statistics where the model has them, a
  /// trajectory as a whole or not at all.
  void require_all() const {
    Manifest manifest(file_);
    for (const TensorInfo& t : store_.tensors()) manifest.data({t.name}, "params/");
    manifest.data(gradients_->missing(/*unused_too=*/true));
    if (!store_.buffer_tensors().empty()) manifest.data({"running_mean", "running_var", "raw_eval"}, "outputs/");
    if (file_.has_group("trajectory")) {
      manifest.data({"loss", "lr"}, "trajectory/");
      for (const TensorInfo& t : store_.tensors()) manifest.data({t.name}, "trajectory/final_norm/");
    }
    manifest.finish();
  }

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

  /// Of several classes files hold [G, targets, classes], here one row is a molecule.
  RealTensor unfolded(const RealTensor& raw) const {
    const TargetSlice& slice = slices_[0];
    if (slice.kind != TargetSlice::Kind::multiclass) return raw;
    return {{raw.shape[0], slices_.size(), static_cast<std::size_t>(slice.classes)}, raw.values};
  }

  void check_pass(bool with_trace) {
    load_parameters();
    store_.zero_gradients(exec_);
    std::vector<TracedTensor> traced;
    RealTensor raw;
    const Losses loss = pass(with_trace ? &traced : nullptr, &raw);
    const RealTensor folded = unfolded(raw);
    traced.push_back({"raw", folded.shape, folded.values});
    traced.push_back({"prediction", folded.shape, predictions(raw)});
    for (const TensorInfo& t : store_.buffer_tensors()) traced.push_back({t.name.substr(t.name.rfind('.') + 1), t.shape, store_.get_buffer(t)});
    check_outputs(traced, with_trace);
    const std::pair<const char*, double> parts[] = {{"total", loss.total}, {"main", loss.main}, {"link", loss.link}, {"entropy", loss.entropy}};
    for (const auto& [name, value] : parts) {
      const std::string full = std::string("loss/") + name;
      report_.compare(full + suffix_, file_.scalar(full), value, allowed_.output);
    }
    for (const TensorInfo& t : store_.tensors()) gradients_->compare(t.name, {t.shape, store_.get_gradient(t)}, suffix_, report_);
    if (with_trace) gradients_->report_unknown(report_);
    if (file_.has("outputs/raw_eval")) {
      arena_.reset();
      Step<T> step{exec_, arena_, Mode::evaluate, {}, comm_};
      report_.compare("outputs/raw_eval" + suffix_, file_.real("outputs/raw_eval"), unfolded(host_matrix(model_.forward(step, batch_))), allowed_.output);
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
      report_.compare(name + suffix_, file_.real(name), {ours.shape, ours.values}, allowed_.output + share_rounding(name));
    }
  }

  /// Relative rounding of coarse weights, sums of products of two shares exp(z - ...) / sum exp(z - ...): where logits z are off by dz, a share
  /// is by the factor exp(2 dz) at most, a product by 4 dz. dz = 4 roundings of the largest logit of the file: nothing in double, but
  /// 1e-2 in single where logits of 1e4 make shares of 1e-13.
  double share_rounding(const std::string& name) {
    const std::size_t slash = name.rfind('/');
    const std::string logits = name.substr(0, slash) + "/Z";
    if (name.substr(slash + 1) != "W_coarse" || !file_.has(logits)) return 0.0;
    return 4.0 * 4.0 * allowed_.unit * largest_magnitude(file_.real(logits).values);
  }

  /// Optimiser steps on the same batch from the initial parameters: Adam, clipping, warm-up and exponential decay.
  void check_trajectory() {
    if (!file_.has_group("trajectory")) return;
    const RealTensor expected = file_.real("trajectory/loss");
    if (expected.shape.size() != 1 || expected.values.empty()) {
      return report_.fail("trajectory/loss", fmt::format("shape {}, expected one loss a step", shape_text(expected.shape)));
    }
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
    report_.compare("trajectory/lr", file_.real("trajectory/lr"), rates, allowed_.input);
    const Steps taken = Steps::of(rates.values, options.clip_norm, gradients_->norm());
    compare_final_norms<T>(file_, store_, allowed_, [&](const TensorInfo& t) { return gradients_->walk(t.name, taken); }, report_);
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
  std::optional<ExpectedGradients> gradients_;
};

}  // namespace

void check_model(GoldenFile& file, bool single_precision, Report& report) {
  read_model_options(file);  // a model that this build cannot run is refused as such, whatever else is missing
  Manifest(file).data({"V", "E", "edge_index", "rev", "batch", "y"}, "inputs/").data({"raw", "prediction"}, "outputs/")
      .data({"total", "main", "link", "entropy"}, "loss/").finish();
  if (single_precision) {
    GoldenRun<float>(file, report).check();
  } else {
    GoldenRun<double>(file, report).check();
  }
}

}  // namespace gnn_hpc::verify::dmpnn
