// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"
#include "models/comformer/element_features.hpp"
#include "models/comformer/model.hpp"
#include "nn/losses.hpp"
#include "train/optimizer.hpp"
#include "verify/adapters.hpp"
#include "verify/comformer_inputs.hpp"
#include "verify/expected_gradients.hpp"
#include "verify/generator.hpp"
#include "verify/manifest.hpp"
#include "verify/trajectory.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

namespace gnn_hpc::verify::comformer {

namespace {

using gnn_hpc::comformer::AtomFeatures;
using gnn_hpc::comformer::CrystalBatch;
using gnn_hpc::comformer::Model;
using gnn_hpc::comformer::ModelOptions;
using gnn_hpc::comformer::TracedTensor;

constexpr std::size_t kMostParameters = std::size_t{1} << 30;

ModelOptions read_options(const GoldenFile& file) {
  const std::string model = file.text_attribute("config", "model");
  if (model == "eComformer") file.fail("config/model is eComformer: eComFormer is not built yet; only iComformer can be verified");
  if (model != "iComformer") file.fail(fmt::format("config/model is '{}', allowed are iComformer and eComformer", model));
  ModelOptions o;
  const auto read = [&](const char* name, int& value) {
    if (file.has_attribute("config", name)) value = static_cast<int>(file.integer_attribute("config", name, 1, 1 << 20));
  };
  read("node_features", o.node_features);
  read("edge_features", o.edge_features);
  read("triplet_input_features", o.triplet_input_features);
  read("fc_features", o.fc_features);
  read("output_features", o.output_features);
  read("node_layer_head", o.node_layer_head);
  read("atom_input_features", o.atom_input_features);
  if (o.edge_features < 2 || o.triplet_input_features < 2) file.fail("config: a radial basis needs at least 2 centres");
  if (o.atom_input_features != 1 && o.atom_input_features != 92) {
    file.fail(fmt::format("config/atom_input_features is {}, allowed are 92 (cgcnn) and 1 (atomic_number)", o.atom_input_features));
  }
  return o;
}

/// iComFormer on the batch of a golden file, at precision T.
template <class T>
class GoldenRun {
 public:
  GoldenRun(GoldenFile& file, Report& report)
      : file_(file),
        report_(report),
        options_(read_options(file)),
        allowed_(Tolerances::of(std::is_same_v<T, float>)),
        input_(read_batch(file, report)),
        model_(store_, options_, gnn_hpc::comformer::atom_feature_table(options_.atom_input_features == 1
                                                                            ? AtomFeatures::atomic_number
                                                                            : AtomFeatures::cgcnn)) {
    if (input_.host.num_targets != options_.output_features) {
      file_.fail(fmt::format("inputs/y holds {} targets a crystal, config/output_features is {}", input_.host.num_targets,
                             options_.output_features));
    }
    const std::string criterion =
        file_.has_attribute("config", "criterion") ? file_.text_attribute("config", "criterion") : "mse";
    if (criterion != "mse" && criterion != "l1") {
      file_.fail(fmt::format("config/criterion is '{}', allowed are mse and l1", criterion));
    }
    criterion_ = criterion == "l1" ? Criterion::l1 : Criterion::mse;
    mode_ = !file_.has_attribute("config", "train_mode") || file_.flag_attribute("config", "train_mode") ? Mode::train : Mode::evaluate;
    // A damaged width must not become an allocation that the machine cannot give.
    if (store_.num_parameters() > kMostParameters) {
      file_.fail(fmt::format("config describes a model of {} parameters; damaged?", store_.num_parameters()));
    }
    std::vector<GradientName> names = gradient_names(store_.tensors());
    for (GradientName& n : names) n.cancels = mode_ == Mode::train && n.name.ends_with("lin_concate.bias");  // in front of BatchNorm
    gradients_.emplace(file_, "", std::move(names), allowed_);
    require_all();
    store_.finalize(0);
    batch_.upload(input_.host, exec_);
  }

  void check() {
    load_parameters();
    if (file_.has_attribute("config", "n_parameters")) {
      const std::int64_t count = file_.integer_attribute("config", "n_parameters", 0, std::int64_t{1} << 52);
      report_.compare_exact("config/n_parameters", {{}, {count}}, {{}, {static_cast<std::int64_t>(store_.num_parameters())}});
    }
    store_.zero_gradients(exec_);
    const double loss = pass();
    check_outputs();
    report_.compare("loss", file_.scalar("loss"), loss, allowed_.output);
    for (const TensorInfo& t : store_.tensors()) gradients_->compare(t.name, {t.shape, store_.get_gradient(t)}, "", report_);
    gradients_->report_unknown(report_);
    check_buffers();
    check_trajectory();
  }

 private:
  /// Forward, loss and backward; gradients are added to.
  double pass() {
    arena_.reset();
    Step<T> step{exec_, arena_, mode_, {}, comm_};
    const View2<T> prediction = model_.forward(step, batch_);
    const View2<T> dprediction = arena_.matrix<T>(prediction.extent(0), prediction.extent(1));
    const View1<double> loss = masked_loss(step, criterion_, prediction, batch_.target,
                                           static_cast<double>(input_.host.target.size()), dprediction);
    if (traced_.empty()) traced_ = trace(model_, batch_);  // before backward, which reuses what forward saved
    model_.backward(step, batch_, dprediction);
    exec_.fence("gnn_hpc::verify");
    return Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), loss)(0);
  }

  /// Every gradient (dead parameters have zeros), every running statistic, a trajectory as a whole or not at all.
  void require_all() const {
    Manifest manifest(file_);
    manifest.data(gradients_->missing(/*unused_too=*/true));
    for (const TensorInfo& t : store_.buffer_tensors()) manifest.data({t.name}, "buffers_after/");
    if (file_.has_group("trajectory")) {
      manifest.data({"loss", "lr", "beta1"}, "trajectory/");
      for (const TensorInfo& t : store_.tensors()) manifest.data({t.name}, "trajectory/final_norm/");
    }
    manifest.finish();
  }

  /// Stored values, else those of the generator.
  std::vector<double> initial_value(const TensorInfo& tensor) {
    for (const char* group : {"params/", "buffers/"}) {
      const std::string name = group + tensor.name;
      if (!file_.has(name)) continue;
      return file_.finite(name, {tensor.shape.begin(), tensor.shape.end()}).values;
    }
    if (!file_.has_attribute("config", "seed")) file_.fail(fmt::format("neither params/{} nor config/seed is there", tensor.name));
    return synthetic_values(tensor.name, tensor.shape,
                            static_cast<std::uint64_t>(file_.integer_attribute("config", "seed", 0, std::int64_t{1} << 53)));
  }

  void load_parameters() {
    if (initial_.empty()) {
      for (const TensorInfo& t : store_.tensors()) initial_[t.name] = initial_value(t);
      for (const TensorInfo& t : store_.buffer_tensors()) initial_[t.name] = initial_value(t);
      check_constants();
    }
    for (const TensorInfo& t : store_.tensors()) store_.set(t, initial_.at(t.name));
    for (const TensorInfo& t : store_.buffer_tensors()) store_.set_buffer(t, initial_.at(t.name));
  }

  /// What published checkpoints hold besides: centres of the expansions must be ours, counters are read by nobody.
  void check_constants() {
    for (const char* group : {"params", "buffers"}) {
      for (const std::string& name : file_.names_under(group)) {
        if (name.ends_with(".num_batches_tracked")) file_.integers(name);
        const bool angle = name.ends_with("/rbf_angle.0.centers");
        if (!angle && !name.ends_with("/rbf.0.centers")) continue;
        const double low = angle ? -1.0 : -4.0, high = angle ? 1.0 : 0.0;
        RealTensor ours{{static_cast<std::size_t>(angle ? options_.triplet_input_features : options_.edge_features)}, {}};
        for (std::size_t i = 0; i < ours.shape[0]; ++i) {
          ours.values.push_back(low + (high - low) * static_cast<double>(i) / static_cast<double>(ours.shape[0] - 1));
        }
        report_.compare(name, file_.real(name), ours, allowed_.input);
      }
    }
  }

  /// The traced tensor as the file writes it: unique edges repeated, the heads of `agg` joined; of models with one output, predictions
  /// have no second axis.
  RealTensor as_stored(const std::string& name, const TracedTensor& traced) const {
    RealTensor out{traced.shape, traced.values};
    if (name == "prediction" && options_.output_features == 1) out.shape.resize(1);
    if (name.ends_with("/agg") && out.shape.size() == 3) out.shape = {out.shape[0], out.shape[1] * out.shape[2]};
    if (traced.domain != TracedTensor::Domain::edge) return out;
    const std::size_t width = traced.shape[0] ? traced.values.size() / traced.shape[0] : 0;
    out.shape[0] = input_.unique_edge.size();
    out.values.clear();
    for (const std::size_t e : input_.unique_edge) {
      const auto row = traced.values.begin() + static_cast<std::ptrdiff_t>(e * width);
      out.values.insert(out.values.end(), row, row + static_cast<std::ptrdiff_t>(width));
    }
    return out;
  }

  void check_outputs() {
    std::map<std::string, const TracedTensor*> by_name;
    for (const TracedTensor& t : traced_) by_name[t.name] = &t;
    by_name["prediction"] = by_name.at("top/out");
    for (const std::string& name : file_.names_under("outputs")) {
      const RealTensor expected = file_.real(name);
      const auto found = by_name.find(name.substr(std::string("outputs/").size()));
      if (found == by_name.end()) {
        report_.fail(name, "not checked: the model has no intermediate of this name");
      } else {
        report_.compare(name, expected, as_stored(found->first, *found->second), allowed_.output);
      }
    }
  }

  void check_buffers() {
    for (const std::string& name : file_.names_under("buffers_after")) {
      const RealTensor expected = file_.real(name);
      const TensorInfo* info = store_.find_buffer(name.substr(std::string("buffers_after/").size()));
      if (info) {
        report_.compare(name, expected, {info->shape, store_.get_buffer(*info)}, allowed_.output);
      } else if (!name.ends_with(".num_batches_tracked")) {
        report_.fail(name, "the model has no buffer of this name");
      }
    }
  }

  /// Optimiser steps on the same batch from the initial parameters: AdamW and OneCycle over `total_steps` steps.
  void check_trajectory() {
    if (!file_.has_group("trajectory")) return;
    const RealTensor expected = file_.real("trajectory/loss");
    TrainOptions options;
    options.learning_rate = file_.number_attribute("config", "max_lr");
    options.weight_decay = file_.number_attribute("config", "weight_decay");
    options.epochs = 1;
    const std::int64_t total = file_.integer_attribute("config", "total_steps", 1, 100000000);
    const auto steps = static_cast<std::int64_t>(expected.values.size());
    if (expected.shape.size() != 1 || steps < 1 || steps > total) {
      return report_.fail("trajectory/loss", fmt::format("shape {}, expected one loss a step, 1 to {} as config/total_steps says",
                                                         shape_text(expected.shape), total));
    }
    const Schedule schedule(options, total);
    load_parameters();
    Optimizer<T> optimizer(store_, options);
    RealTensor losses{expected.shape, {}}, rates = losses, betas = losses;
    for (std::int64_t s = 0; s < steps; ++s) {
      const StepRate rate = schedule.at(s);
      store_.zero_gradients(exec_);
      optimizer.begin_step(exec_);
      losses.values.push_back(pass());
      optimizer.apply(exec_, rate);
      rates.values.push_back(rate.learning_rate);
      betas.values.push_back(rate.beta1);
    }
    report_.compare("trajectory/loss", expected, losses, allowed_.trajectory);
    report_.compare("trajectory/lr", file_.real("trajectory/lr"), rates, allowed_.input);
    report_.compare("trajectory/beta1", file_.real("trajectory/beta1"), betas, allowed_.input);
    const Steps taken = Steps::of(rates.values, options.clip_norm, gradients_->norm());
    compare_final_norms<T>(file_, store_, allowed_, [&](const TensorInfo& t) { return gradients_->walk(t.name, taken); }, report_);
  }

  GoldenFile& file_;
  Report& report_;
  ModelOptions options_;
  Tolerances allowed_;
  GoldenBatch input_;
  Exec exec_;
  Arena arena_;
  Comm comm_;
  ParamStore<T> store_;
  Model<T> model_;
  CrystalBatch<T> batch_;
  Criterion criterion_ = Criterion::mse;
  Mode mode_ = Mode::train;
  std::map<std::string, std::vector<double>> initial_;
  std::optional<ExpectedGradients> gradients_;
  std::vector<TracedTensor> traced_;
};

}  // namespace

void check_model(GoldenFile& file, bool single_precision, Report& report) {
  read_options(file);  // a model that this build cannot run is refused as such, whatever else is missing
  Manifest(file).data({"x", "edge_index", "edge_vec", "edge_graph", "lattice", "batch", "y"}, "inputs/").group("inputs/structures")
      .data({"outputs/prediction", "loss"}).finish();
  if (single_precision) {
    GoldenRun<float>(file, report).check();
  } else {
    GoldenRun<double>(file, report).check();
  }
}

}  // namespace gnn_hpc::verify::comformer
