// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/task.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "nn/traced_tensor.hpp"
#include "train/target_slices.hpp"

#include <algorithm>

namespace gnn_hpc::dmpnn {

template <class T>
DmpnnTask<T>::DmpnnTask(DataOptions data, ModelOptions model, std::uint64_t seed)
    : dataset_(std::move(data)), options_(std::move(model)), seed_(seed) {}

template <class T>
bool DmpnnTask<T>::open_data(const Comm& comm, DataUse use) {
  for_prediction_ = use == DataUse::prediction;
  if (!dataset_.open(comm, use)) return false;
  if (!for_prediction_) shape_model();
  return true;
}

template <class T>
void DmpnnTask<T>::shape_model() {
  if (dataset_.weighted() && options_.levels() > 0) {  // parallel edges and loops: the link loss is defined for 0/1 adjacency
    throw Error(Exit::usage,
                "model.encoder: diffpool pools plain molecules, but the data are stochastic polymers (fragments|weights|<rules); "
                "set model.encoder: wdmpnn");
  }
  if (options_.levels() > 0 && options_.head_width == 0) {
    std::vector<int> nodes;
    for (const std::int64_t s : dataset_.splits().train) nodes.push_back(static_cast<int>(dataset_.num_atoms(s)));
    options_.head_width = head_width_for(nodes, options_.diffpool_ratio);
  }
  if (!model_) {
    slices_.assign(dataset_.num_targets(), {slice_kind(dataset_.target_kind()), dataset_.num_classes(), 1.0});
    options_.outputs = num_columns(slices_);
    options_.descriptors = dataset_.num_descriptors();
    model_.emplace(store_, options_, dataset_.atom_table().width, dataset_.bond_table().width);
    store_.finalize(seed_);
  }
  model_->set_tables(dataset_.atom_table(), dataset_.bond_table());
  if (options_.shares()) {
    std::vector<MoleculeView> views;
    for (std::int64_t s = 0; s < dataset_.num_samples(); ++s) views.push_back(view(s));
    classes_.emplace(views, options_.depth, options_.undirected);
  }
}

template <class T>
DataState DmpnnTask<T>::data_state() const {
  DataState state = dataset_.state();
  if (options_.levels() > 0) state.numbers["head_width"] = {static_cast<double>(options_.head_width)};
  return state;
}

template <class T>
void DmpnnTask<T>::set_data_state(const DataState& state) {
  dataset_.set_state(state);
  if (options_.levels() > 0) {
    const std::vector<double>& width = state.number("head_width");
    if (width.size() != 1 || !(width[0] >= 1.0)) {
      throw Error(Exit::data,
                  "the checkpoint does not hold the width of the assignment heads (data_state/head_width); it belongs to a "
                  "model without pooling: set model.encoder as it was in training");
    }
    options_.head_width = static_cast<int>(width[0]);
  }
  if (for_prediction_) {
    shape_model();
    for (const std::string& line : describe()) log_info("{}", line);
  }
}

template <class T>
MoleculeView DmpnnTask<T>::view(std::int64_t sample) const {
  MoleculeView out = dataset_.view(sample);
  if (options_.encoder != Encoder::wdmpnn) out.edge_weight = {};
  return out;
}

template <class T>
std::int64_t DmpnnTask<T>::num_clamped() const {
  if (options_.levels() == 0) return 0;
  std::int64_t clamped = 0;
  for (std::int64_t s = 0; s < dataset_.num_samples(); ++s) {
    clamped += cluster_count(static_cast<int>(dataset_.num_atoms(s)), options_.diffpool_ratio) > options_.head_width;
  }
  return clamped;
}

template <class T>
std::string DmpnnTask<T>::variant() const {
  const char* const means[] = {"mean over atoms", "sum over atoms", "sum over atoms / 100"};
  const std::string size = fmt::format("width {}, depth {}", options_.hidden_dim, options_.depth);
  if (options_.encoder == Encoder::wdmpnn) return fmt::format("wD-MPNN (weighted polymer graphs), {}", size);
  if (options_.encoder == Encoder::dmpnn) return fmt::format("D-MPNN, {}, {}", means[static_cast<std::size_t>(options_.aggregation)], size);
  return fmt::format("D-MPNN with DiffPool, {} level(s) of ratio {}, {}", options_.diffpool_depth, options_.diffpool_ratio, size);
}

template <class T>
std::vector<std::string> DmpnnTask<T>::describe() const {
  std::vector<std::string> out{fmt::format("model: {} parameters; {} molecules with {} different atoms and {} different bonds",
                                           store_.num_parameters(), dataset_.num_samples(), dataset_.atom_table().rows(),
                                           dataset_.bond_table().rows())};
  if (options_.levels() > 0) {
    out.push_back(fmt::format("pooling: {} level(s), assignment heads of {} columns; {} molecule(s) have more clusters and are cut to that",
                              options_.levels(), options_.head_width, num_clamped()));
  }
  return out;
}

template <class T>
void DmpnnTask<T>::collate(std::span<const std::int64_t> samples, HostBatch& batch) const {
  std::vector<MoleculeView> views;
  views.reserve(samples.size());
  for (const std::int64_t s : samples) views.push_back(view(s));
  dmpnn::collate(options_, views, samples, classes_ ? &*classes_ : nullptr, dataset_.atom_table().rows(), dataset_.bond_table().rows(),
                 static_cast<HostMoleculeBatch&>(batch));
}

template <class T>
BatchSize DmpnnTask<T>::upload(const HostBatch& batch, Step<T>& step) {
  batch_.upload(static_cast<const HostMoleculeBatch&>(batch), step.exec);
  return {batch_.num_graphs, batch_.num_nodes, batch_.num_edges};
}

template <class T>
View1<double> DmpnnTask<T>::loss(Step<T>& step, double divisor) {
  const auto losses = model_->loss(step, batch_, slices_, divisor);
  target_loss_ = losses.main;
  return losses.total;
}

template <class T>
void DmpnnTask<T>::measure(const HostBatch& batch, Step<T>& step, Measures& sums) {
  step.exec.fence("gnn_hpc::DmpnnTask::measure");
  const std::vector<double> features = sums.keep_embeddings ? host_values(model_->fingerprint()) : std::vector<double>{};
  measures().add(
      batch.samples, host_values(output_), [this](std::int64_t s) { return dataset_.labels(s); }, features, sums);
}

template <class T>
std::vector<std::pair<std::string, double>> DmpnnTask<T>::metrics(const Measures& reduced) const {
  std::vector<std::pair<std::string, double>> out;
  const std::vector<std::string>& names = dataset_.target_names();
  const TargetMeasures m = measures();
  for (std::size_t k = 0; k < names.size(); ++k) {
    const auto put = [&](const char* name, double value) { out.emplace_back(names.size() > 1 ? fmt::format("{}_{}", name, names[k]) : name, value); };
    if (target_kind() == TargetKind::number) {
      put("mae", m.mae(reduced, k));
      put("rmse", m.rmse(reduced, k));
      put("r2", m.r2(reduced, k));
    } else {
      put("accuracy", m.accuracy(reduced, k));
      put("f1", m.f1(reduced, k));
    }
  }
  return out;
}

template <class T>
std::unique_ptr<Task<T>> make_task(Config& root, std::uint64_t seed) {
  DataOptions data = DataOptions::parse(root.block("data", "molecules, labels, splits"));
  ModelOptions model = ModelOptions::parse(root.block("model", "D-MPNN, weighted D-MPNN, D-MPNN with DiffPool"));
  return std::make_unique<DmpnnTask<T>>(std::move(data), model, seed);
}

template class DmpnnTask<float>;
template class DmpnnTask<double>;
template std::unique_ptr<Task<float>> make_task<float>(Config&, std::uint64_t);
template std::unique_ptr<Task<double>> make_task<double>(Config&, std::uint64_t);

}  // namespace gnn_hpc::dmpnn
