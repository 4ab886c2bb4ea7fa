// SPDX-License-Identifier: Apache-2.0
// The part of MoleculeDataset that holds samples: from caches to memory, feature tables, scaled views, checkpoint state.
#include "base/digest.hpp"
#include "base/error.hpp"
#include "models/dmpnn_diffpool/dataset.hpp"
#include "models/dmpnn_diffpool/molecule_digest.hpp"
#include "models/dmpnn_diffpool/molecule_features.hpp"
#include "models/dmpnn_diffpool/molecule_records.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

namespace gnn_hpc::dmpnn {

namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Appends a column of all samples of a cache.
template <class T>
void append(const GraphCache& cache, int column, std::span<const std::int64_t> samples, std::int64_t values, std::vector<T>& out) {
  const std::size_t before = out.size();
  out.resize(before + at(values));
  cache.read<T>(column, samples, std::span<T>(out).subspan(before));
}

void append_resident(const GraphCache& cache, int column, std::vector<double>& out) {
  if (column < 0) return;
  const auto values = cache.resident(column);
  out.insert(out.end(), values.begin(), values.end());
}

/// Columns `wanted` of a table [rows, names], NaN where `names` lacks one.
std::vector<double> select(const std::vector<double>& table, const std::vector<std::string>& names, const std::vector<std::string>& wanted,
                           std::int64_t rows) {
  std::vector<double> out(at(rows) * wanted.size(), std::numeric_limits<double>::quiet_NaN());
  for (std::size_t w = 0; w < wanted.size(); ++w) {
    const auto c = static_cast<std::size_t>(std::find(names.begin(), names.end(), wanted[w]) - names.begin());
    for (std::size_t r = 0; c < names.size() && r < at(rows); ++r) out[r * wanted.size() + w] = table[r * names.size() + c];
  }
  return out;
}

}  // namespace

void MoleculeDataset::load() {
  targets_.clear();
  descriptors_.clear();
  target_names_ = tables_.front().targets;
  descriptor_names_ = tables_.front().descriptors;
  atom_ptr_.assign(1, 0);
  edge_ptr_.assign(1, 0);
  for (auto* values : {&atom_type_, &bond_type_, &src_, &dst_}) values->clear();
  for (auto* values : {&edge_weight_, &atom_weight_, &dop_, &raw_descriptors_}) values->clear();
  weighted_ = tables_.front().polymer;
  std::vector<double> mass;
  std::vector<std::int32_t> begin, end, bond;
  std::vector<std::int64_t> samples;
  for (std::size_t c = 0; c < tables_.size(); ++c) {
    const GraphCache& cache = *samples_.caches()[c];
    const MoleculeColumns columns(tables_[c]);
    samples.resize(at(cache.num_samples()));
    std::iota(samples.begin(), samples.end(), std::int64_t{0});
    for (const auto s : samples) {
      atom_ptr_.push_back(atom_ptr_.back() + cache.num_nodes(s));
      edge_ptr_.push_back(edge_ptr_.back() + 2 * cache.num_edges(s));
    }
    append(cache, columns.atom_code, samples, cache.total_nodes(), atom_type_);
    append(cache, columns.atom_mass, samples, cache.total_nodes(), mass);
    append(cache, columns.bond_code, samples, cache.total_edges(), bond);
    append(cache, columns.begin, samples, cache.total_edges(), begin);
    append(cache, columns.end, samples, cache.total_edges(), end);
    if (weighted_) {
      append(cache, columns.bond_weights, samples, 2 * cache.total_edges(), edge_weight_);
      append(cache, columns.atom_weight, samples, cache.total_nodes(), atom_weight_);
      append_resident(cache, columns.dop, dop_);
    }
    append_resident(cache, columns.targets, labels_);
    append_resident(cache, columns.descriptors, raw_descriptors_);
  }
  for (std::size_t b = 0; b < bond.size(); ++b) {
    src_.insert(src_.end(), {begin[b], end[b]});
    dst_.insert(dst_.end(), {end[b], begin[b]});
    bond_type_.insert(bond_type_.end(), 2, bond[b]);
  }
  intern(mass);
}

/// Codes become rows of tables sorted by code and mass, so that they depend on the set of molecules only, not on their order.
void MoleculeDataset::intern(std::span<const double> mass) {
  using AtomKey = std::pair<std::int32_t, double>;
  std::vector<AtomKey> atoms;
  {
    std::set<AtomKey> distinct;
    AtomKey last{-1, 0.0};
    for (std::size_t i = 0; i < atom_type_.size(); ++i) {
      const AtomKey key{atom_type_[i], mass[i]};
      if (key != last) distinct.insert(last = key);
    }
    atoms.assign(distinct.begin(), distinct.end());
  }
  const std::set<std::int32_t> distinct_bonds(bond_type_.begin(), bond_type_.end());
  const std::vector<std::int32_t> bonds(distinct_bonds.begin(), distinct_bonds.end());
  for (std::size_t i = 0; i < atom_type_.size(); ++i) {
    const AtomKey key{atom_type_[i], mass[i]};
    atom_type_[i] = static_cast<std::int32_t>(std::lower_bound(atoms.begin(), atoms.end(), key) - atoms.begin());
  }
  for (auto& type : bond_type_) type = static_cast<std::int32_t>(std::lower_bound(bonds.begin(), bonds.end(), type) - bonds.begin());

  atom_table_ = {kAtomFeatures, std::vector<double>(atoms.size() * kAtomFeatures)};
  for (std::size_t r = 0; r < atoms.size(); ++r) {
    write_atom_features(atoms[r].first, atoms[r].second, std::span<double, kAtomFeatures>(&atom_table_.values[r * kAtomFeatures], kAtomFeatures));
  }
  bond_table_ = {kBondFeatures, std::vector<double>(bonds.size() * kBondFeatures)};
  for (std::size_t r = 0; r < bonds.size(); ++r) {
    write_bond_features(bonds[r], std::span<double, kBondFeatures>(&bond_table_.values[r * kBondFeatures], kBondFeatures));
  }
}

void MoleculeDataset::apply_scaling() {
  targets_ = labels_;
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    if (!std::isnan(targets_[i])) targets_[i] = scaler_.scale(targets_[i], i % num_targets());
  }
  const std::size_t given = descriptor_names_.size(), used = at(num_descriptors());
  descriptors_.resize(at(num_samples()) * used);
  if (used == 0) return;
  for (std::size_t s = 0; s < at(num_samples()); ++s) {
    descriptor_scaler_.apply(std::span(raw_descriptors_).subspan(s * given, given), std::span(descriptors_).subspan(s * used, used));
  }
}

std::int64_t MoleculeDataset::num_atoms(std::int64_t sample) const { return atom_ptr_[at(sample) + 1] - atom_ptr_[at(sample)]; }
std::int64_t MoleculeDataset::num_edges(std::int64_t sample) const { return edge_ptr_[at(sample) + 1] - edge_ptr_[at(sample)]; }

MoleculeView MoleculeDataset::view(std::int64_t sample) const {
  GNN_HPC_REQUIRE(sample >= 0 && sample < num_samples(), "sample {} of {}", sample, num_samples());
  const std::size_t a = at(atom_ptr_[at(sample)]), n = at(num_atoms(sample)), e = at(edge_ptr_[at(sample)]), m = at(num_edges(sample));
  const std::size_t k = num_targets(), d = at(num_descriptors());
  MoleculeView out;
  out.atom_type = std::span(atom_type_).subspan(a, n);
  out.bond_type = std::span(bond_type_).subspan(e, m);
  out.src = std::span(src_).subspan(e, m);
  out.dst = std::span(dst_).subspan(e, m);
  if (weighted_) {
    out.edge_weight = std::span(edge_weight_).subspan(e, m);
    out.atom_weight = std::span(atom_weight_).subspan(a, n);
    out.degree_of_polymerisation = dop_[at(sample)];
  }
  if (!targets_.empty()) out.target = std::span(targets_).subspan(at(sample) * k, k);  // groups are made before there is a scale
  if (!descriptors_.empty()) out.descriptors = std::span(descriptors_).subspan(at(sample) * d, d);
  return out;
}

std::vector<std::uint64_t> MoleculeDataset::input_digests() const {
  MoleculeDigests digests(atom_table_, bond_table_);
  std::vector<std::uint64_t> out;
  out.reserve(at(num_samples()));
  for (std::int64_t s = 0; s < num_samples(); ++s) out.push_back(digests.of(view(s)));
  return out;
}

DataState MoleculeDataset::state() const {
  DataState out = LabelledDataset::state();
  out.numbers["num_classes"] = {static_cast<double>(num_classes_)};
  out.texts["descriptors"] = descriptor_names_;
  out.texts["notation"] = {weighted_ ? "polymer" : "smiles"};
  descriptor_scaler_.save(out);
  return out;
}

/// Prediction: targets and descriptors of the model instead of those found in the file.
void MoleculeDataset::take_columns(const DataState& state) {
  const std::vector<std::string>&targets = state.text("targets"), &descriptors = state.text("descriptors");
  const DescriptorScaler scaler = DescriptorScaler::load(state, descriptors.size());
  for (const double place : scaler.kept) {
    const std::string& name = descriptors[static_cast<std::size_t>(place)];
    if (std::find(descriptor_names_.begin(), descriptor_names_.end(), name) == descriptor_names_.end()) {
      throw Error(Exit::data, fmt::format("{}: the model uses the descriptor {}, which is not there; add the column and name it in data.descriptors",
                                          tables_.front().paths.front(), name));
    }
  }
  labels_ = select(labels_, target_names_, targets, num_samples());
  if (!class_names_.empty()) {
    std::vector<std::vector<std::string>> names(targets.size());
    for (std::size_t k = 0; k < targets.size(); ++k) {
      const auto at = std::find(target_names_.begin(), target_names_.end(), targets[k]);
      if (at != target_names_.end()) names[k] = class_names_[static_cast<std::size_t>(at - target_names_.begin())];
    }
    class_names_ = std::move(names);
  }
  raw_descriptors_ = select(raw_descriptors_, descriptor_names_, descriptors, num_samples());
  target_names_ = targets;
  descriptor_names_ = descriptors;
}

void MoleculeDataset::set_state(const DataState& state) {
  const std::vector<double>& classes = state.number("num_classes");
  if (classes.size() != 1 || state.text("targets").empty()) {
    throw Error(Exit::data, "the checkpoint does not hold the targets and label scaling of a molecule data set; it belongs to another system");
  }
  if (for_prediction()) take_columns(state);
  num_classes_ = static_cast<int>(classes[0]);
  LabelledDataset::set_state(state);
  descriptor_scaler_ = DescriptorScaler::load(state, descriptor_names_.size());
  apply_scaling();
}

}  // namespace gnn_hpc::dmpnn
