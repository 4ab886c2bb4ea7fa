// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/cache_key.hpp"
#include "graph/sample_block.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc {

/// Samples of one data set in an HDF5 file (layout: docs/graph_cache.md), opened lazily: pointers, ids and resident columns are
/// in memory, everything else is read sample by sample. Every byte is verified before its first use: what is resident (and all
/// of HDF5's own structure) when the file is opened, the columns block by block when a block is first touched.
///
/// All const members are thread-safe. Throws Error(Exit::data) that names file and dataset when anything is damaged; the file is
/// then renamed to `<path>.damaged` (if the path still names it); the next run builds it again. Opening throws Error(Exit::stopped) on a signal.
class GraphCache {
 public:
  static constexpr std::int64_t kBlockBytes = 64 * 1024;  ///< unit of verification

  explicit GraphCache(const std::string& path);
  ~GraphCache();
  GraphCache(const GraphCache&) = delete;
  GraphCache& operator=(const GraphCache&) = delete;

  const std::string& path() const noexcept { return path_; }
  const Schema& schema() const noexcept { return schema_; }
  const CacheKey& key() const noexcept { return key_; }

  std::int64_t num_samples() const noexcept { return static_cast<std::int64_t>(record_.size()); }
  std::int64_t num_nodes(std::int64_t s) const { return node_ptr_[at(s) + 1] - node_ptr_[at(s)]; }
  std::int64_t num_edges(std::int64_t s) const { return edge_ptr_[at(s) + 1] - edge_ptr_[at(s)]; }
  std::int64_t total_nodes() const { return node_ptr_.back(); }
  std::int64_t total_edges() const { return edge_ptr_.back(); }
  const std::string& id(std::int64_t s) const { return id_[at(s)]; }
  /// Position of the sample's record in the source, bad records counted.
  std::int64_t record(std::int64_t s) const { return record_[at(s)]; }
  /// Number of records the source had, good and bad.
  std::int64_t num_records() const { return num_samples() + static_cast<std::int64_t>(skipped_.size()); }
  const std::vector<SkippedRecord>& skipped() const noexcept { return skipped_; }

  /// A resident column of graphs, [G, width], as double.
  std::span<const double> resident(int column) const;

  /// Rows of a column that belong to the samples, concatenated, converted to T. `out` must have exactly their size.
  template <class T>
  void read(int column, std::span<const std::int64_t> samples, std::span<T> out) const;

  /// Verifies every block now; for `info` and tests.
  void verify_all() const;

  /// Provenance texts of `/Info`: program, host, time, options.
  const std::vector<std::pair<std::string, std::string>>& info() const noexcept { return info_; }

  /// The key of a cache file without opening the rest; throws like the constructor (without renaming anything).
  static CacheKey read_key(const std::string& path);

 private:
  struct Stored {
    DType type = DType::f64;
    std::int64_t offset = 0, bytes = 0;            ///< where the column lies in the file
    std::vector<std::uint64_t> hash;               ///< [blocks] XXH3-64
    std::unique_ptr<std::atomic<bool>[]> checked;  ///< [blocks]
    std::vector<double> resident;
  };
  std::size_t at(std::int64_t s) const;
  std::int64_t first_row(Domain domain, std::int64_t s) const;
  void read_bytes(const Stored& stored, const Column& column, std::int64_t offset, std::int64_t bytes, void* out) const;
  void check_block(const Stored& stored, const Column& column, std::int64_t block) const;
  void pread_all(std::int64_t offset, std::int64_t bytes, void* out) const;
  [[noreturn]] void damaged(const std::string& what) const;

  std::string path_;
  int fd_ = -1;
  Schema schema_;
  CacheKey key_;
  std::vector<std::int64_t> node_ptr_, edge_ptr_, record_;  ///< [G+1], [G+1], [G]
  std::vector<std::string> id_;
  std::vector<SkippedRecord> skipped_;
  std::vector<Stored> stored_;
  std::vector<std::pair<std::string, std::string>> info_;
};

}  // namespace gnn_hpc
