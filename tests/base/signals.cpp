// SPDX-License-Identifier: Apache-2.0
#include "base/signals.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace gnn_hpc {
namespace {

TEST(Signals, TheFirstSetsTheFlag) {
  install_signal_handlers();
  clear_stop_request();
  EXPECT_FALSE(stop_requested());
  EXPECT_STREQ(stop_signal_name(), "");
  std::raise(SIGUSR1);
  EXPECT_TRUE(stop_requested());
  std::raise(SIGTERM);
  EXPECT_STREQ(stop_signal_name(), "SIGUSR1");
  for (const auto& [signal, name] : {std::pair{SIGTERM, "SIGTERM"}, {SIGINT, "SIGINT"}, {SIGUSR2, "SIGUSR2"}}) {
    clear_stop_request();
    std::raise(signal);
    EXPECT_STREQ(stop_signal_name(), name);
  }
  clear_stop_request();
}

TEST(SignalsDeathTest, TheSecondInterruptEndsAtOnce) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        install_signal_handlers();
        std::raise(SIGINT);
        std::raise(SIGINT);
      },
      testing::ExitedWithCode(130), "");
}

}  // namespace
}  // namespace gnn_hpc
