// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataset/labelled_dataset.hpp"
#include "graph/periodic_knn.hpp"
#include "models/comformer/batch.hpp"
#include "models/comformer/dataset_options.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc::comformer {

/// Crystals of a run: a labelled data set whose graphs are read from the caches batch by batch.
class CrystalDataset final : public LabelledDataset {
 public:
  CrystalDataset(DataOptions data, CrystalGraphOptions graph, TableOptions tables);

  std::int64_t num_nodes(std::int64_t sample) const { return samples_.num_nodes(sample); }
  std::int64_t num_edges(std::int64_t sample) const { return samples_.num_edges(sample); }
  std::int64_t cost(std::int64_t sample) const { return num_nodes(sample) + num_edges(sample); }

  /// By sample, see `crystal_digest`; reads every crystal from the caches.
  std::vector<std::uint64_t> input_digests() const override;

  const DataOptions& options() const { return data_; }

  /// The samples' graphs and scaled labels as one batch, ready to upload. Thread-safe.
  void collate(std::span<const std::int64_t> samples, HostCrystalBatch& batch) const;

 private:
  const SplitOptions& split_options() const override { return data_; }
  const std::vector<std::string>& paths() const override { return data_.source.paths; }
  void add_source(const std::vector<std::string>& paths, DataUse use, const Comm& comm, const std::string& options_text) override;
  void load() override;
  InputTable table_of(const std::vector<std::string>& paths) const override;
  /// Of `formula`: reduced formulas, "Cs1Cl1" and "Cs2Cl2" alike.
  std::vector<std::string> group_keys(const std::string& name) const override;

  DataOptions data_;
  CrystalGraphOptions graph_;
  TableOptions tables_;
};

}  // namespace gnn_hpc::comformer
