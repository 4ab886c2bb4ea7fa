// SPDX-License-Identifier: Apache-2.0
#include "base/log.hpp"

#include "base/text.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <cmath>
#include <cstdlib>
#include <mutex>

#include <sys/ioctl.h>
#include <unistd.h>

namespace gnn_hpc {

namespace {

/// Messages above, at most one progress line below.
class ConsoleSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit ConsoleSink(std::FILE* out) : out_(out) {
    const char* term = std::getenv("TERM");
    terminal_ = isatty(fileno(out)) == 1 && term != nullptr && std::string_view(term) != "dumb";
    const char* no_color = std::getenv("NO_COLOR");
    colour_ = terminal_ && (no_color == nullptr || *no_color == '\0');
  }
  bool terminal() const { return terminal_; }

  void draw(std::string_view line) {
    const std::lock_guard lock(mutex_);
    std::string shown = detail::clip(line, width() - 1);
    // Blanks instead of the escape "erase line": NO_COLOR users may have a terminal that knows none.
    std::string padded = shown;
    if (padded.size() < progress_.size()) padded.resize(progress_.size(), ' ');
    fmt::print(out_, "\r{}", padded);
    std::fflush(out_);
    progress_ = std::move(shown);
  }
  void erase() {
    const std::lock_guard lock(mutex_);
    erase_line();
    progress_.clear();
    std::fflush(out_);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    erase_line();
    spdlog::memory_buf_t buffer;
    formatter_->format(msg, buffer);
    const std::string_view text(buffer.data(), buffer.size());
    const char* colour = msg.level == spdlog::level::err ? "\x1b[31m" : msg.level == spdlog::level::warn ? "\x1b[33m" : "";
    if (colour_ && *colour != '\0') {
      fmt::print(out_, "{}{}\x1b[0m\n", colour, text);
    } else {
      fmt::print(out_, "{}\n", text);
    }
    if (!progress_.empty()) fmt::print(out_, "{}", progress_);
    std::fflush(out_);
  }
  void flush_() override { std::fflush(out_); }

 private:
  void erase_line() {
    if (!progress_.empty()) fmt::print(out_, "\r{:{}}\r", "", progress_.size());
  }
  std::size_t width() const {
    winsize size{};
    return ioctl(fileno(out_), TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
  }

  std::FILE* out_;
  bool terminal_ = false, colour_ = false;
  std::string progress_;
};

struct Console {
  std::shared_ptr<ConsoleSink> sink = std::make_shared<ConsoleSink>(stderr);
  std::shared_ptr<spdlog::logger> logger = make_logger(sink, spdlog::level::warn);
  double interval = LogOptions{}.interval;

  static std::shared_ptr<spdlog::logger> make_logger(const std::shared_ptr<ConsoleSink>& sink, spdlog::level::level_enum level) {
    auto logger = std::make_shared<spdlog::logger>("gnn_hpc", sink);
    logger->set_level(level);
    // No end of line: the sink adds it behind the colour.
    logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(sink->terminal() ? "%v" : "%H:%M:%S %v", spdlog::pattern_time_type::local, ""));
    return logger;
  }
};

Console& console() {
  static Console instance;
  return instance;
}

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

LogOptions LogOptions::parse(Config node) {
  LogOptions o;
  node.choice("level", o.level, {"debug", "info", "warning", "error"}, "least important messages that are shown");
  node.number("interval", o.interval, positive, "seconds between progress lines where the output is no terminal");
  node.done();
  return o;
}

void setup_log(const LogOptions& options, int rank, std::FILE* out) {
  Console& c = console();
  c.sink = std::make_shared<ConsoleSink>(out);
  const auto level = options.level == "debug"     ? spdlog::level::debug
                     : options.level == "warning" ? spdlog::level::warn
                     : options.level == "error"   ? spdlog::level::err
                                                  : spdlog::level::info;
  c.logger = Console::make_logger(c.sink, rank == 0 ? level : spdlog::level::off);
  c.interval = options.interval;
}

bool log_enabled(LogLevel level) { return console().logger->should_log(level_of(level)); }

void log_text(LogLevel level, std::string_view text) {
  const char* prefix = level == LogLevel::warning ? "warning: " : level == LogLevel::error ? "error: " : "";
  console().logger->log(level_of(level), "{}{}", prefix, printable(text, 0, LineEnds::keep));
}

namespace detail {

std::string progress_line(std::string_view text, std::int64_t done, std::int64_t total, std::string_view unit, double rate, double seconds_left) {
  std::string line(text);
  if (!line.empty()) line += "  ";
  line += format_count(done);
  if (total > 0) line += fmt::format(" of {}", format_count(total));
  line += fmt::format(" {}", unit);
  if (total > 0) line += fmt::format(" ({:.1f} %)", 100.0 * static_cast<double>(done) / static_cast<double>(total));
  if (rate > 0) {
    line += rate < 100 ? fmt::format(", {:.3g} {}/s", rate, unit) : fmt::format(", {} {}/s", format_count(std::llround(rate)), unit);
  }
  if (seconds_left >= 0) line += fmt::format(", {} left", format_duration(seconds_left));
  return line;
}

std::string clip(std::string_view line, std::size_t width) {
  std::size_t columns = 0, i = 0;
  for (; i < line.size(); ++i) {
    if ((static_cast<unsigned char>(line[i]) & 0xC0) != 0x80 && ++columns > width) break;
  }
  return std::string(line.substr(0, i));
}

}  // namespace detail

namespace {
double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}
}  // namespace

Progress::Progress(std::string unit, std::int64_t total, std::int64_t start)
    : unit_(std::move(unit)), total_(total), start_(start), last_done_(start), begin_(Clock::now()), last_shown_(begin_), last_rated_(begin_) {}

Progress::~Progress() { finish(); }

bool Progress::due() const {
  if (!active_ || !log_enabled(LogLevel::info)) return false;
  const Console& c = console();
  return seconds_between(last_shown_, Clock::now()) >= (c.sink->terminal() ? 0.2 : c.interval);
}

void Progress::show(std::int64_t done, std::string_view text) {
  if (!active_ || !log_enabled(LogLevel::info)) return;
  const auto now = Clock::now();
  last_shown_ = now;
  // Exponential mean over half a minute; the first stretch counts fully.
  const double span = seconds_between(last_rated_, now);
  if (span > 0.05 && done > last_done_) {
    const double current = static_cast<double>(done - last_done_) / span;
    const double weight = rate_ > 0 ? 1.0 - std::exp(-span / 30.0) : 1.0;
    rate_ += weight * (current - rate_);
    last_done_ = done;
    last_rated_ = now;
  }
  const double left = rate_ > 0 && total_ >= done ? static_cast<double>(total_ - done) / rate_ : -1.0;
  const std::string line = detail::progress_line(text, done, total_, unit_, rate_, total_ > 0 ? left : -1.0);
  if (console().sink->terminal()) {
    console().sink->draw(line);
  } else {
    log_text(LogLevel::info, line);
  }
}

void Progress::finish() {
  if (!active_) return;
  active_ = false;
  if (console().sink->terminal()) console().sink->erase();
}

void Progress::finish(std::int64_t done, std::string_view text) {
  if (!active_) return;
  finish();
  const double seconds = seconds_between(begin_, Clock::now());
  const double mean = seconds > 0.01 ? static_cast<double>(done - start_) / seconds : 0;  // less says nothing
  log_info("{}{}, {}", detail::progress_line(text, done - start_, 0, unit_, done > start_ ? mean : 0, -1), start_ > 0 ? " in this run" : "",
           format_duration(seconds));
}

}  // namespace gnn_hpc
