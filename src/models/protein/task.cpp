// SPDX-License-Identifier: Apache-2.0
#include "models/protein/task.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "nn/traced_tensor.hpp"
#include "train/target_slices.hpp"

#include <cmath>
#include <map>

namespace gnn_hpc::protein {

template <class T>
ProteinTask<T>::ProteinTask(std::string name, ProteinDataOptions data, const ModelOptions& model, std::uint64_t seed)
    : name_(std::move(name)), dataset_(std::move(data)), options_(model), seed_(seed) {}

template <class T>
bool ProteinTask<T>::open_data(const Comm& comm, DataUse use) {
  for_prediction_ = use == DataUse::prediction;
  if (!dataset_.open(comm, use)) return false;
  if (!for_prediction_) {
    shape_model();
    weigh_classes();
  }
  return true;
}

template <class T>
void ProteinTask<T>::shape_model() {
  slices_.assign(dataset_.num_targets(), {slice_kind(dataset_.target_kind()), dataset_.num_classes(), 1.0});
  options_.outputs = num_columns(slices_);
  if (has_model_) return;
  make_model(store_);
  store_.finalize(seed_);
  has_model_ = true;
}

template <class T>
void ProteinTask<T>::weigh_classes() {
  class_weight_.clear();
  if (options_.class_weights == "none") return;
  if (dataset_.target_kind() != TargetKind::classes || dataset_.num_targets() != 1) {
    throw Error(Exit::usage, "model.class_weights: balanced is for one multiclass target (data.task, data.targets)");
  }
  std::vector<double> count(static_cast<std::size_t>(dataset_.num_classes()), 0.0);
  double total = 0.0;
  for (const std::int64_t s : dataset_.splits().train) {
    const double y = dataset_.labels(s)[0];
    if (std::isnan(y)) continue;
    count[static_cast<std::size_t>(y)] += 1.0;
    total += 1.0;
  }
  for (const double n : count) class_weight_.push_back(n > 0.0 ? total / (static_cast<double>(count.size()) * n) : 1.0);
}

template <class T>
double ProteinTask<T>::weight_of(double label) const {
  if (std::isnan(label)) return 0.0;
  return class_weight_.empty() ? 1.0 : class_weight_[static_cast<std::size_t>(label)];
}

template <class T>
void ProteinTask<T>::set_data_state(const DataState& state) {
  dataset_.set_state(state);
  if (!for_prediction_) return;
  shape_model();
  for (const std::string& line : describe()) log_info("{}", line);
}

template <class T>
std::string ProteinTask<T>::variant() const {
  const GvpEncoderOptions& o = options_.encoder;
  return fmt::format("{} layers, residues ({}, {}), edges ({}, {}), {} pooling{}{}", o.num_layers, o.node_scalars, o.node_vectors, o.edge_scalars,
                     o.edge_vectors, name_of(options_.pooling), o.seq_in ? ", with sequence" : "", o.vector_gate ? ", vector gate" : "");
}

template <class T>
std::vector<std::string> ProteinTask<T>::describe() const {
  std::map<std::string, std::size_t> parts;
  for (const TensorInfo& t : store_.tensors()) parts[component(t.name)] += t.size;
  std::string text;
  for (const auto& [part, count] : parts) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", part, count);
  return {fmt::format("model: {} parameters ({}); {} chains", store_.num_parameters(), text, dataset_.num_samples())};
}

template <class T>
void ProteinTask<T>::collate(std::span<const std::int64_t> samples, HostBatch& batch) const {
  auto& out = static_cast<HostProteinBatch&>(batch);
  out.samples.assign(samples.begin(), samples.end());
  out.target.clear();
  out.loss_weight = 0.0;
  dataset_.collate(samples, out.graphs);
  for (const std::int64_t s : samples) {
    dataset_.scaled_targets(s, out.target);
    for (const double y : dataset_.labels(s)) out.loss_weight += weight_of(y);
  }
}

template <class T>
double ProteinTask<T>::flops(const HostBatch& batch) const {
  const ResidueBatch& b = static_cast<const HostProteinBatch&>(batch).graphs;
  const GvpEncoderOptions& o = options_.encoder;
  const double ns = o.node_scalars, nv = o.node_vectors, es = o.edge_scalars, ev = o.edge_vectors, h = 2 * nv + ev;
  // The rewritten forms of the specification, section 7: multiply-adds of an edge and of a residue in a layer, forward.
  const double edge = ns * (es + h) + 3 * h * ev + 3 * nv * h + ns * (ns + nv) + 3 * 3 * nv * nv;
  const double node = 2 * ns * ns + 2 * 3 * h * nv + ns * (ns + nv) + 3 * nv * nv + 4 * ns * (ns + 2 * nv) + ns * (4 * ns + 2 * nv) +
                      3 * (2 * nv * nv + 2 * (2 * nv * 2 * nv) + 2 * nv * nv);
  return 2.0 * 3.0 * o.num_layers * (b.num_edges * edge + b.num_nodes * node);
}

template <class T>
BatchSize ProteinTask<T>::upload(const HostBatch& batch, Step<T>& step) {
  const auto& host = static_cast<const HostProteinBatch&>(batch);
  const std::vector<std::uint64_t> keys(host.samples.begin(), host.samples.end());
  batch_.upload(host.graphs, keys, step.exec);
  target_ = View2<double>(target_storage_.assign(step.exec, host.target).data(), host.samples.size(), dataset_.num_targets());
  if (!class_weight_.empty() && device_class_weight_.extent(0) == 0) device_class_weight_ = weight_storage_.assign(step.exec, class_weight_);
  return {batch_.num_graphs, batch_.num_nodes, batch_.num_edges};
}

template <class T>
View1<double> ProteinTask<T>::loss(Step<T>& step, double divisor) {
  doutput_ = step.arena.template matrix<T>(output_.extent(0), output_.extent(1));
  return target_loss<T>(step, slices_, output_, target_, divisor, doutput_, device_class_weight_);
}

template <class T>
void ProteinTask<T>::measure(const HostBatch& batch, Step<T>& step, Measures& sums) {
  step.exec.fence("gnn_hpc::ProteinTask::measure");
  const std::size_t width = static_cast<std::size_t>(options_.encoder.node_scalars), before = sums.predictions.size();
  const std::vector<double> residues = sums.keep_embeddings ? host_values(residue_features()) : std::vector<double>{};
  const std::vector<int>& ptr = static_cast<const HostProteinBatch&>(batch).graphs.graph_ptr;
  const auto begin_of = [&](std::size_t g) { return static_cast<std::size_t>(ptr[g]); };
  std::vector<double> means(sums.keep_embeddings ? batch.samples.size() * width : 0, 0.0);
  for (std::size_t g = 0; g < means.size() / width; ++g) {
    const double share = 1.0 / static_cast<double>(begin_of(g + 1) - begin_of(g));
    for (std::size_t i = begin_of(g) * width; i < begin_of(g + 1) * width; ++i) means[g * width + i % width] += share * residues[i];
  }
  measures().add(
      batch.samples, host_values(output_), [this](std::int64_t s) { return dataset_.labels(s); }, means, sums);
  for (std::size_t g = 0; sums.keep_items && before + g < sums.predictions.size(); ++g) {
    const auto row = residues.begin();
    sums.predictions[before + g].items.assign(row + static_cast<std::ptrdiff_t>(begin_of(g) * width),
                                              row + static_cast<std::ptrdiff_t>(begin_of(g + 1) * width));
  }
}

template <class T>
std::vector<std::pair<std::string, double>> ProteinTask<T>::metrics(const Measures& reduced) const {
  std::vector<std::pair<std::string, double>> out;
  const std::vector<std::string>& names = dataset_.target_names();
  const TargetMeasures m = measures();
  for (std::size_t k = 0; k < names.size(); ++k) {
    const auto put = [&](const char* name, double value) { out.emplace_back(names.size() > 1 ? fmt::format("{}_{}", name, names[k]) : name, value); };
    if (target_kind() == TargetKind::number) {
      put("mae", m.mae(reduced, k));
      put("rmse", m.rmse(reduced, k));
      put("r2", m.r2(reduced, k));
      continue;
    }
    put("accuracy", m.hit_rate(reduced, k));
    if (target_kind() == TargetKind::classes) put("balanced_accuracy", m.accuracy(reduced, k));
    put("f1", m.f1(reduced, k));
  }
  return out;
}

template <class T>
Deciding ProteinTask<T>::deciding() const {
  if (target_kind() == TargetKind::number) return {.loss = true};
  return {.loss = false, .larger_is_better = true};
}

template class ProteinTask<float>;
template class ProteinTask<double>;

}  // namespace gnn_hpc::protein
