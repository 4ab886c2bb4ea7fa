// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/dmpnn_diffpool/batch.hpp"
#include "verify/comparison.hpp"
#include "verify/golden_file.hpp"

#include <cstdint>
#include <vector>

namespace gnn_hpc::verify::dmpnn {

/// The molecules of a golden file with interned feature rows.
struct GoldenMolecules {
  int num_graphs = 0, num_targets = 1, num_descriptors = 0;
  gnn_hpc::dmpnn::FeatureTable atoms, bonds;
  std::vector<std::int32_t> atom_type, bond_type, src, dst;  ///< ends count from 0 within a molecule
  std::vector<std::size_t> atom_ptr, edge_ptr;               ///< [G+1]
  std::vector<double> edge_weight, atom_weight, dop, target, descriptors;
  gnn_hpc::dmpnn::MoleculeView view(std::size_t g) const;
  std::vector<gnn_hpc::dmpnn::MoleculeView> views() const;
};

/// Reads `inputs/`. Where this program reads SMILES, graphs built from `inputs/text` must be the stored ones (features to 1e-12).
/// Throws Error(Exit::data) for tensors that do not fit together.
GoldenMolecules read_molecules(GoldenFile& file, Report& report);

/// The attributes of `config` as options of the model; throws Error(Exit::data) for what the model does not know.
gnn_hpc::dmpnn::ModelOptions read_model_options(const GoldenFile& file);

/// One slice a target, from `config/{task,n_tasks,n_classes}`.
std::vector<TargetSlice> read_slices(const GoldenFile& file);

}  // namespace gnn_hpc::verify::dmpnn
