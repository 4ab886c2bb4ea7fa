// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/task.hpp"

#include "base/digest.hpp"

#include <cmath>
#include <limits>
#include <type_traits>

namespace gnn_hpc::comformer {

namespace {

ModelOptions model_for(const NetworkOptions& network, std::size_t targets) {
  ModelOptions o = network.model;
  o.atom_input_features = num_atom_features(network.atom_features);
  o.output_features = static_cast<int>(targets);
  return o;
}

double mean_of(const Measures& measures, const std::string& name) {
  const auto [sum, count] = measures.sum_of(name);
  return count == 0.0 ? std::numeric_limits<double>::quiet_NaN() : sum / count;
}

}  // namespace

NetworkOptions NetworkOptions::parse(Config node) {
  NetworkOptions o;
  std::string atoms = "cgcnn", criterion = "mse", reduction = "csr";
  node.number("node_features", o.model.node_features, at_least_one, "width C of atoms and edges");
  node.number("edge_features", o.model.edge_features, Range{2.0, kInfinity}, "bins of the distance expansion");
  node.number("triplet_input_features", o.model.triplet_input_features, Range{2.0, kInfinity}, "bins of the angle expansion");
  node.number("fc_features", o.model.fc_features, at_least_one, "width of the readout");
  node.number("node_layer_head", o.model.node_layer_head, at_least_one, "attention heads of node and edge layers");
  node.choice("atom_features", atoms, {"cgcnn", "atomic_number"}, "92 element features, or the atomic number alone");
  node.choice("criterion", criterion, {"mse", "l1"}, "loss on scaled labels; a classification uses cross-entropy");
  node.choice("tables", o.tables, {"auto", "on", "off"},
              "interpolate functions of one distance or angle from a grid; auto: in float, where the error is below rounding");
  node.number("distance_points", o.distance_points, Range{4.0, kInfinity}, "grid points of the distance table");
  node.number("cosine_points", o.cosine_points, Range{4.0, kInfinity}, "grid points of the angle table");
  node.choice("reduction", reduction, {"csr", "scatter"}, "sums over neighbours: one writer, reproducible; or ScatterView");
  node.done();
  o.atom_features = parse_atom_features(atoms);
  o.criterion = criterion == "l1" ? Criterion::l1 : Criterion::mse;
  o.model.reduction = reduction == "scatter" ? Reduction::scatter : Reduction::csr;
  return o;
}

TableOptions NetworkOptions::table_options(bool single_precision) const {
  if (tables == "off" || (tables == "auto" && !single_precision)) return {};
  return {distance_points, cosine_points};
}

template <class T>
ComformerTask<T>::ComformerTask(DataOptions data, CrystalGraphOptions graph, const NetworkOptions& network, std::uint64_t seed)
    : dataset_(std::move(data), graph, network.table_options(std::is_same_v<T, float>)),
      criterion_(binary() ? Criterion::binary : network.criterion),
      model_(store_, model_for(network, dataset_.num_targets()), atom_feature_table(network.atom_features)) {
  store_.finalize(seed);
}

template <class T>
bool ComformerTask<T>::open_data(const Comm& comm, DataUse use) {
  for_prediction_ = use == DataUse::prediction;
  return dataset_.open(comm, use);
}

template <class T>
DataState ComformerTask<T>::data_state() const {
  const LabelScaler& scaler = dataset_.scaler();
  return {{{"label_mean", scaler.mean}, {"label_std", scaler.std}, {"data_digest", digest_numbers(dataset_.digest())}},
          {{"targets", dataset_.target_names()}}};
}

template <class T>
void ComformerTask<T>::set_data_state(const DataState& state) {
  const std::vector<double>&mean = state.number("label_mean"), &std = state.number("label_std"), &digest = state.number("data_digest");
  const std::size_t targets = dataset_.num_targets();
  if (mean.size() != targets || std.size() != targets) {
    throw Error(Exit::data, fmt::format("the checkpoint does not hold the label scaling of {} target(s); it belongs to another "
                                        "task or to other data.targets", targets));
  }
  if (!for_prediction_ && !digest.empty() && digest != digest_numbers(dataset_.digest())) {
    throw Error(Exit::data, "the crystals, their labels or the graph options changed since the checkpoint was written; restore "
                            "them, or start anew in another run.dir (restart: never)");
  }
  dataset_.set_scaler({mean, std});
}

template <class T>
std::string ComformerTask<T>::variant() const {
  const ModelOptions& o = model_.options();
  return fmt::format("iComFormer, width {}, {} head(s), {}", o.node_features, o.node_layer_head,
                     binary() ? "binary cross-entropy" : criterion_ == Criterion::l1 ? "L1 loss" : "squared loss");
}

template <class T>
void ComformerTask<T>::collate(std::span<const std::int64_t> samples, HostBatch& batch) const {
  dataset_.collate(samples, static_cast<HostCrystalBatch&>(batch));
}

template <class T>
BatchSize ComformerTask<T>::upload(const HostBatch& batch, Step<T>& step) {
  batch_.upload(static_cast<const HostCrystalBatch&>(batch), step.exec);
  return {batch_.num_graphs, batch_.num_nodes, batch_.num_edges};
}

template <class T>
View1<double> ComformerTask<T>::loss(Step<T>& step, double divisor) {
  dprediction_ = step.arena.template matrix<T>(prediction_.extent(0), prediction_.extent(1));
  return masked_loss(step, criterion_, prediction_, batch_.target, divisor, dprediction_);
}

template <class T>
void ComformerTask<T>::measure(const HostBatch& batch, Step<T>& step, Measures& measures) {
  step.exec.fence("gnn_hpc::ComformerTask::measure");
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), prediction_);
  const LabelScaler& scaler = dataset_.scaler();
  const std::vector<std::string>& names = dataset_.target_names();
  for (std::size_t g = 0; g < batch.samples.size(); ++g) {
    const auto labels = dataset_.labels(batch.samples[g]);
    Prediction row{batch.samples[g], {labels.begin(), labels.end()}, std::vector<double>(names.size())};
    for (std::size_t k = 0; k < names.size(); ++k) {
      const double raw = static_cast<double>(host(g, k)), y = labels[k];
      const double p = binary() ? 1.0 / (1.0 + std::exp(-raw)) : scaler.unscale(raw, k);
      row.prediction[k] = p;
      if (!std::isfinite(y)) continue;
      if (binary()) {
        measures.add("log_loss", std::fmax(raw, 0.0) - raw * y + std::log1p(std::exp(-std::fabs(raw))), 1.0);
        measures.add("accuracy", (p >= 0.5) == (y >= 0.5) ? 1.0 : 0.0, 1.0);
        continue;
      }
      measures.add("mae", std::fabs(p - y), 1.0);
      measures.add("squared", (p - y) * (p - y), 1.0);
      if (names.size() > 1) {
        measures.add("scaled_mae", std::fabs(p - y) / scaler.std[k], 1.0);
        measures.add("mae_" + names[k], std::fabs(p - y), 1.0);
      }
    }
    if (measures.keep_predictions) measures.predictions.push_back(std::move(row));
  }
}

template <class T>
std::vector<std::pair<std::string, double>> ComformerTask<T>::metrics(const Measures& reduced) const {
  if (binary()) return {{"log_loss", mean_of(reduced, "log_loss")}, {"accuracy", mean_of(reduced, "accuracy")}};
  if (dataset_.num_targets() == 1) {
    return {{"mae", mean_of(reduced, "mae")}, {"rmse", std::sqrt(mean_of(reduced, "squared"))}};
  }
  // Targets may have different units: errors in units of each label's spread decide.
  std::vector<std::pair<std::string, double>> out{{"scaled_mae", mean_of(reduced, "scaled_mae")}};
  for (const std::string& target : dataset_.target_names()) out.emplace_back("mae_" + target, mean_of(reduced, "mae_" + target));
  return out;
}

template <class T>
std::unique_ptr<Task<T>> make_task(Config& root, std::uint64_t seed) {
  DataOptions data = DataOptions::parse(root.block("data", "crystals and labels"));
  const CrystalGraphOptions graph = parse_graph_options(root.block("graph", "crystal graphs"));
  const NetworkOptions network = NetworkOptions::parse(root.block("model", "iComFormer"));
  if (data.source.targets.empty()) data.source.targets.emplace_back();  // already reported; the task must still be built
  return std::make_unique<ComformerTask<T>>(std::move(data), graph, network, seed);
}

template class ComformerTask<float>;
template class ComformerTask<double>;
template std::unique_ptr<Task<float>> make_task<float>(Config&, std::uint64_t);
template std::unique_ptr<Task<double>> make_task<double>(Config&, std::uint64_t);

}  // namespace gnn_hpc::comformer
