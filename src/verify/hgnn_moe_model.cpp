// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"
#include "verify/adapters.hpp"
#include "verify/expected_gradients.hpp"
#include "verify/hgnn_moe_inputs.hpp"
#include "verify/hgnn_moe_trajectory.hpp"

#include <algorithm>
#include <map>
#include <optional>

namespace gnn_hpc::verify::hgnn_moe {

namespace {

using namespace gnn_hpc::hgnn_moe;

constexpr std::size_t kMostParameters = std::size_t{1} << 30;

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
      file.fail(fmt::format("inputs/input_ids: row {}, column {} holds {}, allowed are 0 to {}", i / ids.shape[1], i % ids.shape[1], id, o.vocab_size - 1));
    }
    b.ids.push_back(static_cast<int>(id));
  }
  if (file.has("inputs/attention_mask")) {
    const IntegerTensor mask = file.integers("inputs/attention_mask", {static_cast<std::int64_t>(ids.shape[0]), static_cast<std::int64_t>(ids.shape[1])});
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
  if (step.values.size() != 1 || step.values[0] < 0) file.fail(fmt::format("inputs/step has shape {}, expected one number from 0", shape_text(step.shape)));
  return step.values[0];
}

/// The model on the batch of a golden file, at precision T.
template <class T>
class GoldenRun {
 public:
  GoldenRun(GoldenFile& file, ModelOptions options, const Variant& variant, Report& report)
      : file_(file), report_(report), variant_(variant), options_(with_form(std::move(options), variant.form)),
        allowed_(Tolerances::of(std::is_same_v<T, float>)), model_(store_, options_) {
    // A damaged width must not become an allocation that the machine cannot give.
    if (store_.num_parameters() > kMostParameters) {
      file_.fail(fmt::format("config describes a model of {} parameters; damaged?", store_.num_parameters()));
    }
    store_.finalize(0);
    host_ = read_batch(file_, options_, variant_.pack);
    if (host_.length > options_.max_seq_length) {
      file_.fail(fmt::format("inputs/input_ids has {} columns, config/max_seq_length is {}", host_.length, options_.max_seq_length));
    }
    batch_.upload(host_, exec_);
  }

  void check() {
    load();
    store_.zero_gradients(exec_);
    pass();
    for (const TensorInfo& t : store_.tensors()) gradients_->compare(t.name, {t.shape, store_.get_gradient(t)}, variant_.suffix, report_);
    if (!variant_.suffix.empty()) return;
    gradients_->report_unknown(report_);
    load();
    check_trajectory<T>(file_, model_, store_, &*gradients_, [&](std::int64_t) { return host_; }, report_);
  }

 private:
  static ModelOptions with_form(ModelOptions o, HypergraphForm form) {
    o.form = form;
    o.dropout_rate = 0.0;  // off in all golden files, whatever config says
    return o;
  }

  void load() {
    load_parameters(file_, "params", store_);
    if (options_.num_ghost_experts == 0) return;
    const RealTensor level = file_.real("inputs/ghost_levels", {options_.num_ghost_experts});
    std::vector<double> count;
    for (const double x : level.values) count.push_back(100.0 * x);
    for (const TensorInfo& t : store_.buffer_tensors()) store_.set_buffer(t, count);
  }

  /// Every parameter that takes part has a gradient in the file; which ones do is known only after a forward pass, as ghosts may sleep.
  void require_gradients() {
    std::vector<GradientName> names = gradient_names(store_.tensors());
    for (const std::string& part : model_.resting()) {
      for (GradientName& n : names) n.used = n.used && n.name.find(part) == std::string::npos;
    }
    gradients_.emplace(file_, "", std::move(names), allowed_);
    Manifest manifest(file_);
    manifest.data(gradients_->missing(/*unused_too=*/false));
    require_trajectory(file_, store_, /*required=*/false, manifest);
    manifest.finish();
  }

  void pass() {
    arena_.reset();
    const std::int64_t index = step_index(file_);
    Step<T> step{exec_, arena_, Mode::train, {}, comm_, index};
    model_.forward(step, batch_);
    require_gradients();
    std::vector<TracedTensor> traced;
    if (!variant_.pack) traced = trace(model_, step, batch_);  // before backward, which reuses what forward saved
    const auto sequences = static_cast<std::size_t>(host_.num_sequences), length = static_cast<std::size_t>(host_.length);
    if (!variant_.pack) traced.push_back({"logits", {sequences, length, static_cast<std::size_t>(options_.vocab_size)}, host_values(model_.logits(step))});
    const View1<double> loss = model_.loss(step, batch_, std::max(host_.loss_weight, 1.0));
    model_.backward(step, batch_);
    exec_.fence("gnn_hpc::verify");
    const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), loss);
    check_outputs(traced);
    int at = 0;
    for (const char* name : {"total", "lm", "extra"}) {
      const std::string full = std::string("loss/") + name;
      report_.compare(full + variant_.suffix, file_.scalar(full), host(at++), allowed_.output);
    }
  }

  void check_outputs(const std::vector<TracedTensor>& traced) {
    std::map<std::string, const TracedTensor*> by_name;
    for (const TracedTensor& t : traced) by_name[t.name] = &t;
    for (const std::string& name : file_.names_under("outputs")) {
      const auto found = by_name.find(name.substr(8));
      if (found == by_name.end()) {
        if (variant_.suffix.empty()) report_.fail(name, "not checked: the model has no intermediate of this name");
        continue;
      }
      const RealTensor expected = file_.real(name);
      RealTensor ours{found->second->shape, found->second->values};
      if (name == "outputs/logits" && expected.shape.size() == 3 && expected.shape[0] == 2 && ours.shape[0] > 2) {  // of the first two sequences only
        ours.values.resize(2 * (ours.values.size() / ours.shape[0]));
        ours.shape[0] = 2;
      }
      report_.compare(name + variant_.suffix, expected, ours, allowed_.output);
    }
  }

  GoldenFile& file_;
  Report& report_;
  Variant variant_;
  ModelOptions options_;
  Tolerances allowed_;
  Exec exec_;
  Arena arena_;
  Comm comm_;
  ParamStore<T> store_;
  Model<T> model_;
  HostTokenBatch host_;
  TokenBatch batch_;
  std::optional<ExpectedGradients> gradients_;
};

}  // namespace

void check_model(GoldenFile& file, bool single_precision, Report& report) {
  const ModelOptions options = read_options(file, "config");
  Manifest manifest(file);
  manifest.data({"inputs/input_ids", "outputs/logits"}).data({"total", "lm", "extra"}, "loss/");
  if (options.num_ghost_experts > 0) manifest.data({"inputs/ghost_levels", "outputs/saturation"});
  if (made_with(file, "taps")) manifest.data({"outputs/embedding", "outputs/output_norm"});
  if (made_with(file, "trajectory")) manifest.group("trajectory");
  manifest.finish();
  for (const Variant& variant : variants(options)) {
    if (single_precision) {
      GoldenRun<float>(file, options, variant, report).check();
    } else {
      GoldenRun<double>(file, options, variant, report).check();
    }
  }
}

}  // namespace gnn_hpc::verify::hgnn_moe
