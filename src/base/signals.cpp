// SPDX-License-Identifier: Apache-2.0
#include "base/signals.hpp"

#include <csignal>
#include <initializer_list>

#include <unistd.h>

namespace gnn_hpc {

namespace {

// The first signal wins: a batch system that sends SIGUSR1 and later SIGTERM stopped us by SIGUSR1.
volatile std::sig_atomic_t first_signal = 0;
volatile std::sig_atomic_t interrupts = 0;

extern "C" void on_signal(int signal) {
  if (signal == SIGINT) {
    interrupts = interrupts + 1;
    if (interrupts > 1) _exit(128 + SIGINT);
  }
  if (first_signal == 0) first_signal = signal;
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

bool stop_requested() noexcept { return first_signal != 0; }

const char* stop_signal_name() noexcept {
  switch (first_signal) {
    case SIGTERM: return "SIGTERM";
    case SIGINT: return "SIGINT";
    case SIGUSR1: return "SIGUSR1";
    case SIGUSR2: return "SIGUSR2";
    default: return "";
  }
}

void clear_stop_request() noexcept {
  first_signal = 0;
  interrupts = 0;
}

}  // namespace gnn_hpc
