// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/comm.hpp"

#include <functional>
#include <string_view>

namespace gnn_hpc {

/// Runs `work` on every rank, each at its own pace, for phases without collectives (hashing, waiting for a lock, building a cache), and ends
/// with all of them in the same state: either every rank's work is done, or all throw the same error.
///
/// Meanwhile the ranks agree, about fifty times a second, on whether one of them has failed, shall stop (`stop_reason`) or is still at work, all
/// in one reduction: a signal at one rank makes `stop_wanted` true on all, an error at one rank too, so that nobody works on for
/// hours, or waits, for a rank that has gone. Errors win over stops; of several the lowest rank's is thrown.
///
/// With several ranks `work` runs in a thread of its own while the calling one talks to the others: it may not call MPI or
/// Kokkos. It should ask `stop_wanted` at least once a second. Collective; call it from the main thread.
void together(const Comm& comm, const std::function<void()>& work);

/// For loops whose every turn is collective (steps, batches, points of a sweep): the ranks agree on `stop_reason`, and all throw as
/// `throw_if_stop_wanted` does or none. Collective.
void stop_together(const Comm& comm, std::string_view what, std::string_view consequence = "nothing was written, start the same command again");

}  // namespace gnn_hpc
