// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/cache_build.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace gnn_hpc {

/// Builds the parts p with p % ranks == rank that are not in `folder` yet: this thread reads the source, `threads` workers convert
/// chunks of records, whoever completes a part writes it. Memory: a few chunks a thread and two parts.
/// @param tick called a few times a second with the progress so far, by the calling thread; what it throws ends the build.
/// Returns the number of parts the source has. The first exception of any thread ends all and is thrown, within half a second: a
/// worker that is longer at one record (RDKit on a large molecule) is left behind with `note_abandoned_thread`, and what it makes is dropped.
std::int64_t build_parts(std::shared_ptr<RecordSource> source, const Schema& schema, const std::string& folder, const std::string& key, int rank,
                         int ranks, int threads, const std::function<void(const BuildProgress&)>& tick);

}  // namespace gnn_hpc
