// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/golden.hpp"

#include "base/error.hpp"
#include "models/comformer/element_features.hpp"
#include "models/comformer/golden_inputs.hpp"
#include "models/comformer/model.hpp"
#include "nn/target_losses.hpp"
#include "verify/generator.hpp"
#include "verify/golden_run.hpp"

namespace gnn_hpc::verify::comformer {

namespace {

using gnn_hpc::comformer::AtomFeatures;
using gnn_hpc::comformer::CrystalBatch;
using gnn_hpc::comformer::Model;
using gnn_hpc::comformer::ModelOptions;
using gnn_hpc::comformer::Network;

ModelOptions read_options(const GoldenFile& file) {
  const std::string model = file.text_attribute("config", "model");
  if (model != "iComformer" && model != "eComformer") {
    file.fail(fmt::format("config/model is '{}', allowed are iComformer and eComformer", model));
  }
  ModelOptions o;
  o.network = model == "eComformer" ? Network::ecomformer : Network::icomformer;
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

/// The model on the batch of a golden file, at precision T.
template <class T>
class ModelCase final : public GoldenCase<T> {
 public:
  ModelCase(GoldenFile& file, Report& report)
      : file_(file),
        report_(report),
        options_(read_options(file)),
        input_(read_batch(file, options_.network == Network::ecomformer, report)),
        model_(store, options_,
               gnn_hpc::comformer::atom_feature_table(options_.atom_input_features == 1 ? AtomFeatures::atomic_number : AtomFeatures::cgcnn)) {
    if (input_.host.num_targets != options_.output_features) {
      file_.fail(fmt::format("inputs/y holds {} targets a crystal, config/output_features is {}", input_.host.num_targets, options_.output_features));
    }
    const std::string criterion = file_.has_attribute("config", "criterion") ? file_.text_attribute("config", "criterion") : "mse";
    if (criterion != "mse" && criterion != "l1") {
      file_.fail(fmt::format("config/criterion is '{}', allowed are mse and l1", criterion));
    }
    slices_.assign(static_cast<std::size_t>(options_.output_features),
                   {criterion == "l1" ? TargetSlice::Kind::absolute : TargetSlice::Kind::regression, 1, 1.0});
    mode_ = !file_.has_attribute("config", "train_mode") || file_.flag_attribute("config", "train_mode") ? Mode::train : Mode::evaluate;
  }

  void mark(std::vector<GradientName>& names) const override {
    for (GradientName& n : names) n.cancels = mode_ == Mode::train && n.name.ends_with("lin_concate.bias");  // in front of BatchNorm
  }

  /// Every gradient (dead parameters have zeros), every running statistic, a trajectory as a whole or not at all.
  void require(Manifest& manifest) const override {
    for (const TensorInfo& t : store.buffer_tensors()) manifest.data({t.name}, "buffers_after/");
    require_trajectory(file_, store, {"loss", "lr", "beta1"}, /*required=*/false, manifest);
  }

  /// Stored values, else those of the generator.
  std::vector<double> initial(const TensorInfo& tensor, bool /*is_buffer*/) override {
    for (const char* group : {"params/", "buffers/"}) {
      const std::string name = group + tensor.name;
      if (file_.has(name)) return file_.finite(name, {tensor.shape.begin(), tensor.shape.end()}).values;
    }
    if (!file_.has_attribute("config", "seed")) file_.fail(fmt::format("neither params/{} nor config/seed is there", tensor.name));
    return synthetic_values(tensor.name, tensor.shape,
                            static_cast<std::uint64_t>(file_.integer_attribute("config", "seed", 0, std::int64_t{1} << 53)));
  }

  void prepare() override {
    check_constants();
    batch_.upload(input_.host, exec_);
  }

  GoldenLosses pass(std::int64_t /*step*/, std::vector<TracedTensor>* traced) override {
    arena_.reset();
    Step<T> step{exec_, arena_, mode_, {}, comm_};
    const View2<T> prediction = model_.forward(step, batch_);
    const View2<T> dprediction = arena_.template matrix<T>(prediction.extent(0), prediction.extent(1));
    const View1<double> loss = target_loss<T>(step, slices_, prediction, batch_.target, static_cast<double>(input_.host.target.size()), dprediction);
    if (traced != nullptr) {  // before backward, which reuses what forward saved
      *traced = trace(model_, batch_);
      for (std::size_t i = 0, n = traced->size(); i < n; ++i) {
        if ((*traced)[i].name != "top/out") continue;
        traced->push_back((*traced)[i]);
        traced->back().name = "prediction";
      }
    }
    model_.backward(step, batch_, dprediction);
    exec_.fence("gnn_hpc::verify");
    const double value = host_values(loss)[0];
    return {{{"loss", value}}, value};
  }

  void compare_output(GoldenFile& file, const std::string& name, const TracedTensor& ours, Report& report) override {
    GoldenCase<T>::compare_output(file, name, as_stored(ours), report);
  }

  void check_further(Report& report) override {
    if (!file_.has_attribute("config", "n_parameters")) return;
    const std::int64_t count = file_.integer_attribute("config", "n_parameters", 0, std::int64_t{1} << 52);
    report.compare_exact("config/n_parameters", {{}, {count}}, {{}, {static_cast<std::int64_t>(store.num_parameters())}});
  }

  /// AdamW and OneCycle over `total_steps` steps, of which the file may hold the first ones.
  Trajectory trajectory() override {
    Trajectory t;
    t.options.learning_rate = file_.number_attribute("config", "max_lr");
    t.options.weight_decay = file_.number_attribute("config", "weight_decay");
    t.options.epochs = 1;
    t.steps_per_epoch = file_.integer_attribute("config", "total_steps", 1, 100000000);
    t.most_steps = t.steps_per_epoch;
    return t;
  }

 private:
  using GoldenCase<T>::store;

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
        report_.compare(name, file_.real(name), ours, Tolerances::of(std::is_same_v<T, float>).input);
      }
    }
  }

  /// As the file writes it: unique edges repeated, the heads of `agg` joined; of models with one output, predictions have no second axis.
  TracedTensor as_stored(TracedTensor out) const {
    if (out.name == "prediction" && options_.output_features == 1) out.shape.resize(1);
    if (out.name.ends_with("/agg") && out.shape.size() == 3) out.shape = {out.shape[0], out.shape[1] * out.shape[2]};
    if (!out.per_edge) return out;
    const std::vector<double> rows = std::move(out.values);
    const std::size_t width = out.shape[0] ? rows.size() / out.shape[0] : 0;
    out.shape[0] = input_.unique_edge.size();
    out.values.clear();
    for (const std::size_t e : input_.unique_edge) {
      const auto row = rows.begin() + static_cast<std::ptrdiff_t>(e * width);
      out.values.insert(out.values.end(), row, row + static_cast<std::ptrdiff_t>(width));
    }
    return out;
  }

  GoldenFile& file_;
  Report& report_;
  ModelOptions options_;
  GoldenBatch input_;
  Exec exec_;
  Arena arena_;
  Comm comm_;
  Model<T> model_;
  CrystalBatch<T> batch_;
  std::vector<TargetSlice> slices_;
  Mode mode_ = Mode::train;
};

template <class T>
void check(GoldenFile& file, Report& report) {
  ModelCase<T> model(file, report);
  GoldenRun<T>(file, model, report).check();
}

}  // namespace

void check_model(GoldenFile& file, bool single_precision, Report& report) {
  read_options(file);  // a model that this build cannot run is refused as such, whatever else is missing
  Manifest(file)
      .data({"x", "edge_index", "edge_vec", "edge_graph", "lattice", "batch", "y"}, "inputs/")
      .group("inputs/structures")
      .data({"outputs/prediction", "loss"})
      .finish();
  single_precision ? check<float>(file, report) : check<double>(file, report);
}

}  // namespace gnn_hpc::verify::comformer
