// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/golden.hpp"

#include "base/error.hpp"
#include "models/dmpnn_diffpool/golden_inputs.hpp"
#include "models/dmpnn_diffpool/model.hpp"
#include "verify/golden_run.hpp"

#include <algorithm>
#include <cmath>

namespace gnn_hpc::verify::dmpnn {

namespace {

using namespace gnn_hpc::dmpnn;

/// The model on the batch of a golden file, at precision T, without sharing, with all intermediates, or with rows of classes.
template <class T>
class ModelCase final : public GoldenCase<T> {
 public:
  ModelCase(GoldenFile& file, bool shared, Report& report)
      : file_(file),
        shared_(shared),
        options_(read_model_options(file)),
        slices_(read_slices(file)),
        molecules_(read_molecules(file, report)),
        model_(store, options_, molecules_.atoms.width, molecules_.bonds.width) {
    if (shared) this->suffix = " (shared states)";
    this->main = !shared;
    this->steps = shared;
    if (static_cast<std::size_t>(molecules_.num_targets) != slices_.size() || molecules_.num_descriptors != options_.descriptors) {
      file_.fail(fmt::format("inputs/y has {} targets and inputs/x_d {} columns, config says {} and {}", molecules_.num_targets,
                             molecules_.num_descriptors, slices_.size(), options_.descriptors));
    }
    check_labels();
  }

  void mark(std::vector<GradientName>& names) const override {
    for (GradientName& n : names) {
      n.cancels = n.name.ends_with("W_h.weight");  // its input is what arrives at an atom less what came from there: nothing at a single bond
      n.saturates = n.name.find("_pool_head_") != std::string::npos;
    }
  }

  /// The running statistics where the model has them, a trajectory as a whole or not at all.
  void require(Manifest& manifest) const override {
    if (!store.buffer_tensors().empty()) manifest.data({"running_mean", "running_var", "raw_eval"}, "outputs/");
    require_trajectory(file_, store, {"loss", "lr"}, /*required=*/false, manifest);
  }

  std::vector<double> initial(const TensorInfo& tensor, bool is_buffer) override {
    if (is_buffer) return store.get_buffer(tensor);
    return file_.finite("params/" + tensor.name, {tensor.shape.begin(), tensor.shape.end()}).values;
  }

  void prepare() override {
    model_.set_tables(molecules_.atoms, molecules_.bonds);
    ModelOptions o = options_;
    o.sharing = shared_;
    const std::vector<MoleculeView> views = molecules_.views();
    std::vector<std::int64_t> samples;
    for (std::size_t g = 0; g < views.size(); ++g) samples.push_back(static_cast<std::int64_t>(g));
    const MoleculeClasses classes = shared_ ? MoleculeClasses(views, o.depth, o.undirected) : MoleculeClasses();
    collate(o, views, samples, shared_ ? &classes : nullptr, molecules_.atoms.rows(), molecules_.bonds.rows(), host_);
    batch_.upload(host_, exec_);
    exec_.fence("gnn_hpc::verify");
  }

  GoldenLosses pass(std::int64_t /*step*/, std::vector<TracedTensor>* traced) override {
    arena_.reset();
    Step<T> step{exec_, arena_, Mode::train, {}, comm_};
    const View2<T> output = model_.forward(step, batch_);
    const RealTensor raw = host_matrix(output);
    if (traced != nullptr && !shared_) *traced = trace(model_, step, batch_);
    const auto loss = model_.loss(step, batch_, slices_, host_.loss_weight);
    model_.backward(step, batch_);
    exec_.fence("gnn_hpc::verify");
    if (traced != nullptr) {
      const RealTensor folded = unfolded(raw);
      traced->push_back({"raw", folded.shape, folded.values});
      traced->push_back({"prediction", folded.shape, predictions(raw)});
      for (const TensorInfo& t : store.buffer_tensors()) traced->push_back({t.name.substr(t.name.rfind('.') + 1), t.shape, store.get_buffer(t)});
    }
    const double total = host_values(loss.total)[0];
    return {{{"loss/total", total},
             {"loss/main", host_values(loss.main)[0]},
             {"loss/link", host_values(loss.link)[0]},
             {"loss/entropy", host_values(loss.entropy)[0]}},
            total};
  }

  void compare_output(GoldenFile& file, const std::string& name, const TracedTensor& ours, Report& report) override {
    const std::string last = name.substr(name.rfind('/') + 1);
    if (last == "S_cluster" || last == "clusters" || last == "edge_index_coarse" || last == "rev_coarse") {
      report.compare_exact(name + this->suffix, file.integers(name), {ours.shape, {ours.values.begin(), ours.values.end()}});
      return;
    }
    report.compare(name + this->suffix, file.real(name), {ours.shape, ours.values}, allowed_.output + share_rounding(name));
  }

  bool is_further(std::string_view name) const override { return name == "outputs/raw_eval"; }
  void check_further(Report& report) override {
    if (!file_.has("outputs/raw_eval")) return;
    arena_.reset();
    Step<T> step{exec_, arena_, Mode::evaluate, {}, comm_};
    report.compare("outputs/raw_eval" + this->suffix, file_.real("outputs/raw_eval"), unfolded(host_matrix(model_.forward(step, batch_))),
                   allowed_.output);
  }

  /// Adam, clipping, warm-up and exponential decay.
  Trajectory trajectory() override {
    Trajectory t;
    t.options.optimizer = "adam";
    t.options.weight_decay = 0.0;
    t.options.schedule = "warmup_exponential";
    t.options.learning_rate = file_.number_attribute("config", "max_lr");
    t.options.initial_learning_rate = file_.number_attribute("config", "init_lr");
    t.options.final_learning_rate = file_.number_attribute("config", "final_lr");
    t.options.clip_norm = file_.number_attribute("config", "clip_norm");
    t.options.warmup_epochs = static_cast<int>(file_.integer_attribute("trajectory", "warmup_epochs", 0, 1000000));
    t.options.epochs = static_cast<int>(file_.integer_attribute("trajectory", "epochs", 1, 1000000));
    t.steps_per_epoch = file_.integer_attribute("trajectory", "steps_per_epoch", 1, 1000000);
    return t;
  }

 private:
  using GoldenCase<T>::store;

  void check_labels() {
    for (std::size_t i = 0; i < molecules_.target.size(); ++i) {
      const TargetSlice& slice = slices_[i % slices_.size()];
      const double y = molecules_.target[i];
      if (slice.kind == TargetSlice::Kind::multiclass && std::isfinite(y) && (y < 0.0 || y >= slice.classes || y != std::floor(y))) {
        file_.fail(fmt::format("inputs/y holds {}, classes are 0 to {}", y, slice.classes - 1));
      }
    }
  }

  RealTensor host_matrix(const View2<T>& x) const {
    exec_.fence("gnn_hpc::verify");
    return {{x.extent(0), x.extent(1)}, host_values(x)};
  }

  /// Of several classes files hold [G, targets, classes], here one row is a molecule.
  RealTensor unfolded(const RealTensor& raw) const {
    const TargetSlice& slice = slices_[0];
    if (slice.kind != TargetSlice::Kind::multiclass) return raw;
    return {{raw.shape[0], slices_.size(), static_cast<std::size_t>(slice.classes)}, raw.values};
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

  /// Relative rounding of coarse weights, sums of products of two shares exp(z - ...) / sum exp(z - ...): where logits z are off by dz, a share
  /// is by the factor exp(2 dz) at most, a product by 4 dz. dz = 4 roundings of the largest logit of the file: nothing in double, but
  /// 1e-2 in single where logits of 1e4 make shares of 1e-13.
  double share_rounding(const std::string& name) {
    const std::size_t slash = name.rfind('/');
    const std::string logits = name.substr(0, slash) + "/Z";
    if (name.substr(slash + 1) != "W_coarse" || !file_.has(logits)) return 0.0;
    return 4.0 * 4.0 * allowed_.unit * largest_magnitude(file_.real(logits).values);
  }

  GoldenFile& file_;
  const bool shared_;
  const Tolerances allowed_ = Tolerances::of(std::is_same_v<T, float>);
  ModelOptions options_;
  std::vector<TargetSlice> slices_;
  GoldenMolecules molecules_;
  Exec exec_;
  Arena arena_;
  Comm comm_;
  Model<T> model_;
  HostMoleculeBatch host_;
  MoleculeBatch<T> batch_;
};

template <class T>
void check(GoldenFile& file, Report& report) {
  ModelCase<T> plain(file, false, report);
  GoldenRun<T>(file, plain, report).check();
  Report inputs_again(std::is_same_v<T, float>);
  ModelCase<T> shared(file, true, inputs_again);
  GoldenRun<T>(file, shared, report).check();
}

}  // namespace

void check_model(GoldenFile& file, bool single_precision, Report& report) {
  read_model_options(file);  // a model that this build cannot run is refused as such, whatever else is missing
  Manifest(file)
      .data({"V", "E", "edge_index", "rev", "batch", "y"}, "inputs/")
      .data({"raw", "prediction"}, "outputs/")
      .data({"total", "main", "link", "entropy"}, "loss/")
      .finish();
  single_precision ? check<float>(file, report) : check<double>(file, report);
}

}  // namespace gnn_hpc::verify::dmpnn
