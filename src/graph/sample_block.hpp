// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/schema.hpp"
#include "io/bad_record.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc {

/// A record that gave no sample.
struct SkippedRecord {
  std::int64_t record = 0;  ///< position in the source
  BadRecord bad;
};

/// Some samples in memory, column by column: what a worker makes of a chunk of records, and what a part file holds.
class SampleBlock {
 public:
  explicit SampleBlock(const Schema& schema);

  /// Starts a sample; then every column must be `put` once, then `end`.
  void begin(std::int64_t record, std::string id, std::int64_t num_nodes, std::int64_t num_edges);
  /// The rows of one column of the sample begun. T must be the column's type.
  template <class T>
  void put(int column, std::span<const T> values);
  void end();
  void skip(std::int64_t record, BadRecord bad) { skipped_.push_back({record, std::move(bad)}); }

  void append(SampleBlock&& other);
  void clear();

  const Schema& schema() const { return *schema_; }
  std::int64_t num_samples() const { return static_cast<std::int64_t>(record_.size()); }
  const std::vector<std::int64_t>& record() const { return record_; }        ///< [G] position in the source
  const std::vector<std::int64_t>& num_nodes() const { return num_nodes_; }  ///< [G]
  const std::vector<std::int64_t>& num_edges() const { return num_edges_; }  ///< [G]
  const std::vector<std::string>& id() const { return id_; }                 ///< [G]
  const std::vector<std::byte>& column(int c) const { return columns_[static_cast<std::size_t>(c)]; }
  const std::vector<SkippedRecord>& skipped() const { return skipped_; }
  /// Rows of a column over all samples.
  std::int64_t rows(int column) const;

 private:
  void put_bytes(int column, DType type, const void* values, std::size_t count);

  const Schema* schema_;
  std::vector<std::int64_t> record_, num_nodes_, num_edges_;
  std::vector<std::string> id_;
  std::vector<std::vector<std::byte>> columns_;
  std::vector<SkippedRecord> skipped_;
  std::int64_t total_nodes_ = 0, total_edges_ = 0;
};

}  // namespace gnn_hpc
