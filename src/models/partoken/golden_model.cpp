// SPDX-License-Identifier: Apache-2.0
#include "models/partoken/golden.hpp"

#include "base/error.hpp"
#include "models/partoken/model.hpp"
#include "models/partoken/statistics.hpp"
#include "models/protein/golden_inputs.hpp"
#include "nn/target_losses.hpp"
#include "verify/golden_run.hpp"

#include <fmt/format.h>

#include <set>

namespace gnn_hpc::verify::partoken {

namespace {

using gnn_hpc::partoken::CodebookUse;
using gnn_hpc::partoken::LossKind;
using gnn_hpc::partoken::LossWeights;
using gnn_hpc::partoken::Model;
using gnn_hpc::partoken::ModelOptions;
using gnn_hpc::partoken::PartitionStatistics;

ModelOptions read_options(GoldenFile& file) {
  ModelOptions o;
  o.protein = protein::read_model_options(file);
  constexpr std::int64_t kMost = 1 << 16;
  const auto whole = [&](const char* name) { return static_cast<int>(file.integer_attribute("config", name, 1, kMost)); };
  const auto positive_number = [&](const char* name) {
    const double x = file.number_attribute("config", name);
    if (!(x > 0.0 && x < 1e6)) file.fail(fmt::format("config/{} is {}, allowed are numbers above 0", name, x));
    return x;
  };
  o.partitioner.hidden = whole("nhid");
  o.partitioner.max_clusters = whole("max_clusters");
  o.partitioner.k_hop = whole("k_hop");
  o.partitioner.cluster_size_max = whole("cluster_size_max");
  o.partitioner.termination_threshold = positive_number("termination_threshold");
  o.partitioner.tau_init = positive_number("tau_init");
  o.partitioner.tau_min = positive_number("tau_min");
  o.partitioner.tau_decay = positive_number("tau_decay");
  o.codebook.codes = whole("codebook_size");
  o.codebook.beta = file.number_attribute("config", "codebook_beta");
  o.codebook.decay = file.number_attribute("config", "codebook_decay");
  o.codebook.epsilon = positive_number("codebook_eps");
  o.codebook.cosine = file.flag_attribute("config", "cosine");
  o.codebook.psc_temp = positive_number("psc_temp");
  o.heads = whole("heads");
  o.quantized = file.flag_attribute("config", "quantized");
  o.corrected = file.flag_attribute("config", "corrected");
  o.lambda_vq = file.number_attribute("config", "lambda_vq");
  o.lambda_psc = file.number_attribute("config", "lambda_psc");
  o.lambda_card = file.number_attribute("config", "lambda_card");
  o.complete();
  if (o.width() % o.heads != 0) file.fail(fmt::format("config/heads: {} do not divide the width {}", o.heads, o.width()));
  const std::string loss = file.text_attribute("config", "loss_mode");
  for (const LossKind kind : {LossKind::composite, LossKind::loop, LossKind::ce}) {
    if (loss == name_of(kind)) {
      o.loss = kind;
      return o;
    }
  }
  file.fail(fmt::format("config/loss_mode is '{}', allowed are composite, loop and ce", loss));
}

/// The model on the batch of a golden file, with the noise and the masks that the file stores. A file without masks of the seed selector was
/// made in inference mode, noise apart.
template <class T>
class ModelCase final : public GoldenCase<T> {
 public:
  explicit ModelCase(GoldenFile& file)
      : file_(file),
        options_(read_options(file)),
        bypass_(file.flag_attribute("config", "bypass")),
        input_(protein::read_batch(file, options_.protein)),
        model_(store, options_) {
    slices_ = {{TargetSlice::Kind::multiclass, options_.protein.outputs, 1.0}};
    if (bypass_ && options_.loss != LossKind::ce) file.fail("config/loss_mode: without a codebook only ce is known");
  }

  void mark(std::vector<GradientName>& names) const override {
    for (GradientName& n : names) {
      n.cancels = n.name == "partitioner.seed_selector.3.bias";  // a softmax does not feel it
      if (!options_.corrected) n.used = n.used && n.name != "global_cluster_attn.q.weight" && n.name != "global_cluster_attn.k.weight";
      // Two normalised channels are +-1; and a cold softmax that is nearly one of its shares leaves differences of equal numbers.
      n.saturates = (options_.width() == 2 && n.name.find(".scalar_norm.") != std::string::npos) ||
                    n.name.starts_with("partitioner.seed_selector.") || n.name.starts_with("partitioner.context_encoder.");
    }
  }

  void require(Manifest& manifest) const override {
    for (const TensorInfo& t : store.buffer_tensors()) manifest.data({t.name}, "outputs/buffers_after/");
    if (!file_.has_group("trajectory")) return;
    manifest.data({"loss", "embeddings_norm"}, "trajectory/");
    for (const TensorInfo& t : store.tensors()) manifest.data({t.name}, "trajectory/param_norms/");
  }

  std::vector<double> initial(const TensorInfo& tensor, bool is_buffer) override {
    return file_.finite((is_buffer ? "buffers/" : "params/") + tensor.name, {tensor.shape.begin(), tensor.shape.end()}).values;
  }

  void prepare() override {
    std::vector<std::uint64_t> keys;
    for (int g = 0; g < input_.graphs.num_graphs; ++g) keys.push_back(static_cast<std::uint64_t>(g));
    batch_.upload(input_.graphs, keys, exec_);
    target_ = protein::to_device<double>(input_.label, input_.label.size(), 1);
    read_draws();
    assign_ = file_.integers("outputs/assign", {input_.graphs.num_nodes}).values;
    valid_ = file_.integers("outputs/valid", {input_.graphs.num_graphs, options_.partitioner.max_clusters}).values;
    exec_.fence("gnn_hpc::verify");
  }

  GoldenLosses pass(std::int64_t /*step*/, std::vector<TracedTensor>* traced) override {
    arena_.reset();
    const bool first = traced != nullptr;
    Step<T> step{exec_, arena_, first && !trained_ ? Mode::evaluate : Mode::train, {}, comm_};
    const View2<T> logits = model_.forward(step, batch_, use(), first ? &draws_ : &noise_alone_);
    const View2<T> dlogits = arena_.template matrix<T>(logits.extent(0), logits.extent(1));
    const View1<double> cls = target_loss<T>(step, slices_, logits, target_, static_cast<double>(logits.extent(0)), dlogits);
    if (first) {  // before backward, which reuses what forward saved
      *traced = trace(model_, batch_);
      traced->push_back({"logits", {logits.extent(0), logits.extent(1)}, host_values(logits)});
      add_statistics(*traced);
    }
    const std::vector<double> parts = host_values(model_.part_losses());
    const double classes = host_values(cls)[0];
    model_.backward(step, batch_, dlogits, weights());
    exec_.fence("gnn_hpc::verify");
    return named(classes, parts);
  }

  void compare_output(GoldenFile& file, const std::string& name, const TracedTensor& ours, Report& report) override {
    static const std::set<std::string> whole{"assign", "valid", "code", "seed", "candidate"};
    const std::string what = name.substr(name.find_last_of("./") + 1);
    const std::vector<std::size_t> no_shape;
    if (whole.count(what) != 0) {
      report.compare_exact(name, file.integers(name), {ours.shape, {ours.values.begin(), ours.values.end()}});
      return;
    }
    RealTensor theirs = file.real(name);
    RealTensor mine{theirs.shape.empty() && ours.values.size() == 1 ? no_shape : ours.shape, ours.values};
    if (name.starts_with("outputs/trace/step") && theirs.shape == mine.shape) leave_what_counts(file, name, what, theirs, mine);
    report.compare(name, theirs, mine, Tolerances::of(std::is_same_v<T, float>).output);
  }

  bool is_further(std::string_view name) const override {
    return name == "outputs/logits_eval" || name == "outputs/logits_quiet" || name == "outputs/assign_quiet" ||
           name.starts_with("outputs/buffers_after/");
  }
  void check_further(Report& report) override {
    const double allowed = Tolerances::of(std::is_same_v<T, float>).output;
    const bool digests = file_.text_attribute("config", "grads") == "digest";
    for (const TensorInfo& t : store.buffer_tensors()) {
      const std::string name = "outputs/buffers_after/" + t.name;
      const RealTensor expected = file_.real(name), ours{t.shape, store.get_buffer(t)};
      digests ? report.compare_digest(name, expected, ours, allowed) : report.compare(name, expected, ours, allowed);
      store.set_buffer(t, initial(t, true));  // evaluations are those of before the step
    }
    evaluate("outputs/logits_eval", &noise_alone_, report);
    evaluate("outputs/logits_quiet", nullptr, report);
    if (file_.has("outputs/assign_quiet")) {
      const std::vector<int> assign = host_ints(model_.saved().partition.assign);
      report.compare_exact("outputs/assign_quiet", file_.integers("outputs/assign_quiet"), {{assign.size()}, {assign.begin(), assign.end()}});
    }
  }

  Trajectory trajectory() override { return protein::adam_trajectory(file_); }
  void after_trajectory(Report& report) override {
    double squares = 0.0;
    for (const double x : store.get_buffer(*store.find_buffer("codebook.embeddings"))) squares += x * x;
    report.compare("trajectory/embeddings_norm", file_.real("trajectory/embeddings_norm"), std::sqrt(squares),
                   Tolerances::of(std::is_same_v<T, float>).trajectory);
  }

 private:
  using GoldenCase<T>::store;

  CodebookUse use() const { return {bypass_, true, options_.loss == LossKind::composite || file_.has("outputs/presence")}; }
  LossWeights weights() const {
    if (options_.loss == LossKind::ce) return {};
    if (options_.loss == LossKind::loop) return {1.0, 0.0, 0.0};
    return {options_.lambda_vq, options_.lambda_psc, options_.lambda_card};
  }

  /// The published program multiplies the cardinality by its weight twice.
  GoldenLosses named(double cls, const std::vector<double>& parts) const {
    const double vq = parts[0], psc = parts[1], card = options_.corrected ? parts[2] : options_.lambda_card * parts[2];
    if (options_.loss == LossKind::ce) return {{{"loss/cls", cls}, {"loss/total", cls}}, cls};
    if (options_.loss == LossKind::loop) return {{{"loss/cls", cls}, {"loss/vq", vq}, {"loss/total", cls + vq}}, cls + vq};
    const double total = cls + options_.lambda_vq * vq + options_.lambda_psc * psc + options_.lambda_card * card;
    return {{{"loss/cls", cls}, {"loss/vq", vq}, {"loss/psc", psc}, {"loss/card", card}, {"loss/total", total}}, total};
  }

  void read_draws() {
    const std::int64_t clusters = options_.partitioner.max_clusters, nodes = input_.graphs.num_nodes, graphs = input_.graphs.num_graphs,
                       hidden = options_.partitioner.hidden, width = options_.width();
    protein::MaskShapes shapes = protein::mask_shapes(options_.protein, "gvp_layers", 2 * options_.width(), input_.graphs);
    shapes["global_cluster_attn.dropout"] = {graphs, options_.heads, clusters};
    shapes["fw_gate.beta_mlp.2"] = {graphs, std::max<std::int64_t>(1, width / 2)};
    for (std::int64_t c = 0; c < clusters; ++c) {
      shapes[fmt::format("partitioner.seed_selector.2.{}", c)] = {nodes, hidden};
      shapes[fmt::format("partitioner.gumbel.{}", c)] = {nodes};
    }
    std::map<std::string, RealTensor> tables = protein::read_draws(file_, shapes);
    std::vector<double> uniform, keep;
    for (std::int64_t c = 0; c < clusters; ++c) {  // the clusters that no chain has are missing
      take(tables, fmt::format("partitioner.gumbel.{}", c), nodes, 0.5, uniform);
      trained_ = take(tables, fmt::format("partitioner.seed_selector.2.{}", c), nodes * hidden, 1.0, keep) || trained_;
    }
    noise_alone_.draws.uniform = protein::to_device<double>(uniform, static_cast<std::size_t>(clusters), static_cast<std::size_t>(nodes));
    draws_.draws.uniform = noise_alone_.draws.uniform;
    draws_.draws.keep = protein::to_device<T>(keep, static_cast<std::size_t>(clusters * nodes), static_cast<std::size_t>(hidden));
    draws_.masks = protein::upload_masks<T>(tables);
  }
  static bool take(std::map<std::string, RealTensor>& tables, const std::string& name, std::int64_t count, double otherwise,
                   std::vector<double>& out) {
    const auto found = tables.find(name);
    const bool there = found != tables.end();
    if (there)
      out.insert(out.end(), found->second.values.begin(), found->second.values.end());
    else
      out.insert(out.end(), static_cast<std::size_t>(count), otherwise);
    if (there) tables.erase(found);
    return there;
  }

  void add_statistics(std::vector<TracedTensor>& out) const {
    const auto& saved = model_.saved();
    const std::vector<int> assign = host_ints(saved.partition.assign), members = host_ints(saved.partition.members);
    const std::vector<double> importance = host_values(saved.importance);
    const std::size_t graphs = input_.label.size(), clusters = members.size() / std::max<std::size_t>(1, graphs);
    std::vector<double> coverage, used, mean_size, entropy;
    for (std::size_t g = 0; g < graphs; ++g) {
      const auto begin = static_cast<std::size_t>(input_.graphs.graph_ptr[g]), end = static_cast<std::size_t>(input_.graphs.graph_ptr[g + 1]);
      const PartitionStatistics s =
          gnn_hpc::partoken::partition_statistics(std::span(assign).subspan(begin, end - begin), std::span(members).subspan(g * clusters, clusters),
                                                  std::span(importance).subspan(g * clusters, clusters));
      coverage.push_back(s.coverage);
      used.push_back(s.clusters);
      mean_size.push_back(s.mean_size);
      entropy.push_back(s.entropy);
    }
    out.push_back({"stats/coverage", {graphs}, coverage});
    out.push_back({"stats/clusters", {graphs}, used});
    out.push_back({"stats/mean_size", {graphs}, mean_size});
    out.push_back({"stats/entropy", {graphs}, entropy});
  }

  /// The reference also computes numbers that nothing depends on: of chains without the cluster, of residues that are taken or no candidates.
  void leave_what_counts(GoldenFile& file, const std::string& name, const std::string& what, RealTensor& theirs, RealTensor& ours) const {
    const std::size_t c = static_cast<std::size_t>(std::stoi(name.substr(18))),
                      clusters = static_cast<std::size_t>(options_.partitioner.max_clusters);
    const auto counts = [&](std::size_t graph) { return valid_[graph * clusters + c] != 0; };
    const auto drop = [&](std::size_t i) { theirs.values[i] = ours.values[i] = 0.0; };
    if (what == "theta" || what == "phi" || what == "x_seed") {
      const std::size_t graphs = input_.label.size(), width = theirs.values.size() / graphs;
      for (std::size_t i = 0; i < theirs.values.size(); ++i) {
        if (!counts(i / width)) drop(i);
      }
      return;
    }
    const bool of_candidates = what == "score" || what == "z";
    if (!of_candidates && what != "seed_logit") return;
    const std::vector<std::int64_t> candidate =
        of_candidates ? file.integers(name.substr(0, name.rfind('.')) + ".candidate").values : std::vector<std::int64_t>();
    for (std::size_t g = 0; g < input_.label.size(); ++g) {
      for (auto i = static_cast<std::size_t>(input_.graphs.graph_ptr[g]); i < static_cast<std::size_t>(input_.graphs.graph_ptr[g + 1]); ++i) {
        const bool taken = assign_[i] >= 0 && assign_[i] < static_cast<std::int64_t>(c);
        if (!counts(g) || taken || (of_candidates && candidate[i] == 0)) drop(i);
      }
    }
  }

  void evaluate(const std::string& name, const typename Model<T>::Given* draws, Report& report) {
    if (!file_.has(name)) return;
    arena_.reset();
    Step<T> step{exec_, arena_, Mode::evaluate, {}, comm_};
    const View2<T> logits = model_.forward(step, batch_, use(), draws);
    report.compare(name, file_.real(name), {{logits.extent(0), logits.extent(1)}, host_values(logits)},
                   Tolerances::of(std::is_same_v<T, float>).output);
  }

  GoldenFile& file_;
  ModelOptions options_;
  bool bypass_ = false, trained_ = false;
  protein::GoldenBatch input_;
  Exec exec_;
  Arena arena_;
  Comm comm_;
  Model<T> model_;
  ResidueInput<T> batch_;
  View2<double> target_;
  typename Model<T>::Given draws_, noise_alone_;
  std::vector<std::int64_t> assign_, valid_;
  std::vector<TargetSlice> slices_;
};

template <class T>
void check(GoldenFile& file, Report& report) {
  ModelCase<T> model(file);
  GoldenRun<T>(file, model, report).check();
}

}  // namespace

void check_model(GoldenFile& file, bool single_precision, Report& report) {
  const ModelOptions options = read_options(file);  // a model that this build cannot run is refused as such, whatever else is missing
  Manifest manifest(file);
  manifest.data({"node_s", "node_v", "edge_index", "edge_s", "edge_v", "batch", "y"}, "inputs/")
      .data({"logits", "assign", "valid", "clusters", "importance"}, "outputs/")
      .data({"cls", "total"}, "loss/");
  if (options.loss == LossKind::composite) manifest.data({"vq", "psc", "card"}, "loss/");
  manifest.finish();
  single_precision ? check<float>(file, report) : check<double>(file, report);
}

}  // namespace gnn_hpc::verify::partoken
