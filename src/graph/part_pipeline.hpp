// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/cache_build.hpp"

#include <cstdint>
#include <functional>
#include <string>

namespace gnn_hpc {

/// Builds the parts p with p % ranks == rank that are not in `folder` yet: this thread reads the source, `threads` workers convert
/// chunks of records, whoever completes a part writes it. Memory: a few chunks a thread and two parts.
/// @param tick called a few times a second with the progress so far.
/// Returns the number of parts the source has. The first exception of any thread ends all and is thrown.
std::int64_t build_parts(RecordSource& source, const Schema& schema, const std::string& folder, const std::string& key, int rank, int ranks,
                         int threads, const std::function<void(const BuildProgress&)>& tick);

}  // namespace gnn_hpc
