// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataset/labelled_dataset.hpp"
#include "dataset/protein_options.hpp"
#include "dataset/protein_records.hpp"
#include "graph/residue_batch.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc {

/// Protein chains of a run: labels and numbers of residues in memory, graphs in the cache, read when a batch wants them.
class ProteinDataset final : public LabelledDataset {
 public:
  explicit ProteinDataset(ProteinDataOptions options);

  const ProteinDataOptions& options() const { return options_; }
  std::int64_t num_residues(std::int64_t sample) const { return samples_.num_nodes(sample); }
  std::int64_t num_edges(std::int64_t sample) const { return samples_.num_edges(sample); }
  /// Edges are nearly all of the work.
  std::int64_t cost(std::int64_t sample) const { return num_residues(sample) + num_edges(sample); }

  /// The graphs of these samples side by side, positions relative to the centre of each chain's complete residues. Thread-safe.
  void collate(std::span<const std::int64_t> samples, ResidueBatch& batch) const;
  /// Numbers and insertion codes of a sample's residues as its file has them; where it has none the place in the chain, from 1, in brackets.
  std::vector<std::string> residue_names(std::int64_t sample) const;
  /// [K] targets as the loss takes them (numbers scaled), NaN where missing.
  void scaled_targets(std::int64_t sample, std::vector<double>& out) const;

  /// By sample, of its sequence: chains of equal sequence count as equal inputs, however their atoms lie.
  std::vector<std::uint64_t> input_digests() const override;

  /// Besides those of LabelledDataset: "num_classes", "top_k".
  DataState state() const override;
  /// For prediction columns are found by their names: a target that the file lacks is NaN.
  void set_state(const DataState& state) override;

 private:
  const SplitOptions& split_options() const override { return options_; }
  const std::vector<std::string>& paths() const override { return options_.paths; }
  int wanted_classes() const override { return options_.classes; }
  void clear_sources() override { tables_.clear(); }
  void add_source(const std::vector<std::string>& paths, DataUse use, const Comm& comm, const std::string& options_text) override;
  void load() override;
  const std::vector<std::vector<std::string>>& label_table(std::size_t cache) const override { return tables_[cache].labels.classes; }
  InputTable table_of(const std::vector<std::string>& paths) const override;

  ProteinDataOptions options_;
  std::vector<ProteinTable> tables_;  ///< [caches]
};

}  // namespace gnn_hpc
