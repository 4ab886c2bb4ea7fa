// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataset/labelled_dataset.hpp"
#include "models/dmpnn_diffpool/dataset_options.hpp"
#include "models/dmpnn_diffpool/descriptor_scaler.hpp"
#include "models/dmpnn_diffpool/molecule.hpp"
#include "models/dmpnn_diffpool/molecule_table.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc::dmpnn {

/// Molecules of a run: a labelled data set with interned feature rows and descriptors. After `open` everything is in memory and const members
/// are thread-safe.
class MoleculeDataset final : public LabelledDataset {
 public:
  explicit MoleculeDataset(DataOptions options);

  std::int64_t num_atoms(std::int64_t sample) const;
  /// Directed edges: two a bond.
  std::int64_t num_edges(std::int64_t sample) const;
  std::int64_t cost(std::int64_t sample) const { return num_atoms(sample) + num_edges(sample); }
  /// True where the input is in polymer notation: edge and atom weights and the degree of polymerisation are there.
  bool weighted() const { return weighted_; }

  /// Width of the descriptors of a molecule after preprocessing; 0 without descriptors.
  int num_descriptors() const { return descriptor_scaler_.width(); }
  const DescriptorScaler& descriptor_scaler() const { return descriptor_scaler_; }

  /// Distinct feature rows of this data set: [rows, 72] of atoms and [rows, 14] of bonds, sorted, a function of the molecules alone.
  const FeatureTable& atom_table() const { return atom_table_; }
  const FeatureTable& bond_table() const { return bond_table_; }
  /// The graph, scaled targets and preprocessed descriptors of a sample; spans live as long as the data set and its scaling.
  MoleculeView view(std::int64_t sample) const;

  /// By sample, see MoleculeDigests.
  std::vector<std::uint64_t> input_digests() const override;

  /// Besides those of LabelledDataset: "num_classes", those of DescriptorScaler, and the texts "descriptors" (names of columns, in order) and
  /// "notation".
  DataState state() const override;
  /// For prediction columns are found by their names: a target that the file lacks is NaN, a descriptor that the model uses must be there.
  void set_state(const DataState& state) override;

  const DataOptions& options() const { return options_; }

 private:
  const SplitOptions& split_options() const override { return options_; }
  const std::vector<std::string>& paths() const override { return options_.paths; }
  int wanted_classes() const override { return options_.classes; }
  bool constant_labels_allowed() const override { return true; }
  void clear_sources() override { tables_.clear(); }
  void add_source(const std::vector<std::string>& paths, DataUse use, const Comm& comm, const std::string& options_text) override;
  void load() override;
  InputTable table_of(const std::vector<std::string>& paths) const override;
  void prepare() override;
  const std::vector<std::vector<std::string>>& label_table(std::size_t cache) const override { return tables_[cache].labels; }
  void intern(std::span<const double> mass);
  void apply_scaling();
  void take_columns(const DataState& state);

  DataOptions options_;
  std::vector<std::string> descriptor_names_;
  bool weighted_ = false;
  std::vector<MoleculeTable> tables_;  ///< [caches]

  std::vector<std::int64_t> atom_ptr_, edge_ptr_;                ///< [G+1]
  std::vector<std::int32_t> atom_type_, bond_type_, src_, dst_;  ///< [N], [M], [M], [M]
  std::vector<double> edge_weight_, atom_weight_, dop_;          ///< [M], [N], [G]; empty unless weighted
  FeatureTable atom_table_, bond_table_;

  std::vector<double> raw_descriptors_;        ///< [G,D] as they stand in the file
  std::vector<double> targets_, descriptors_;  ///< [G,K], [G,d_xd] scaled
  DescriptorScaler descriptor_scaler_;
};

}  // namespace gnn_hpc::dmpnn
