// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace gnn_hpc {

/// From now on SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 only set a flag: the training loop asks for it once a step, agrees on it over
/// the ranks, writes a checkpoint and ends with Exit::stopped; a build of graphs keeps its finished parts and ends likewise. A second SIGINT ends the program at once (exit code 130).
/// A signal that the parent process ignores (SIGINT under `nohup ... &`) stays ignored.
void install_signal_handlers();

/// True once one of the signals has arrived at this process.
bool stop_requested() noexcept;

/// "SIGTERM", "SIGINT", "SIGUSR1" or "SIGUSR2": the first that arrived; "" if none.
const char* stop_signal_name() noexcept;

/// Forgets what has arrived.
void clear_stop_request() noexcept;

}  // namespace gnn_hpc
