// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "models/dmpnn_diffpool/dataset_options.hpp"

#include <string>
#include <vector>

namespace gnn_hpc::dmpnn {

/// What the columns of CSV files of molecules mean, every name spelt out.
struct MoleculeTable {
  std::vector<std::string> paths;
  std::string smiles, id_column;  ///< id_column empty: the SMILES is the id
  bool polymer = false;           ///< texts are polymers (io/polymer_text.hpp), not plain SMILES
  std::vector<std::string> targets, descriptors;
  TargetKind type = TargetKind::number;
  /// [K] multi-class: different labels of the target in these files, sorted (label_names.hpp); the cache holds their places.
  std::vector<std::vector<std::string>> labels{};
  bool targets_optional = false;  ///< prediction: a target without a column, or not readable, is missing instead of an error
};

/// Finds out what the options leave to the file, by reading the first of `paths`:
///   targets      empty: numeric columns not named by another option. A column is numeric if more than half of the values that are there are
///                numbers; columns without a name do not count.
///   descriptors  `name*`: every column that begins with `name`, in the order of the file
///   notation     auto: polymer where the first text holds a '|'
///   labels       of a multi-class task: all files are read once
/// Targets that nobody named are listed in the log when training, those that look like numbers of rows with a warning.
/// Collective: the root reads. Throws Error(Exit::data) on all ranks alike: unreadable file, a column that is not there.
MoleculeTable resolve_table(const DataOptions& options, const std::vector<std::string>& paths, bool prediction, const Comm& comm);

}  // namespace gnn_hpc::dmpnn
