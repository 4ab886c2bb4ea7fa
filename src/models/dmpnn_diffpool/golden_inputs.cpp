// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/golden_inputs.hpp"

#include "base/error.hpp"
#include "io/smiles.hpp"
#include "models/dmpnn_diffpool/molecule_features.hpp"

#include <algorithm>
#include <array>
#include <map>

namespace gnn_hpc::verify::dmpnn {

using namespace gnn_hpc::dmpnn;

namespace {

constexpr int kMost = 1 << 20;

/// Numbers equal rows alike.
std::vector<std::int32_t> intern(const RealTensor& rows, FeatureTable& table) {
  const std::size_t width = rows.shape[1];
  table.width = static_cast<int>(width);
  std::map<std::vector<double>, std::int32_t> known;
  std::vector<std::int32_t> type;
  for (std::size_t r = 0; r < rows.shape[0]; ++r) {
    const auto begin = rows.values.begin() + static_cast<std::ptrdiff_t>(r * width);
    const std::vector<double> row(begin, begin + static_cast<std::ptrdiff_t>(width));
    const auto [at, is_new] = known.emplace(row, static_cast<std::int32_t>(known.size()));
    if (is_new) table.values.insert(table.values.end(), row.begin(), row.end());
    type.push_back(at->second);
  }
  return type;
}

/// Graphs from text against the stored ones.
void check_text(GoldenFile& file, const RealTensor& v, const RealTensor& e, const IntegerTensor& edge_index, Report& report) {
  if (!file.has("inputs/text")) return;
  const std::vector<std::string> texts = file.texts("inputs/text");
  if (rdkit_version().empty() || v.shape[1] != kAtomFeatures || e.shape[1] != kBondFeatures) return;
  const bool polymers = file.has("inputs/edge_weight");
  RealTensor atoms{{0, kAtomFeatures}, {}}, bonds{{0, kBondFeatures}, {}};
  RealTensor edge_weight{{0}, {}}, atom_weight{{0}, {}}, dop{{0}, {}};
  std::vector<std::int64_t> src, dst;
  Molecule molecule;
  PolymerReader reader;
  for (const std::string& text : texts) {
    try {
      polymers ? reader.read(text, molecule) : read_smiles(text, molecule);
    } catch (const Error& error) {
      report.fail("inputs/text", error.what());
      return;
    }
    const auto first = static_cast<std::int64_t>(atoms.shape[0]);
    for (const MoleculeAtom& atom : molecule.atoms) {
      std::array<double, kAtomFeatures> row{};
      write_atom_features(atom_code(atom), atom.mass, row);
      atoms.values.insert(atoms.values.end(), row.begin(), row.end());
    }
    for (const MoleculeBond& bond : molecule.bonds) {
      std::array<double, kBondFeatures> row{};
      write_bond_features(bond_code(bond), row);
      for (const bool forward : {true, false}) {
        bonds.values.insert(bonds.values.end(), row.begin(), row.end());
        src.push_back(first + (forward ? bond.begin : bond.end));
        dst.push_back(first + (forward ? bond.end : bond.begin));
        edge_weight.values.push_back(forward ? bond.forward : bond.backward);
      }
    }
    atom_weight.values.insert(atom_weight.values.end(), molecule.atom_weight.begin(), molecule.atom_weight.end());
    dop.values.push_back(molecule.degree_of_polymerisation);
    atoms.shape[0] += molecule.atoms.size();
    bonds.shape[0] += 2 * molecule.bonds.size();
  }
  const double allowed = Tolerances().input;
  report.compare("inputs/V", v, atoms, allowed);
  report.compare("inputs/E", e, bonds, allowed);
  IntegerTensor ends{{2, src.size()}, src};
  ends.values.insert(ends.values.end(), dst.begin(), dst.end());
  report.compare_exact("inputs/edge_index", edge_index, ends);
  if (!polymers) return;
  edge_weight.shape[0] = edge_weight.values.size();
  atom_weight.shape[0] = atom_weight.values.size();
  dop.shape[0] = dop.values.size();
  report.compare("inputs/edge_weight", file.real("inputs/edge_weight"), edge_weight, allowed);
  report.compare("inputs/atom_weight", file.real("inputs/atom_weight"), atom_weight, allowed);
  report.compare("inputs/dop", file.real("inputs/dop"), dop, allowed);
}

}  // namespace

MoleculeView GoldenMolecules::view(std::size_t g) const {
  const auto part = [](const auto& all, std::size_t begin, std::size_t end) { return std::span(all).subspan(begin, all.empty() ? 0 : end - begin); };
  const std::size_t a = atom_ptr[g], b = atom_ptr[g + 1], c = edge_ptr[g], d = edge_ptr[g + 1];
  const auto k = static_cast<std::size_t>(num_targets), x = static_cast<std::size_t>(num_descriptors);
  MoleculeView m;
  m.atom_type = part(atom_type, a, b);
  m.bond_type = part(bond_type, c, d);
  m.src = part(src, c, d);
  m.dst = part(dst, c, d);
  m.edge_weight = edge_weight.empty() ? std::span<const double>() : part(edge_weight, c, d);
  m.atom_weight = atom_weight.empty() ? std::span<const double>() : part(atom_weight, a, b);
  m.degree_of_polymerisation = dop.empty() ? 1.0 : dop[g];
  m.target = part(target, g * k, (g + 1) * k);
  m.descriptors = x == 0 ? std::span<const double>() : part(descriptors, g * x, (g + 1) * x);
  return m;
}

std::vector<MoleculeView> GoldenMolecules::views() const {
  std::vector<MoleculeView> out;
  for (int g = 0; g < num_graphs; ++g) out.push_back(view(static_cast<std::size_t>(g)));
  return out;
}

GoldenMolecules read_molecules(GoldenFile& file, Report& report) {
  GoldenMolecules m;
  const RealTensor v = file.real("inputs/V", {-1, -1}), e = file.real("inputs/E", {-1, -1});
  const auto atoms = static_cast<std::int64_t>(v.shape[0]), edges = static_cast<std::int64_t>(e.shape[0]);
  const IntegerTensor edge_index = file.integers("inputs/edge_index", {2, edges}), rev = file.integers("inputs/rev", {edges});
  const IntegerTensor batch = file.integers("inputs/batch", {atoms});
  const RealTensor y = file.real("inputs/y", {-1, -1});
  check_text(file, v, e, edge_index, report);
  m.num_graphs = static_cast<int>(y.shape[0]);
  m.num_targets = static_cast<int>(y.shape[1]);
  m.target = y.values;
  m.atom_type = intern(v, m.atoms);
  m.bond_type = intern(e, m.bonds);
  m.atom_ptr.assign(1, 0);
  for (std::size_t n = 0; n < batch.values.size(); ++n) {
    const std::int64_t g = batch.values[n], last = n == 0 ? 0 : batch.values[n - 1];
    if (g < last || g > last + 1 || (n == 0 && g != 0)) file.fail("inputs/batch must count 0, 0, ..., 1, ... without gaps");
    if (g > last) m.atom_ptr.push_back(n);
  }
  m.atom_ptr.push_back(batch.values.size());
  if (m.atom_ptr.size() != y.shape[0] + 1) {
    file.fail(fmt::format("inputs/batch names {} molecules, inputs/y has {} rows", m.atom_ptr.size() - 1, y.shape[0]));
  }
  m.edge_ptr.assign(1, 0);
  for (std::int64_t i = 0; i < edges; ++i) {
    const std::int64_t src = edge_index.values[static_cast<std::size_t>(i)], dst = edge_index.values[static_cast<std::size_t>(edges + i)];
    if (src < 0 || dst < 0 || src >= atoms || dst >= atoms ||
        batch.values[static_cast<std::size_t>(src)] != batch.values[static_cast<std::size_t>(dst)]) {
      file.fail(fmt::format("inputs/edge_index: edge {} joins atoms {} and {} of {}, which must be in one molecule", i, src, dst, atoms));
    }
    if (rev.values[static_cast<std::size_t>(i)] != (i ^ 1)) file.fail(fmt::format("inputs/rev: the reverse of edge {} must be {}", i, i ^ 1));
    const auto g = static_cast<std::size_t>(batch.values[static_cast<std::size_t>(src)]);
    if (g + 1 < m.edge_ptr.size()) file.fail("inputs/edge_index: edges must be in the order of their molecules");
    while (m.edge_ptr.size() < g + 1) m.edge_ptr.push_back(static_cast<std::size_t>(i));
    m.src.push_back(static_cast<std::int32_t>(src - static_cast<std::int64_t>(m.atom_ptr[g])));
    m.dst.push_back(static_cast<std::int32_t>(dst - static_cast<std::int64_t>(m.atom_ptr[g])));
  }
  while (m.edge_ptr.size() < m.atom_ptr.size()) m.edge_ptr.push_back(static_cast<std::size_t>(edges));
  if (file.has("inputs/edge_weight")) m.edge_weight = file.real("inputs/edge_weight", {edges}).values;
  if (file.has("inputs/atom_weight")) m.atom_weight = file.real("inputs/atom_weight", {atoms}).values;
  if (file.has("inputs/dop")) m.dop = file.real("inputs/dop", {m.num_graphs}).values;
  if (file.has("inputs/x_d")) {
    const RealTensor x = file.real("inputs/x_d", {m.num_graphs, -1});
    m.num_descriptors = static_cast<int>(x.shape[1]);
    m.descriptors = x.values;
  }
  return m;
}

ModelOptions read_model_options(const GoldenFile& file) {
  ModelOptions o;
  const auto whole = [&](const char* name, int& value, int low) {
    if (file.has_attribute("config", name)) value = static_cast<int>(file.integer_attribute("config", name, low, kMost));
  };
  const auto number = [&](const char* name, double& value) {
    if (file.has_attribute("config", name)) value = file.number_attribute("config", name);
  };
  const auto flag = [&](const char* name, bool& value) {
    if (file.has_attribute("config", name)) value = file.flag_attribute("config", name);
  };
  const auto choose = [&](const char* name, auto& value, const std::vector<std::string>& names) {
    if (!file.has_attribute("config", name)) return;
    const std::string text = file.text_attribute("config", name);
    const auto found = std::find(names.begin(), names.end(), text);
    if (found == names.end()) file.fail(fmt::format("config/{} is '{}', which is not known here", name, text));
    value = static_cast<std::decay_t<decltype(value)>>(found - names.begin());
  };
  o.encoder = Encoder::diffpool;  // of the reference's Config
  choose("encoder", o.encoder, {"dmpnn", "wdmpnn", "diffpool"});
  choose("aggregation", o.aggregation, {"mean", "sum", "norm"});
  choose("assign", o.assign, {"shared", "batch"});
  choose("coarse_edge", o.coarse_edge, {"bond_mean", "adjacency"});
  choose("coarse_graph", o.coarse_graph, {"clean", "legacy"});
  choose("aux_reduction", o.aux_reduction, {"mean", "sum"});
  whole("d_h", o.hidden_dim, 1);
  whole("depth", o.depth, 1);
  whole("ffn_hidden", o.ffn_hidden, 1);
  whole("ffn_layers", o.ffn_layers, 1);
  whole("diffpool_depth", o.diffpool_depth, 1);
  whole("diffpool_topk", o.diffpool_topk, 0);
  whole("head_width", o.head_width, 0);
  whole("lp_max_nodes", o.lp_max_nodes, 0);
  whole("d_xd", o.descriptors, 0);
  number("diffpool_ratio", o.diffpool_ratio);
  number("adjacency_scale", o.adjacency_scale);
  number("lambda_lp", o.lambda_lp);
  number("lambda_ent", o.lambda_ent);
  number("dropout", o.dropout);
  number("ffn_dropout", o.ffn_dropout);
  flag("undirected", o.undirected);
  flag("batch_norm", o.batch_norm);
  flag("use_mean", o.use_mean);
  if (!(o.diffpool_ratio > 0.0 && o.diffpool_ratio <= 1.0))
    file.fail(fmt::format("config/diffpool_ratio is {}, allowed is (0, 1]", o.diffpool_ratio));
  if (o.dropout != 0.0 || o.ffn_dropout != 0.0) file.fail("config: dropout above 0 cannot be compared, random numbers differ");
  if (o.levels() > 0 && o.head_width == 0) file.fail("config/head_width must be above 0 for a model with pooling");
  const std::vector<TargetSlice> slices = read_slices(file);
  o.outputs = num_columns(slices);
  return o;
}

std::vector<TargetSlice> read_slices(const GoldenFile& file) {
  const std::string task = file.has_attribute("config", "task") ? file.text_attribute("config", "task") : "regression";
  TargetSlice slice;
  if (task == "binary") {
    slice.kind = TargetSlice::Kind::binary;
  } else if (task == "multiclass") {
    slice.kind = TargetSlice::Kind::multiclass;
    slice.classes = static_cast<int>(file.integer_attribute("config", "n_classes", 1, kMost));
  } else if (task != "regression") {
    file.fail(fmt::format("config/task is '{}', allowed are regression, binary and multiclass", task));
  }
  const std::int64_t tasks = file.has_attribute("config", "n_tasks") ? file.integer_attribute("config", "n_tasks", 1, kMost) : 1;
  return std::vector<TargetSlice>(static_cast<std::size_t>(tasks), slice);
}

}  // namespace gnn_hpc::verify::dmpnn
