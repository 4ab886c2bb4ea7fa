// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/golden.hpp"

#include "base/error.hpp"
#include "models/hgnn_moe/golden_inputs.hpp"
#include "models/hgnn_moe/golden_trajectory.hpp"
#include "models/hgnn_moe/model.hpp"
#include "verify/golden_run.hpp"

#include <algorithm>

namespace gnn_hpc::verify::hgnn_moe {

namespace {

using namespace gnn_hpc::hgnn_moe;

/// How the same batch goes through the model.
struct Variant {
  HypergraphForm form = HypergraphForm::collapsed;
  bool pack = false;
  std::string suffix;  ///< of the names in the report
};

/// Every evaluation order that the options allow; the first one, without packing, is traced.
std::vector<Variant> variants(const ModelOptions& o) {
  std::vector<Variant> out{{}};
  if (!o.orthogonality.outputs && o.num_ghost_experts == 0) out.push_back({HypergraphForm::collapsed, true, " (packed)"});
  if (o.coupler_type == CouplerType::hgnn && o.num_ghost_experts == 0) {
    out.push_back({HypergraphForm::dense, false, " (dense)"});
    out.push_back({HypergraphForm::incidence, false, " (incidence)"});
  }
  return out;
}

HostTokenBatch read_batch(GoldenFile& file, const ModelOptions& o, bool pack) {
  const IntegerTensor ids = file.integers("inputs/input_ids", {-1, -1});
  HostTokenBatch b;
  b.num_sequences = static_cast<int>(ids.shape[0]);
  b.length = static_cast<int>(ids.shape[1]);
  for (std::size_t i = 0; i < ids.values.size(); ++i) {
    const std::int64_t id = ids.values[i];
    if (id < 0 || id >= o.vocab_size) {
      file.fail(
          fmt::format("inputs/input_ids: row {}, column {} holds {}, allowed are 0 to {}", i / ids.shape[1], i % ids.shape[1], id, o.vocab_size - 1));
    }
    b.ids.push_back(static_cast<int>(id));
  }
  if (file.has("inputs/attention_mask")) {
    const IntegerTensor mask =
        file.integers("inputs/attention_mask", {static_cast<std::int64_t>(ids.shape[0]), static_cast<std::int64_t>(ids.shape[1])});
    for (const std::int64_t m : mask.values) b.mask.push_back(m != 0 ? 1 : 0);
  }
  finish_batch(b, o.vocab_size, pack);
  return b;
}

/// What the file says about itself: words of the attribute `flags` name groups that it was made with.
bool made_with(const GoldenFile& file, const std::string& word) {
  if (!file.has_attribute("config", "flags")) return false;
  return (" " + file.text_attribute("config", "flags") + " ").find(" " + word + " ") != std::string::npos;
}

/// Where warm-ups stand.
std::int64_t step_index(GoldenFile& file) {
  if (!file.has("inputs/step")) return 0;
  const IntegerTensor step = file.integers("inputs/step");
  if (step.values.size() != 1 || step.values[0] < 0)
    file.fail(fmt::format("inputs/step has shape {}, expected one number from 0", shape_text(step.shape)));
  return step.values[0];
}

/// The model on the batch of a golden file, at precision T.
template <class T>
class ModelCase final : public GoldenCase<T> {
 public:
  ModelCase(GoldenFile& file, ModelOptions options, const Variant& variant)
      : file_(file), pack_(variant.pack), options_(with_form(std::move(options), variant.form)), model_(store, options_) {
    this->suffix = variant.suffix;
    this->main = this->steps = variant.suffix.empty();
    host_ = read_batch(file_, options_, pack_);
    if (host_.length > options_.max_seq_length) {
      file_.fail(fmt::format("inputs/input_ids has {} columns, config/max_seq_length is {}", host_.length, options_.max_seq_length));
    }
  }

  /// Which experts take part is known only after a forward pass, as ghosts may sleep.
  void mark(std::vector<GradientName>& names) const override {
    for (const std::string& part : model_.resting()) {
      for (GradientName& n : names) n.used = n.used && n.name.find(part) == std::string::npos;
    }
  }
  bool needs_unused_gradients() const override { return false; }
  void require(Manifest& manifest) const override { require_steps(file_, store, /*required=*/false, manifest); }

  std::vector<double> initial(const TensorInfo& tensor, bool is_buffer) override {
    if (!is_buffer) return file_.finite("params/" + tensor.name, {tensor.shape.begin(), tensor.shape.end()}).values;
    if (options_.num_ghost_experts == 0) return store.get_buffer(tensor);
    std::vector<double> count = file_.real("inputs/ghost_levels", {options_.num_ghost_experts}).values;
    for (double& x : count) x *= 100.0;
    return count;
  }

  void prepare() override { batch_.upload(host_, exec_); }

  std::int64_t first_step() override { return step_index(file_); }
  GoldenLosses pass(std::int64_t index, std::vector<TracedTensor>* traced) override {
    arena_.reset();
    Step<T> step{exec_, arena_, Mode::train, {}, comm_, index};
    model_.forward(step, batch_);
    if (traced != nullptr && !pack_) {
      *traced = trace(model_, step, batch_);  // before backward, which reuses what forward saved
      const auto sequences = static_cast<std::size_t>(host_.num_sequences), length = static_cast<std::size_t>(host_.length);
      traced->push_back({"logits", {sequences, length, static_cast<std::size_t>(options_.vocab_size)}, host_values(model_.logits(step))});
    }
    const View1<double> loss = model_.loss(step, batch_, std::max(host_.loss_weight, 1.0));
    model_.backward(step, batch_);
    exec_.fence("gnn_hpc::verify");
    const std::vector<double> parts = host_values(loss);
    return {{{"loss/total", parts[0]}, {"loss/lm", parts[1]}, {"loss/extra", parts[2]}}, parts[1]};
  }
  std::vector<std::string> resting() const override { return model_.resting(); }

  void compare_output(GoldenFile& file, const std::string& name, const TracedTensor& traced, Report& report) override {
    TracedTensor ours = traced;
    const RealTensor expected = file.real(name);
    if (name == "outputs/logits" && expected.shape.size() == 3 && expected.shape[0] == 2 && ours.shape[0] > 2) {  // of the first two sequences only
      ours.values.resize(2 * (ours.values.size() / ours.shape[0]));
      ours.shape[0] = 2;
    }
    GoldenCase<T>::compare_output(file, name, ours, report);
  }

  Trajectory trajectory() override { return golden_trajectory(file_); }

 private:
  using GoldenCase<T>::store;

  static ModelOptions with_form(ModelOptions o, HypergraphForm form) {
    o.form = form;
    o.dropout_rate = 0.0;  // off in all golden files, whatever config says
    return o;
  }

  GoldenFile& file_;
  const bool pack_;
  ModelOptions options_;
  Exec exec_;
  Arena arena_;
  Comm comm_;
  Model<T> model_;
  HostTokenBatch host_;
  TokenBatch batch_;
};

template <class T>
void check(GoldenFile& file, const ModelOptions& options, Report& report) {
  for (const Variant& variant : variants(options)) {
    ModelCase<T> model(file, options, variant);
    GoldenRun<T>(file, model, report).check();
  }
}

}  // namespace

void check_model(GoldenFile& file, bool single_precision, Report& report) {
  const ModelOptions options = read_options(file, "config");
  Manifest manifest(file);
  manifest.data({"inputs/input_ids", "outputs/logits"}).data({"total", "lm", "extra"}, "loss/");
  if (options.num_ghost_experts > 0) manifest.data({"inputs/ghost_levels", "outputs/saturation"});
  if (made_with(file, "taps")) manifest.data({"outputs/embedding", "outputs/output_norm"});
  if (made_with(file, "trajectory")) manifest.group("trajectory");
  manifest.finish();
  single_precision ? check<float>(file, options, report) : check<double>(file, options, report);
}

}  // namespace gnn_hpc::verify::hgnn_moe
