// SPDX-License-Identifier: Apache-2.0
#include "base/signals.hpp"

#include "base/error.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <vector>

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

TEST(Signals, ATimeLimitIsAReasonToStopWhileItStands) {
  EXPECT_FALSE(stop_wanted());
  {
    const TimeLimit far(1e9);
    EXPECT_FALSE(stop_wanted());
    EXPECT_TRUE(stop_wanted(1e9)) << "what is still needed counts";
    const TimeLimit over(1e-9);
    EXPECT_TRUE(stop_wanted());
    EXPECT_STREQ(stop_reason_name(stop_reason()), "run.walltime");
    EXPECT_FALSE(stop_requested()) << "that is a signal";
    try {
      throw_if_stop_wanted("a loop", "it goes on later");
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::stopped);
      EXPECT_STREQ(error.what(), "a loop: stopped by run.walltime; it goes on later");
    }
  }
  EXPECT_FALSE(stop_wanted());
  EXPECT_NO_THROW(throw_if_stop_wanted("a loop"));
}

TEST(Signals, WhatAnotherRankSaysStopsThisOne) {
  pass_on_stop(static_cast<int>(StopReason::signal) + SIGTERM);
  EXPECT_TRUE(stop_wanted());
  EXPECT_STREQ(stop_reason_name(stop_reason()), "SIGTERM");
  pass_on_stop(static_cast<int>(StopReason::failure_elsewhere));
  EXPECT_STREQ(stop_reason_name(stop_reason()), "SIGTERM") << "the weaker reason changes nothing";
  clear_stop_request();
  pass_on_stop(static_cast<int>(StopReason::failure_elsewhere));
  EXPECT_TRUE(stop_wanted());
  clear_failure_elsewhere();
  EXPECT_FALSE(stop_wanted());
}

TEST(Signals, AStopNamesItsCauseAndTheRanksOfASignal) {
  const auto text = [](std::vector<std::string> causes) { return stop_text(causes); };
  EXPECT_EQ(text({"SIGTERM"}), "SIGTERM");
  EXPECT_EQ(text({"", "SIGTERM"}), "SIGTERM on rank 1");
  EXPECT_EQ(text({"SIGUSR1", "", "SIGUSR1"}), "SIGUSR1 on ranks 0,2");
  EXPECT_EQ(text({"SIGTERM", "SIGTERM"}), "SIGTERM on all ranks");
  EXPECT_EQ(text({"run.walltime", ""}), "run.walltime");
  EXPECT_EQ(text({"run.walltime", "SIGINT"}), "run.walltime; SIGINT on rank 1");
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
