// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/golden.hpp"

#include "base/error.hpp"
#include "graph/split.hpp"
#include "io/smiles.hpp"
#include "models/dmpnn_diffpool/molecule_features.hpp"
#include "verify/manifest.hpp"

#include <array>
#include <cstdio>

namespace gnn_hpc::verify::dmpnn {

namespace {

using namespace gnn_hpc::dmpnn;

/// Graphs of a group, concatenated as in the file: indices count from 0 within each graph.
struct Graphs {
  std::vector<std::int64_t> atoms, edges, src, dst, rev;
  std::vector<double> atom_rows, bond_rows, edge_weight, atom_weight, dop;

  void add(const Molecule& molecule) {
    atoms.push_back(static_cast<std::int64_t>(molecule.atoms.size()));
    edges.push_back(2 * static_cast<std::int64_t>(molecule.bonds.size()));
    for (const MoleculeAtom& atom : molecule.atoms) {
      std::array<double, kAtomFeatures> row{};
      write_atom_features(atom_code(atom), atom.mass, row);
      atom_rows.insert(atom_rows.end(), row.begin(), row.end());
    }
    std::int64_t edge = 0;
    for (const MoleculeBond& bond : molecule.bonds) {
      std::array<double, kBondFeatures> row{};
      write_bond_features(bond_code(bond), row);
      for (int k = 0; k < 2; ++k, ++edge) {
        bond_rows.insert(bond_rows.end(), row.begin(), row.end());
        src.push_back(k == 0 ? bond.begin : bond.end);
        dst.push_back(k == 0 ? bond.end : bond.begin);
        rev.push_back(edge ^ 1);
        edge_weight.push_back(k == 0 ? bond.forward : bond.backward);
      }
    }
    atom_weight.insert(atom_weight.end(), molecule.atom_weight.begin(), molecule.atom_weight.end());
    dop.push_back(molecule.degree_of_polymerisation);
  }
};

IntegerTensor vector_of(const std::vector<std::int64_t>& values) { return {{values.size()}, values}; }

void check_group(GoldenFile& file, const std::string& group, bool polymers, Report& report) {
  const std::string prefix = group + "/";
  Graphs ours;
  Molecule molecule;
  PolymerReader reader;
  for (const std::string& text : file.texts(prefix + "text")) {
    try {
      polymers ? reader.read(text, molecule) : read_smiles(text, molecule);
    } catch (const Error& error) {
      report.fail(prefix + "text", error.what());
      return;
    }
    ours.add(molecule);
  }
  const std::size_t n = ours.atom_rows.size() / kAtomFeatures, m = ours.src.size();
  const auto exact = [&](const char* name, const IntegerTensor& values) {
    report.compare_exact(prefix + name, file.integers(prefix + name), values);
  };
  exact("n_atoms", vector_of(ours.atoms));
  exact("n_edges", vector_of(ours.edges));
  IntegerTensor edge_index{{2, m}, ours.src};
  edge_index.values.insert(edge_index.values.end(), ours.dst.begin(), ours.dst.end());
  exact("edge_index", edge_index);
  exact("rev", vector_of(ours.rev));
  const auto near = [&](const char* name, std::vector<std::size_t> shape, const std::vector<double>& values) {
    report.compare(prefix + name, file.real(prefix + name), {std::move(shape), values}, Tolerances().input);
  };
  near("V", {n, kAtomFeatures}, ours.atom_rows);
  near("E", {m, kBondFeatures}, ours.bond_rows);
  if (!polymers) return;
  near("edge_weight", {m}, ours.edge_weight);
  near("atom_weight", {n}, ours.atom_weight);
  near("dop", {ours.dop.size()}, ours.dop);
}

/// Texts that no molecule must come from.
void check_rejected(GoldenFile& file, Report& report) {
  const std::string name = "rejected/text";
  Molecule molecule;
  IntegerTensor expected, rejected;
  for (const std::string& text : file.texts(name)) {
    bool refused = false;
    try {
      read_smiles(text, molecule);
    } catch (const Error&) {
      refused = true;
    }
    expected.values.push_back(1);
    rejected.values.push_back(refused ? 1 : 0);
  }
  expected.shape = rejected.shape = {expected.values.size()};
  report.compare_exact(name, expected, rejected);
}

/// Parts `prefix`{train,val,test}.
void compare_parts(GoldenFile& file, const std::string& prefix, const SampleParts& parts, Report& report) {
  Manifest(file).data({"train", "val", "test"}, prefix).finish();
  report.compare_exact(prefix + "train", file.integers(prefix + "train"), vector_of(parts.train));
  report.compare_exact(prefix + "val", file.integers(prefix + "val"), vector_of(parts.validation));
  report.compare_exact(prefix + "test", file.integers(prefix + "test"), vector_of(parts.test));
}

/// splits/holdout_n{n}_seed{s}/{train,val,test} and splits/kfold{k}_n{n}_seed{s}/fold{i}_{train,val,test}.
void check_splits(GoldenFile& file, Report& report) {
  constexpr long long kMostSamples = 100000000;
  for (const std::string& name : file.groups_in("splits")) {
    const std::string group = "splits/" + name;
    long long n = 0, seed = 0;
    int folds = 0, end = 0;
    const auto whole = [&] { return end == static_cast<int>(name.size()) && n >= 0 && n <= kMostSamples && seed >= 0 && seed <= 0xFFFFFFFFLL; };
    if (std::sscanf(name.c_str(), "holdout_n%lld_seed%lld%n", &n, &seed, &end) == 2 && whole()) {
      compare_parts(file, group + "/", holdout_parts(n, static_cast<std::uint32_t>(seed)), report);
    } else if (std::sscanf(name.c_str(), "kfold%d_n%lld_seed%lld%n", &folds, &n, &seed, &end) == 3 && whole() && folds >= 2 && folds <= 1000) {
      for (int fold = 0; fold < folds; ++fold) {
        compare_parts(file, fmt::format("{}/fold{}_", group, fold), kfold_parts(n, static_cast<std::uint32_t>(seed), folds, fold), report);
      }
    } else {
      file.fail(fmt::format("group {}: expected holdout_n<count>_seed<seed> or kfold<folds>_n<count>_seed<seed>", group));
    }
  }
}

}  // namespace

void check_graphs(GoldenFile& file, bool /*single_precision: graphs are exact*/, Report& report) {
  Manifest manifest(file);
  for (const std::string group : {"molecules/", "polymers/"}) {
    manifest.data({"text", "n_atoms", "n_edges", "edge_index", "rev", "V", "E"}, group);
  }
  manifest.data({"edge_weight", "atom_weight", "dop"}, "polymers/").data({"rejected/text"}).group("splits").finish();
  check_group(file, "molecules", false, report);
  check_group(file, "polymers", true, report);
  check_rejected(file, report);
  check_splits(file, report);
}

}  // namespace gnn_hpc::verify::dmpnn
