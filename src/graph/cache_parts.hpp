// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/cache_key.hpp"
#include "graph/sample_block.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace gnn_hpc {

/// A cache is built in parts of this many records (good and bad): the unit of work of a rank and of resuming.
inline constexpr std::int64_t kPartRecords = 1024;

std::string part_path(const std::string& folder, std::int64_t part);

/// Writes the samples of one part, sealed and renamed into place.
void write_part(const std::string& folder, const std::string& key, std::int64_t part, std::int64_t num_records, const SampleBlock& block);

/// True if the file exists, is whole and belongs to this key. A damaged or foreign one is removed.
bool part_is_good(const std::string& folder, const std::string& key, std::int64_t part);

struct JoinResult {
  std::int64_t samples = 0, skipped = 0;
};

/// Joins the parts 0 .. num_parts-1 into the final file: pointers, columns in their narrowest types, block checksums, key and
/// provenance (`info`: name and text). Memory: one part. `alive` is called now and then, also while the file is sealed; if it throws, the target
/// stays as it was.
/// A set of parts without any sample gives no file (samples == 0) unless `keep_empty`.
JoinResult join_parts(const std::string& folder, std::int64_t num_parts, const Schema& schema, const CacheKey& key,
                      const std::vector<std::pair<std::string, std::string>>& info, const std::string& target, bool keep_empty,
                      const std::function<void()>& alive);

/// Skipped records of the parts, in order; for messages when there is no sample.
std::vector<SkippedRecord> skipped_of_parts(const std::string& folder, std::int64_t num_parts);

}  // namespace gnn_hpc
