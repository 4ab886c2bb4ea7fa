// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.hpp"
#include "dataset/data_use.hpp"
#include "dataset/splits.hpp"
#include "graph/cache.hpp"
#include "graph/cache_build.hpp"
#include "io/bad_record.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gnn_hpc {

/// The caches of a run, one for each input, and one numbering of samples over all of them, in the order of the inputs.
class CachedSamples {
 public:
  /// What messages call the records that are read ("crystals"), those that are left out ("records") and what is made of them ("graphs").
  struct Words {
    const char* records;
    const char* left_out;
    const char* made;
  };
  /// Where a sample stands.
  struct Place {
    std::size_t cache;
    std::int64_t local;
  };

  void clear();
  /// Opens the cache of one more input, or builds it with progress and messages in the log; warns of records left out. Collective.
  /// @param request without source_name, message and progress, which are made here
  /// Throws as `open_or_build`.
  void add(CacheRequest request, const std::vector<std::string>& paths, const Words& words, const Comm& comm);

  const std::vector<std::shared_ptr<const GraphCache>>& caches() const { return caches_; }
  std::int64_t num_samples() const { return first_.back(); }
  /// Samples of one cache, ascending.
  std::vector<std::int64_t> samples_of(std::size_t cache) const;
  Place locate(std::int64_t sample) const;
  const std::string& id(std::int64_t sample) const;
  /// Of the sample's record in its input, from 1, bad records counted.
  std::int64_t record_number(std::int64_t sample) const;
  std::int64_t num_nodes(std::int64_t sample) const;
  std::int64_t num_edges(std::int64_t sample) const;

  /// Every record of the inputs in their order, bad ones included.
  std::vector<InputRecord> records() const;
  std::vector<BadRecord> skipped() const;
  /// Keys of the caches, in order: equal texts, equal samples.
  std::string digest() const;

 private:
  std::vector<std::shared_ptr<const GraphCache>> caches_;
  std::vector<std::int64_t> first_{0};  ///< [caches+1]
};

/// Runs `open`, which opens data for that use. False only for `training_if_built`, where it throws Error(Exit::data); it does so on all
/// ranks alike.
template <class Open>
bool opened_for(DataUse use, const Open& open) {
  try {
    open();
    return true;
  } catch (const Error& error) {
    if (use != DataUse::training_if_built || error.code() != Exit::data) throw;
    return false;
  }
}

}  // namespace gnn_hpc
