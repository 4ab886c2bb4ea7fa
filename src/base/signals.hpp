// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace gnn_hpc {

/// From now on SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 only set a flag, which `stop_wanted` tells: whoever works finishes or drops what it is
/// at within a second, leaves nothing half-written, and ends with Exit::stopped (code 5); the same command goes on from there. A second SIGINT
/// ends the program at once (exit code 130). A signal that the parent process ignores (SIGINT under `nohup ... &`) stays ignored.
void install_signal_handlers();

/// A time limit while the object lives, in seconds since the start of this process (0: none); it acts as a signal does.
class TimeLimit {
 public:
  explicit TimeLimit(double seconds) noexcept;
  ~TimeLimit();
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;

 private:
  double before_;
};

/// Seconds since this process started.
double seconds_running() noexcept;

/// The one question of every loop that may last: true once this process shall end, since a signal has arrived, the time limit is over,
/// or another rank said so (`pass_on_stop`). Any thread; a few nanoseconds, so ask it once per record, block or batch.
/// @param reserve  seconds that the caller still needs (a step and a checkpoint): the time limit acts that much earlier
bool stop_wanted(double reserve = 0.0) noexcept;

/// The same for work that ends by an exception: throws Error(Exit::stopped) "WHAT: stopped by SIGTERM; CONSEQUENCE".
void throw_if_stop_wanted(std::string_view what, std::string_view consequence = "nothing was written, start the same command again");

/// True once one of the signals has arrived at this process.
bool stop_requested() noexcept;

/// "SIGTERM", "SIGINT", "SIGUSR1" or "SIGUSR2": the first that arrived; "" if none.
const char* stop_signal_name() noexcept;

/// Why this process shall end, as a number that ranks can compare: 0 for no reason, the larger wins.
enum class StopReason : int { none = 0, failure_elsewhere = 1, time_limit = 2, signal = 16 };  ///< signal + its number
int stop_reason() noexcept;
/// "SIGTERM", "run.walltime", "an error on another rank", "" for 0.
const char* stop_reason_name(int reason) noexcept;
/// Takes over what `stop_reason` said on another rank.
void pass_on_stop(int reason) noexcept;

/// Why a run of several ranks stops, from each rank's own cause (empty: it has none): "SIGTERM on rank 1", "SIGUSR1 on all ranks",
/// "run.walltime". A signal names the ranks that it reached: a signal to one process (a person, a failing node) and the end of a job (all
/// of them) call for different remedies. One rank: the cause alone.
std::string stop_text(std::span<const std::string> causes_by_rank);

/// Forgets what has arrived, from other ranks too; a time limit stands.
void clear_stop_request() noexcept;
/// Forgets an error of another rank, once all ranks have heard of it.
void clear_failure_elsewhere() noexcept;

/// Says that a thread was left alone at the end of the program: it is in a library that knows no way to stop (RDKit may think about one
/// molecule for minutes), and owns what it uses. The program may then not run the destructors of static objects: main ends it by _Exit.
void note_abandoned_thread() noexcept;
bool threads_abandoned() noexcept;

}  // namespace gnn_hpc
