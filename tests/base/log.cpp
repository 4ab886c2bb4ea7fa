// SPDX-License-Identifier: Apache-2.0
#include "base/log.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace gnn_hpc {
namespace {

using namespace std::chrono_literals;

/// Everything written to `file` since it was opened.
std::string contents(std::FILE* file) {
  std::fflush(file);
  std::rewind(file);
  std::string text;
  for (int ch = std::fgetc(file); ch != EOF; ch = std::fgetc(file)) text += static_cast<char>(ch);
  return text;
}

/// A log into a temporary file or pseudo-terminal, back to stderr at the end.
class LogTest : public testing::Test {
 protected:
  void TearDown() override { setup_log({}, 0, stderr); }
};

TEST_F(LogTest, PlainLinesWithTimeInAFile) {
  std::FILE* file = std::tmpfile();
  setup_log({}, 0, file);
  log_debug("not shown");
  log_info("graphs: {}", 12);
  log_warning("low memory");
  const std::string text = contents(file);
  ASSERT_EQ(text.size(), std::string("00:00:00 graphs: 12\n00:00:00 warning: low memory\n").size()) << text;
  EXPECT_EQ(text.substr(8, 12), " graphs: 12\n");
  EXPECT_EQ(text.substr(28), " warning: low memory\n");
}

TEST_F(LogTest, OtherRanksAreSilent) {
  std::FILE* file = std::tmpfile();
  setup_log({}, 1, file);
  log_info("a");
  log_error("b");
  Progress progress("graphs", 10);
  progress.show(5, "x");
  progress.finish(10, "x");
  EXPECT_EQ(contents(file), "");
}

TEST_F(LogTest, LevelDecides) {
  std::FILE* file = std::tmpfile();
  setup_log({.level = "warning"}, 0, file);
  EXPECT_FALSE(log_enabled(LogLevel::info));
  Progress progress("graphs", 10);
  EXPECT_FALSE(progress.due());
  log_info("a");
  log_error("b");
  EXPECT_EQ(contents(file).substr(8), " error: b\n");
}

TEST_F(LogTest, ProgressInAFileIsAPlainLineEveryInterval) {
  std::FILE* file = std::tmpfile();
  setup_log({.level = "info", .interval = 0.05}, 0, file);
  Progress progress("graphs", 1000, 100);
  EXPECT_FALSE(progress.due());
  std::this_thread::sleep_for(60ms);
  EXPECT_TRUE(progress.due());
  progress.show(200, "epoch 1/2");
  EXPECT_FALSE(progress.due());
  EXPECT_GT(progress.rate(), 0);
  EXPECT_LT(progress.rate(), 100 / 0.05);
  progress.finish(1000, "trained");
  const std::string text = contents(file);
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find(" epoch 1/2  200 of 1,000 graphs (20.0 %), "), std::string::npos) << text;
  EXPECT_NE(text.find(" left\n"), std::string::npos) << text;
  EXPECT_NE(text.find(" trained  900 graphs, "), std::string::npos) << text;
  EXPECT_NE(text.find(" in this run, "), std::string::npos) << text;
}

TEST_F(LogTest, ProgressOnATerminalIsOneLineRedrawn) {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) GTEST_SKIP() << "no pseudo-terminal here";
  setenv("TERM", "xterm", 1);
  for (const bool no_color : {false, true}) {
    if (no_color) setenv("NO_COLOR", "1", 1);
    std::FILE* out = std::fopen(ptsname(terminal), "w");
    ASSERT_NE(out, nullptr);
    setup_log({}, 0, out);
    {
      Progress progress("graphs", 100);
      progress.show(50, "epoch 1/2");
      log_warning("look");
    }
    std::fputs("<end>", out);
    std::fflush(out);
    std::string text;  // a terminal hands on what was written when it comes to it, in pieces
    for (pollfd ready{terminal, POLLIN, 0}; text.find("<end>") == std::string::npos && poll(&ready, 1, 10000) > 0;) {
      char buffer[512];
      const auto n = read(terminal, buffer, sizeof buffer);
      if (n <= 0) break;
      text.append(buffer, static_cast<std::size_t>(n));
    }
    const std::string line = "epoch 1/2  50 of 100 graphs (50.0 %)";
    const std::size_t first = text.find("\r" + line), warning = text.find("warning: look"), again = text.rfind(line);
    EXPECT_NE(first, std::string::npos) << text;
    EXPECT_LT(first, warning);
    EXPECT_LT(warning, again) << "the line is drawn again below the message";
    EXPECT_EQ(text.find('\x1b') == std::string::npos, no_color);
    setup_log({}, 0, stderr);
    std::fclose(out);
  }
  unsetenv("NO_COLOR");
  close(terminal);
}

TEST(LogText, ProgressLine) {
  EXPECT_EQ(detail::progress_line("epoch 3/500", 1234, 50000, "graphs", 820.4, 59.4),
            "epoch 3/500  1,234 of 50,000 graphs (2.5 %), 820 graphs/s, 59.4 s left");
  EXPECT_EQ(detail::progress_line("", 5, 0, "files", 0.5, -1), "5 files, 0.5 files/s");
  EXPECT_EQ(detail::clip("abcdef", 3), "abc");
  EXPECT_EQ(detail::clip("\xC3\xA4\xC3\xB6\xC3\xBC", 2), "\xC3\xA4\xC3\xB6");
}

}  // namespace
}  // namespace gnn_hpc
