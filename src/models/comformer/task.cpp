// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/task.hpp"

#include "nn/traced_tensor.hpp"

#include <type_traits>

namespace gnn_hpc::comformer {

namespace {

ModelOptions model_for(const NetworkOptions& network, std::size_t targets) {
  ModelOptions o = network.model;
  o.atom_input_features = num_atom_features(network.atom_features);
  o.output_features = static_cast<int>(targets);
  return o;
}

}  // namespace

NetworkOptions NetworkOptions::parse(Config node) {
  NetworkOptions o;
  std::string name = "iComFormer", atoms = "cgcnn", criterion = "mse", reduction = "csr";
  node.choice("name", name, {"iComFormer", "eComFormer", "iComformer", "eComformer"},
              "invariant (angles with the lattice) or equivariant (spherical harmonics of directions); the published spelling, too");
  node.number("node_features", o.model.node_features, at_least_one, "width C of atoms and edges");
  node.number("edge_features", o.model.edge_features, Range{2.0, kInfinity}, "bins of the distance expansion");
  node.number("triplet_input_features", o.model.triplet_input_features, Range{2.0, kInfinity}, "bins of the angle expansion (iComFormer)");
  node.number("fc_features", o.model.fc_features, at_least_one, "width of the readout");
  node.number("node_layer_head", o.model.node_layer_head, at_least_one, "attention heads of node layers and of the edge layer");
  node.choice("atom_features", atoms, {"cgcnn", "atomic_number"}, "92 element features, or the atomic number alone");
  node.choice("criterion", criterion, {"mse", "l1"}, "loss on scaled labels; a classification uses cross-entropy");
  node.choice("tables", o.tables, {"auto", "on", "off"},
              "interpolate functions of one distance or angle from a grid; auto: in float, where the error is below rounding");
  node.number("distance_points", o.distance_points, Range{4.0, kInfinity}, "grid points of the distance table");
  node.number("cosine_points", o.cosine_points, Range{4.0, kInfinity}, "grid points of the angle table");
  node.choice("reduction", reduction, {"csr", "scatter"}, "sums over neighbours: one writer, reproducible; or ScatterView");
  node.done();
  o.model.network = name.front() == 'e' ? Network::ecomformer : Network::icomformer;
  o.atom_features = parse_atom_features(atoms);
  o.criterion = criterion == "l1" ? TargetSlice::Kind::absolute : TargetSlice::Kind::regression;
  o.model.reduction = reduction == "scatter" ? Reduction::scatter : Reduction::csr;
  return o;
}

TableOptions NetworkOptions::table_options(bool single_precision) const {
  const bool directions = model.network == Network::ecomformer;
  if (tables == "off" || (tables == "auto" && !single_precision)) return {.directions = directions};
  return {distance_points, cosine_points, directions};
}

template <class T>
ComformerTask<T>::ComformerTask(DataOptions data, CrystalGraphOptions graph, const NetworkOptions& network, std::uint64_t seed)
    : dataset_(std::move(data), graph, network.table_options(std::is_same_v<T, float>)),
      slices_(dataset_.num_targets(), {dataset_.target_kind() == TargetKind::probability ? TargetSlice::Kind::binary : network.criterion, 1, 1.0}),
      model_(store_, model_for(network, dataset_.num_targets()), atom_feature_table(network.atom_features)) {
  store_.finalize(seed);
}

template <class T>
std::string ComformerTask<T>::variant() const {
  const ModelOptions& o = model_.options();
  return fmt::format("{}, width {}, {} head(s), {}", o.network == Network::ecomformer ? "eComFormer" : "iComFormer", o.node_features,
                     o.node_layer_head,
                     slices_.front().kind == TargetSlice::Kind::binary     ? "binary cross-entropy"
                     : slices_.front().kind == TargetSlice::Kind::absolute ? "L1 loss"
                                                                           : "squared loss");
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
  return target_loss<T>(step, slices_, prediction_, batch_.target, divisor, dprediction_);
}

template <class T>
void ComformerTask<T>::measure(const HostBatch& batch, Step<T>& step, Measures& sums) {
  step.exec.fence("gnn_hpc::ComformerTask::measure");
  measures().add(
      batch.samples, host_values(prediction_), [this](std::int64_t s) { return dataset_.labels(s); }, {}, sums);
}

template <class T>
std::vector<std::pair<std::string, double>> ComformerTask<T>::metrics(const Measures& reduced) const {
  const TargetMeasures m = measures();
  if (target_kind() == TargetKind::probability) return {{"log_loss", m.mean_log_loss(reduced)}, {"accuracy", m.mean_accuracy(reduced)}};
  if (dataset_.num_targets() == 1) return {{"mae", m.mae(reduced, 0)}, {"rmse", m.rmse(reduced, 0)}};
  // Targets may have different units: errors in units of each label's spread decide.
  std::vector<std::pair<std::string, double>> out{{"scaled_mae", m.scaled_mae(reduced)}};
  for (std::size_t k = 0; k < dataset_.num_targets(); ++k) out.emplace_back("mae_" + dataset_.target_names()[k], m.mae(reduced, k));
  return out;
}

template <class T>
std::unique_ptr<Task<T>> make_task(Config& root, std::uint64_t seed) {
  DataOptions data = DataOptions::parse(root.block("data", "crystals and labels"));
  const CrystalGraphOptions graph = parse_graph_options(root.block("graph", "crystal graphs"));
  const NetworkOptions network = NetworkOptions::parse(root.block("model", "iComFormer or eComFormer"));
  if (data.source.targets.empty()) data.source.targets.emplace_back();  // already reported; the task must still be built
  return std::make_unique<ComformerTask<T>>(std::move(data), graph, network, seed);
}

template class ComformerTask<float>;
template class ComformerTask<double>;
template std::unique_ptr<Task<float>> make_task<float>(Config&, std::uint64_t);
template std::unique_ptr<Task<double>> make_task<double>(Config&, std::uint64_t);

}  // namespace gnn_hpc::comformer
