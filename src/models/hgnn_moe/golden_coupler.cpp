// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/golden.hpp"

#include "base/error.hpp"
#include "models/hgnn_moe/coupler.hpp"
#include "models/hgnn_moe/golden_inputs.hpp"
#include "nn/hypergraph.hpp"
#include "verify/expected_gradients.hpp"
#include "verify/manifest.hpp"

#include <map>

namespace gnn_hpc::verify::hgnn_moe {

namespace {

using namespace gnn_hpc::hgnn_moe;

template <class T>
View2<T> device_matrix(const std::vector<double>& values, std::size_t rows, std::size_t columns) {
  const View2<T> out("gnn_hpc::verify::coupler", rows, columns);
  const auto host = Kokkos::create_mirror_view(out);
  for (std::size_t i = 0; i < values.size(); ++i) host.data()[i] = static_cast<T>(values[i]);
  Kokkos::deep_copy(out, host);
  return out;
}

/// The hyperedges themselves, in the order that indexes the weights.
void check_hyperedges(GoldenFile& file, const std::string& group, const ModelOptions& o, Report& report) {
  const int size = o.strategy == HyperedgeStrategy::all_pairs ? 2 : o.strategy == HyperedgeStrategy::all_triplets ? 3 : 0;
  const Hypergraph graph = Hypergraph::all_sets(o.num_experts, size);
  IntegerTensor nodes{{graph.edge_node.size()}, {graph.edge_node.begin(), graph.edge_node.end()}}, ids{nodes.shape, {}};
  for (int e = 0; e < graph.num_edges; ++e) {
    const int members = graph.edge_ptr[static_cast<std::size_t>(e) + 1] - graph.edge_ptr[static_cast<std::size_t>(e)];
    ids.values.insert(ids.values.end(), static_cast<std::size_t>(members), e);
  }
  for (const auto& [name, ours] : {std::pair{"hyperedge_nodes", &nodes}, {"hyperedge_ids", &ids}}) {
    const std::string full = group + "/outputs/" + name;
    report.compare_exact(full, file.integers(full), *ours);
  }
}

/// One coupler alone, in one evaluation order: y and all gradients of sum y dy.
template <class T>
void check_case(GoldenFile& file, const std::string& group, ModelOptions o, HypergraphForm form, const std::string& suffix, Report& report) {
  o.form = form;
  const Tolerances allowed = Tolerances::of(std::is_same_v<T, float>);
  const RealTensor x = file.real(group + "/inputs/X", {-1, o.num_experts, o.embed_dim});
  const RealTensor dy = file.real(group + "/inputs/dy", {static_cast<std::int64_t>(x.shape[0]), o.embed_dim});
  const std::size_t rows = x.shape[0], columns = x.shape[1] * x.shape[2];
  ParamStore<T> store;
  const auto coupler = make_coupler<T>(store, "c", o);
  store.finalize(0);
  for (const TensorInfo& t : store.tensors()) {
    store.set(t, file.finite(group + "/params/" + t.name.substr(2), {t.shape.begin(), t.shape.end()}).values);
  }
  std::vector<GradientName> names = gradient_names(store.tensors(), "c.");
  names.push_back({"X", x.shape});
  const ExpectedGradients gradients(file, group + "/", std::move(names), allowed);
  Manifest(file).data(gradients.missing(/*unused_too=*/false)).finish();
  const Exec exec;
  const Comm comm;
  Arena arena;
  Step<T> step{exec, arena, Mode::train, {}, comm};
  store.zero_gradients(exec);
  const View2<T> in = device_matrix<T>(x.values, rows, columns), y("gnn_hpc::verify::coupler", rows, x.shape[2]);
  coupler->forward(step, in, View2<T>(), y);
  std::map<std::string, RealTensor> ours;
  for (CouplerTap& tap : coupler->taps(step)) ours[tap.name] = {tap.shape, std::move(tap.values)};
  const OutputGradient<T> gradient = coupler->backward(step, device_matrix<T>(dy.values, rows, x.shape[2]));
  exec.fence("gnn_hpc::verify::coupler");
  ours["y"] = {{rows, x.shape[2]}, host_values(y)};

  RealTensor dx{x.shape, std::vector<double>(x.values.size(), 0.0)};
  if (gradient.each.extent(1) > 0) dx.values = host_values(gradient.each);
  if (gradient.common.extent(1) > 0) {
    const std::vector<double> common = host_values(gradient.common), factor = host_values(View2<T>(gradient.factor.data(), 1, x.shape[1]));
    for (std::size_t i = 0; i < dx.values.size(); ++i) {
      dx.values[i] += factor[i / x.shape[2] % x.shape[1]] * common[i / columns * x.shape[2] + i % x.shape[2]];
    }
  }
  for (const std::string& name : file.names_under(group + "/outputs")) {
    const auto found = ours.find(name.substr(group.size() + 9));
    if (found != ours.end()) report.compare(name + suffix, file.real(name), found->second, allowed.output);
  }
  gradients.compare("X", dx, suffix, report);
  for (const TensorInfo& t : store.tensors()) gradients.compare(t.name.substr(2), {t.shape, store.get_gradient(t)}, suffix, report);
  if (suffix.empty()) gradients.report_unknown(report);
}

template <class T>
void check(GoldenFile& file, Report& report) {
  for (const std::string& group : file.groups_in("")) {
    const ModelOptions o = read_options(file, group + "/config");
    Manifest manifest(file);
    manifest.data({"inputs/X", "inputs/dy", "outputs/y"}, group + "/");
    if (o.coupler_type == CouplerType::hgnn) manifest.data({"hyperedge_nodes", "hyperedge_ids"}, group + "/outputs/");
    manifest.finish();
    if (o.coupler_type == CouplerType::gnn) {
      check_case<T>(file, group, o, HypergraphForm::collapsed, "", report);
      continue;
    }
    check_hyperedges(file, group, o, report);
    check_case<T>(file, group, o, HypergraphForm::collapsed, "", report);
    check_case<T>(file, group, o, HypergraphForm::dense, " (dense)", report);
    check_case<T>(file, group, o, HypergraphForm::incidence, " (incidence)", report);
  }
}

}  // namespace

void check_coupler(GoldenFile& file, bool single_precision, Report& report) {
  single_precision ? check<float>(file, report) : check<double>(file, report);
}

}  // namespace gnn_hpc::verify::hgnn_moe
