// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/cache_key.hpp"
#include "graph/periodic_knn.hpp"
#include "graph/record_source.hpp"
#include "io/crystal_source.hpp"

#include <memory>

namespace gnn_hpc::comformer {

/// Columns of a crystal in the cache, in this order; `targets` is left out where none is asked for.
enum CrystalColumn { kLattice, kTriple, kZ, kFrac, kU, kV, kImage, kMult, kTargets };

Schema crystal_schema(std::size_t num_targets);

/// Crystals read from files, converted to their graphs.
/// @param targets_optional of CrystalSourceOptions
class CrystalRecords final : public RecordSource {
 public:
  CrystalRecords(const CrystalSourceOptions& source, const CrystalGraphOptions& graph, bool targets_optional);

  std::unique_ptr<Record> new_record() const override;
  bool next(Record& record) override;
  double fraction_read() const override { return source_->fraction_read(); }
  std::vector<std::string> notes() const override { return source_->notes(); }
  std::unique_ptr<Workspace> new_workspace() const override;
  void convert(std::int64_t index, const Record& record, Workspace& workspace, SampleBlock& out) const override;

  /// Everything that decides the samples: reader and graph options, every input byte.
  CacheKey key() const;

 private:
  CrystalGraphOptions graph_;
  std::size_t num_targets_;
  std::unique_ptr<CrystalSource> source_;
};

}  // namespace gnn_hpc::comformer
