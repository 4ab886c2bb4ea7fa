// SPDX-License-Identifier: Apache-2.0
#include "base/signals.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <initializer_list>
#include <limits>
#include <vector>

#include <unistd.h>

namespace gnn_hpc {

namespace {

using Clock = std::chrono::steady_clock;
const Clock::time_point kStart = Clock::now();

// The first signal wins: a batch system that sends SIGUSR1 and later SIGTERM stopped us by SIGUSR1.
volatile std::sig_atomic_t first_signal = 0;
volatile std::sig_atomic_t interrupts = 0;

std::atomic<int> passed_on{0};  // StopReason of another rank
std::atomic<double> time_limit{std::numeric_limits<double>::infinity()};
std::atomic<bool> abandoned{false};

extern "C" void on_signal(int signal) {
  if (signal == SIGINT) {
    interrupts = interrupts + 1;
    if (interrupts > 1) _exit(128 + SIGINT);
  }
  if (first_signal == 0) first_signal = signal;
}

const char* name_of_signal(int signal) noexcept {
  switch (signal) {
    case SIGTERM:
      return "SIGTERM";
    case SIGINT:
      return "SIGINT";
    case SIGUSR1:
      return "SIGUSR1";
    case SIGUSR2:
      return "SIGUSR2";
    default:
      return "";
  }
}

}  // namespace

void install_signal_handlers() {
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) {
    struct sigaction before {};
    if (sigaction(signal, nullptr, &before) == 0 && (before.sa_flags & SA_SIGINFO) == 0 && before.sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;  // file and MPI calls in progress go on
    sigaction(signal, &action, nullptr);
  }
}

TimeLimit::TimeLimit(double seconds) noexcept : before_(time_limit.exchange(seconds > 0.0 ? seconds : std::numeric_limits<double>::infinity())) {}
TimeLimit::~TimeLimit() { time_limit = before_; }

double seconds_running() noexcept { return std::chrono::duration<double>(Clock::now() - kStart).count(); }

bool stop_wanted(double reserve) noexcept {
  if (first_signal != 0 || passed_on.load(std::memory_order_relaxed) != 0) return true;
  const double limit = time_limit.load(std::memory_order_relaxed);
  return limit < std::numeric_limits<double>::infinity() && seconds_running() + reserve > limit;
}

void throw_if_stop_wanted(std::string_view what, std::string_view consequence) {
  if (!stop_wanted()) return;
  throw Error(Exit::stopped, fmt::format("{}: stopped by {}; {}", what, stop_reason_name(stop_reason()), consequence));
}

bool stop_requested() noexcept { return first_signal != 0; }

const char* stop_signal_name() noexcept { return name_of_signal(first_signal); }

int stop_reason() noexcept {
  if (first_signal != 0) return static_cast<int>(StopReason::signal) + first_signal;
  if (const int reason = passed_on; reason != 0) return reason;
  return stop_wanted() ? static_cast<int>(StopReason::time_limit) : 0;
}

const char* stop_reason_name(int reason) noexcept {
  if (reason > static_cast<int>(StopReason::signal)) return name_of_signal(reason - static_cast<int>(StopReason::signal));
  if (reason == static_cast<int>(StopReason::time_limit)) return "run.walltime";
  return reason == static_cast<int>(StopReason::failure_elsewhere) ? "an error on another rank" : "";
}

void pass_on_stop(int reason) noexcept {
  for (int now = passed_on; reason > now && !passed_on.compare_exchange_weak(now, reason);) {
  }
}

std::string stop_text(std::span<const std::string> causes_by_rank) {
  std::vector<std::string> causes;
  for (const std::string& cause : causes_by_rank) {
    if (!cause.empty() && std::find(causes.begin(), causes.end(), cause) == causes.end()) causes.push_back(cause);
  }
  std::string out;
  for (const std::string& cause : causes) {
    std::string ranks;
    std::size_t count = 0;
    for (std::size_t rank = 0; rank < causes_by_rank.size(); ++rank) {
      if (causes_by_rank[rank] == cause) ranks += (count++ > 0 ? "," : "") + std::to_string(rank);
    }
    out += (out.empty() ? "" : "; ") + cause;
    if (causes_by_rank.size() == 1 || !cause.starts_with("SIG")) continue;  // a limit or a program's wish is the same for all
    out += count == causes_by_rank.size() ? " on all ranks" : (count == 1 ? " on rank " : " on ranks ") + ranks;
  }
  return out;
}

void clear_stop_request() noexcept {
  first_signal = 0;
  interrupts = 0;
  passed_on = 0;
}

void clear_failure_elsewhere() noexcept {
  int failure = static_cast<int>(StopReason::failure_elsewhere);
  passed_on.compare_exchange_strong(failure, 0);
}

void note_abandoned_thread() noexcept { abandoned = true; }

bool threads_abandoned() noexcept { return abandoned; }

}  // namespace gnn_hpc
