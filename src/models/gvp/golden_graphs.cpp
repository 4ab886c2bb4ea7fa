// SPDX-License-Identifier: Apache-2.0
#include "models/gvp/golden.hpp"

#include "graph/residue_graph.hpp"
#include "io/protein.hpp"
#include "verify/manifest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

namespace gnn_hpc::verify::gvp {

namespace {

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

/// The structure file: its text stands in the golden file if it is short, else it may lie among the proteins beside it.
std::optional<Protein> protein_of(GoldenFile& file, const std::string& name) {
  const std::string stored = "structures/_files/" + name;
  if (file.has(stored)) {
    const std::vector<std::string> text = file.texts(stored);
    if (text.size() == 1 && !text.front().empty()) return parse_protein(text.front(), name);
  }
  const auto root = std::filesystem::path(file.path()).parent_path() / ".." / ".." / "data" / "proteins";
  for (const char* folder : {"awkward", "chains"}) {
    std::error_code ignored;
    const auto path = root / folder / name;
    if (std::filesystem::is_regular_file(path, ignored)) return read_protein(path.string());
  }
  return std::nullopt;
}

/// NaN, where an atom is missing, as a number that no atom has.
std::vector<double> without_nan(std::vector<double> values) {
  for (double& x : values) {
    if (std::isnan(x)) x = -1e6;
  }
  return values;
}

void check_chain(const Protein& protein, const std::string& chain, const std::string& name, const RealTensor& coords, const std::string& sequence,
                 const std::vector<std::string>& residues, Report& report) {
  const ProteinChain& ours = protein.chain(chain);
  if (ours.sequence != sequence)
    return report.fail(name + "/seq", fmt::format("{} residues read, {} expected, or other ones", ours.size(), sequence.size()));
  if (coords.shape[0] != ours.size()) return report.fail(name + "/coords", fmt::format("{} residues read", ours.size()));
  if (ours.residues != residues) return report.fail(name + "/residues", "the numbers of residues differ");
  report.compare(name + "/coords", {coords.shape, without_nan(coords.values)}, {coords.shape, without_nan(ours.coords)}, 0.0);
}

void check_structure(GoldenFile& file, const std::string& name, int top_k, Report& report) {
  const std::string group = "structures/" + name;
  const RealTensor coords = file.real(group + "/coords");
  if (coords.shape.size() != 3 || coords.shape[1] != kBackboneAtoms || coords.shape[2] != 3) {
    return report.fail(group + "/coords", "shape " + shape_text(coords.shape) + ", expected [residues, 4, 3]");
  }
  const auto nodes = coords.shape[0];
  const std::string sequence = file.texts(group + "/seq").front();
  const std::vector<std::string> residues = split_at_commas(file.texts(group + "/residues").front());
  const std::size_t colon = name.rfind(':');
  if (colon == std::string::npos) file.fail(fmt::format("structures/{}: the name is not FILE:CHAIN", name));
  if (const auto protein = protein_of(file, name.substr(0, colon))) {
    check_chain(*protein, name.substr(colon + 1), group, coords, sequence, residues, report);
  }

  const ResidueGraph g = build_residue_graph(coords.values, top_k);
  IntegerTensor edges{{2, g.src.size()}, {g.src.begin(), g.src.end()}};
  for (int i = 0; i < g.num_nodes; ++i) {
    for (int e = g.in_ptr[static_cast<std::size_t>(i)]; e < g.in_ptr[static_cast<std::size_t>(i) + 1]; ++e) edges.values.push_back(i);
  }
  report.compare_exact(group + "/edge_index", file.integers(group + "/edge_index"), edges);
  report.compare_exact(group + "/mask", file.integers(group + "/mask"), {{nodes}, {g.complete.begin(), g.complete.end()}});
  const double allowed = Tolerances().input;
  report.compare(group + "/node_s", file.real(group + "/node_s"), {{nodes, kResidueScalars}, g.node_s}, 1e2 * allowed);
  RealTensor node_v{{nodes, kResidueVectors, 3}, std::vector<double>(g.node_v.size())};
  for (std::size_t i = 0; i < g.node_v.size(); ++i) node_v.values[i / 9 * 9 + i % 3 * 3 + i % 9 / 3] = g.node_v[i];
  report.compare(group + "/node_v", file.real(group + "/node_v"), node_v, allowed);

  const ResidueEdgeFeatures features = residue_edge_features(g);
  const std::size_t every = nodes > 60 ? 8 : 1;  // of a long chain files have every eighth edge
  RealTensor edge_s{{(g.src.size() + every - 1) / every, kDistanceGaussians + kPositionWaves}, {}}, edge_v{{edge_s.shape[0], 1, 3}, {}};
  for (std::size_t e = 0; e < g.src.size(); e += every) {
    const auto row_s = features.edge_s.begin() + static_cast<std::ptrdiff_t>(edge_s.shape[1] * e),
               row_v = features.edge_v.begin() + static_cast<std::ptrdiff_t>(3 * e);
    edge_s.values.insert(edge_s.values.end(), row_s, row_s + static_cast<std::ptrdiff_t>(edge_s.shape[1]));
    edge_v.values.insert(edge_v.values.end(), row_v, row_v + 3);
  }
  report.compare(group + "/edge_s", file.real(group + "/edge_s"), edge_s, allowed);
  report.compare(group + "/edge_v", file.real(group + "/edge_v"), edge_v, allowed);
}

}  // namespace

void check_graphs(GoldenFile& file, bool /*single_precision: graphs are built in double*/, Report& report) {
  const int top_k = static_cast<int>(file.integer_attribute("config", "top_k", 1, 1000000));
  Manifest manifest(file);
  std::vector<std::string> names;
  for (const std::string& name : file.groups_in("structures")) {
    if (name == "_files") continue;
    names.push_back(name);
    manifest.data({"coords", "seq", "residues", "node_s", "node_v", "edge_index", "edge_s", "edge_v", "mask"}, "structures/" + name + "/");
  }
  if (names.empty()) manifest.missing("a group structures/FILE:CHAIN");
  for (const std::string& stored : file.names_under("structures/_files")) {
    const std::string chain = stored.substr(stored.rfind('/') + 1) + ":";
    if (std::none_of(names.begin(), names.end(), [&](const std::string& name) { return name.starts_with(chain); })) {
      manifest.missing("structures/" + chain + "CHAIN");
    }
  }
  manifest.finish();
  for (const std::string& name : names) check_structure(file, name, top_k, report);
}

}  // namespace gnn_hpc::verify::gvp
