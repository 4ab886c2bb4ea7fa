// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace gnn_hpc {

/// Times of the parts of a forward pass, for `bench`: whoever ends a part says so. Waits for the device, so a model has one only while it is
/// measured.
class PartClock {
 public:
  void begin(const Exec& exec) {
    exec.fence("gnn_hpc::PartClock");
    last_ = Clock::now();
  }
  /// What ran since `begin` or the last end.
  void end(const Exec& exec, const char* part) {
    exec.fence("gnn_hpc::PartClock");
    const auto now = Clock::now();
    seconds_.emplace_back(part, std::chrono::duration<double>(now - last_).count());
    last_ = now;
  }
  /// In the order of the ends since the last call.
  std::vector<std::pair<std::string, double>> take() { return std::exchange(seconds_, {}); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_;
  std::vector<std::pair<std::string, double>> seconds_;
};

/// Does nothing without a clock.
inline void end_part(PartClock* clock, const Exec& exec, const char* part) {
  if (clock != nullptr) clock->end(exec, part);
}

}  // namespace gnn_hpc
