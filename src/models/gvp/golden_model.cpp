// SPDX-License-Identifier: Apache-2.0
#include "models/gvp/golden.hpp"

#include "base/error.hpp"
#include "models/gvp/model.hpp"
#include "models/protein/golden_inputs.hpp"
#include "nn/target_losses.hpp"
#include "verify/golden_run.hpp"

namespace gnn_hpc::verify::gvp {

namespace {

using gnn_hpc::gvp::Model;
using gnn_hpc::gvp::ModelOptions;

/// The model on the batch of a golden file, at precision T, with the dropout masks that the file stores.
template <class T>
class ModelCase final : public GoldenCase<T> {
 public:
  explicit ModelCase(GoldenFile& file)
      : file_(file), options_(protein::read_model_options(file)), input_(protein::read_batch(file, options_)), model_(store, options_) {
    slices_ = {{TargetSlice::Kind::multiclass, options_.outputs, 1.0}};
  }

  void mark(std::vector<GradientName>& names) const override {
    for (GradientName& n : names) {
      n.cancels = n.name == "attention.2.bias";  // a softmax does not feel it
      // Two normalised channels are +-1: the next normalisation hardly feels what they were scaled by.
      n.saturates = options_.encoder.node_scalars == 2 && n.name.find(".scalar_norm.") != std::string::npos;
    }
  }

  void require(Manifest& manifest) const override {
    if (!file_.has_group("trajectory")) return;
    manifest.data({"loss"}, "trajectory/");
    for (const TensorInfo& t : store.tensors()) manifest.data({t.name}, "trajectory/param_norms/");
  }

  std::vector<double> initial(const TensorInfo& tensor, bool /*is_buffer*/) override {
    return file_.finite("params/" + tensor.name, {tensor.shape.begin(), tensor.shape.end()}).values;
  }

  void prepare() override {
    std::vector<std::uint64_t> keys;
    for (int g = 0; g < input_.graphs.num_graphs; ++g) keys.push_back(static_cast<std::uint64_t>(g));
    batch_.upload(input_.graphs, keys, exec_);
    target_ = protein::to_device<double>(input_.label, input_.label.size(), 1);
    masks_ =
        protein::upload_masks<T>(protein::read_draws(file_, protein::mask_shapes(options_, "layers", options_.encoder.node_scalars, input_.graphs)));
    exec_.fence("gnn_hpc::verify");
  }

  /// The first pass is that of the file's gradients, with its masks; trajectories have no dropout.
  GoldenLosses pass(std::int64_t /*step*/, std::vector<TracedTensor>* traced) override {
    arena_.reset();
    Step<T> step{exec_, arena_, Mode::train, {}, comm_};
    static const std::map<std::string, View2<T>> none;
    const View2<T> logits = model_.forward(step, batch_, traced != nullptr ? &masks_ : &none);
    const View2<T> dlogits = arena_.template matrix<T>(logits.extent(0), logits.extent(1));
    const View1<double> loss = target_loss<T>(step, slices_, logits, target_, static_cast<double>(logits.extent(0)), dlogits);
    if (traced != nullptr) {  // before backward, which reuses what forward saved
      *traced = trace(model_);
      traced->push_back({"logits", {logits.extent(0), logits.extent(1)}, host_values(logits)});
    }
    model_.backward(step, batch_, dlogits);
    exec_.fence("gnn_hpc::verify");
    const double value = host_values(loss)[0];
    return {{{"loss", value}}, value};
  }

  bool is_further(std::string_view name) const override { return name == "outputs/logits_eval"; }
  void check_further(Report& report) override {
    if (!file_.has("outputs/logits_eval")) return;
    arena_.reset();
    Step<T> step{exec_, arena_, Mode::evaluate, {}, comm_};
    const View2<T> logits = model_.forward(step, batch_);
    report.compare("outputs/logits_eval", file_.real("outputs/logits_eval"), {{logits.extent(0), logits.extent(1)}, host_values(logits)},
                   Tolerances::of(std::is_same_v<T, float>).output);
  }

  Trajectory trajectory() override { return protein::adam_trajectory(file_); }

 private:
  using GoldenCase<T>::store;

  GoldenFile& file_;
  ModelOptions options_;
  protein::GoldenBatch input_;
  Exec exec_;
  Arena arena_;
  Comm comm_;
  Model<T> model_;
  ResidueInput<T> batch_;
  View2<double> target_;
  std::map<std::string, View2<T>> masks_;
  std::vector<TargetSlice> slices_;
};

template <class T>
void check(GoldenFile& file, Report& report) {
  ModelCase<T> model(file);
  GoldenRun<T>(file, model, report).check();
}

}  // namespace

void check_model(GoldenFile& file, bool single_precision, Report& report) {
  protein::read_model_options(file);  // a model that this build cannot run is refused as such, whatever else is missing
  Manifest(file)
      .data({"node_s", "node_v", "edge_index", "edge_s", "edge_v", "batch", "y"}, "inputs/")
      .data({"logits"}, "outputs/")
      .data({"loss"})
      .finish();
  single_precision ? check<float>(file, report) : check<double>(file, report);
}

}  // namespace gnn_hpc::verify::gvp
