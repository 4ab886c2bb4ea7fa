// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/options.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace gnn_hpc {

enum class LogLevel { debug, info, warning, error };

/// Block `log` of the input file.
struct LogOptions {
  std::string level = "info";
  double interval = 10.0;  ///< seconds between progress lines where the output is no terminal
  static LogOptions parse(Config node);
};

/// Rank 0 speaks, the others are silent (messages above debug level included): a failure of one rank is reported by `main`.
/// Messages go to `out`: stdout for runs, stderr for commands whose stdout is a result (JSON, a table).
/// On a terminal warnings are coloured unless NO_COLOR is set; elsewhere every line begins with the time of day.
/// Before this is called, warnings and errors go to stderr on every rank.
void setup_log(const LogOptions& options, int rank, std::FILE* out);

/// Safe from any thread. The line of an active Progress stays below. Messages may hold names from data: what would steer a terminal is
/// written out (`printable`).
void log_text(LogLevel level, std::string_view text);
bool log_enabled(LogLevel level);

template <class... Args>
void log_debug(fmt::format_string<Args...> text, Args&&... args) {
  if (log_enabled(LogLevel::debug)) log_text(LogLevel::debug, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void log_info(fmt::format_string<Args...> text, Args&&... args) {
  if (log_enabled(LogLevel::info)) log_text(LogLevel::info, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> text, Args&&... args) {
  log_text(LogLevel::warning, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void log_error(fmt::format_string<Args...> text, Args&&... args) {
  log_text(LogLevel::error, fmt::format(text, std::forward<Args>(args)...));
}

/// One line that says how far a long piece of work has come, at what rate, and how long it will still take:
///   `epoch 3/500  loss 0.0123  1,234 of 50,000 graphs (2.5 %), 820 graphs/s, 1m02s left`
/// On a terminal the line is redrawn in place at most 5 times a second; elsewhere it is printed as a plain line every
/// `log.interval` seconds, without control characters. Silent where `log_enabled(info)` is false.
/// @code
///   Progress progress("graphs", total, already_done);
///   if (progress.due()) progress.show(done, fmt::format("epoch {}/{}  loss {:.4g}", ...));
///   progress.finish(done);   // a last plain line
/// @endcode
class Progress {
 public:
  /// `total` 0: unknown. `start`: what an earlier run had done, which must not count for the rate.
  Progress(std::string unit, std::int64_t total, std::int64_t start = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// True if it is time to show the line again; cheap.
  bool due() const;
  void show(std::int64_t done, std::string_view text);
  /// Removes the line and prints what was done, how long it took and the mean rate; without `text` only the line is removed.
  void finish(std::int64_t done, std::string_view text);
  void finish();

  /// Units per second, over the last half minute or so.
  double rate() const { return rate_; }

 private:
  using Clock = std::chrono::steady_clock;
  std::string unit_;
  std::int64_t total_, start_, last_done_;
  Clock::time_point begin_, last_shown_, last_rated_;
  double rate_ = 0;
  bool active_ = true;
};

namespace detail {
/// The text of a Progress line; `seconds_left` < 0: unknown.
std::string progress_line(std::string_view text, std::int64_t done, std::int64_t total, std::string_view unit, double rate, double seconds_left);
/// At most `width` columns, cut at a character of UTF-8.
std::string clip(std::string_view line, std::size_t width);
}  // namespace detail

}  // namespace gnn_hpc
