// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"
#include "graph/cache.hpp"
#include "graph/record_source.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace gnn_hpc {

/// How far a build is. On one of several ranks: records of the whole input, samples and bad records of this rank.
struct BuildProgress {
  std::int64_t records = 0, samples = 0, bad = 0;
  double fraction = 0.0;  ///< of the input, 0..1
  double seconds = 0.0;
  bool finished = false;
  double rate() const { return seconds > 0 ? static_cast<double>(records) / seconds : 0.0; }       ///< records a second
  double remaining() const { return fraction > 0 ? seconds * (1.0 - fraction) / fraction : 0.0; }  ///< seconds
};

/// What a system asks for.
struct CacheRequest {
  Schema schema;
  /// Computes the key, reading every input byte. Root only; called again at the end of a build to notice inputs that changed.
  std::function<CacheKey()> key;
  std::function<std::unique_ptr<RecordSource>()> open_source;
  std::string source_name;  ///< for messages
  std::string folder;       ///< of the caches; made if absent
  double max_bad_fraction = 0.1;
  int threads = 0;            ///< 0: all processors of this rank
  bool may_be_empty = false;  ///< prediction: no usable record, or no record at all, is a cache without samples, not an error
  bool read_only = false;     ///< a missing or damaged cache is an error instead of a build
  std::string options;        ///< resolved input file, for provenance
  std::function<void(const BuildProgress&)> progress;  ///< root, a few times a second; may be empty
  std::function<void(const std::string&)> message;     ///< root: what is done and why; may be empty
};

/// Name of the cache file of a key: "graphs-crystal-<32 hex digits>.h5". Caches of several keys stand side by side.
std::string cache_file_name(const std::string& kind, const std::string& key);

/// Opens the cache of this request, building it if there is none. Collective: ranks build disjoint parts, the root joins them.
///
/// A build runs in threads with bounded memory, parts are put in place by renames and survive an interruption, a lock keeps a
/// second job waiting until it can use the result of the first, and no reader ever sees half a cache. The content does not depend
/// on the number of ranks or threads.
/// Throws Error(Exit::data), on all ranks alike, when the source cannot be read, no record is usable (unless `may_be_empty`), too many are bad
/// (`max_bad_fraction`), the disk is full, or an input changed during the build; Error(Exit::stopped) within a second of a signal at any rank
/// (base/signals.hpp), be it hashing, waiting for the lock, converting or sealing, with every finished part kept for the next start.
std::shared_ptr<const GraphCache> open_or_build(const CacheRequest& request, const Comm& comm);

}  // namespace gnn_hpc
