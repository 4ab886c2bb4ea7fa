// SPDX-License-Identifier: Apache-2.0
#include "cli/program.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/signals.hpp"
#include "cli/info.hpp"
#include "cli/launch.hpp"
#include "cli/machine.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace gnn_hpc {

namespace {

/// Seconds that other ranks get to run into the same error. Ranks meet in every step, so a rank that is merely slower by more
/// than this is one that has not failed.
constexpr double kMeetingSeconds = 5.0;

}  // namespace

int run_command(const CommandLine& line, const Comm& comm) {
  if (line.command == "version") {
    if (comm.is_root()) print_versions(std::cout);
    return 0;
  }
  if (line.command == "info" && !line.input.empty()) {
    if (comm.is_root()) print_file(line.input, line.full, std::cout);
    return 0;
  }
  const LaunchLayout layout = current_layout(comm);
  if (line.command == "info") {
    if (comm.is_root()) print_machine(layout, std::cout);
    return 0;
  }
  throw Error(Exit::internal, "unknown command " + line.command);
}

int report_failure(const Comm& comm, int code, const std::string& message) {
  std::cout.flush();
  const auto print = [](const std::string& text) {
    std::string shown = "error: " + text;
    for (std::size_t at = shown.find('\n'); at != std::string::npos; at = shown.find('\n', at + 1)) shown.insert(at + 1, "error: "), ++at;
    std::fprintf(stderr, "%s\n", shown.c_str());
    std::fflush(stderr);
  };
  if (!comm.meet(kMeetingSeconds)) {
    print(fmt::format("rank {}: {}", comm.rank(), message));
    comm.abort(code);
  }
  // Ranks parse the same bytes and agree on most errors; where they do not, each version is printed once.
  const std::vector<std::string> messages = comm.gather(message);
  std::vector<std::string> printed;
  for (std::size_t rank = 0; rank < messages.size(); ++rank) {
    if (std::find(printed.begin(), printed.end(), messages[rank]) != printed.end()) continue;
    printed.push_back(messages[rank]);
    print(rank == 0 ? messages[rank] : fmt::format("rank {}: {}", rank, messages[rank]));
  }
  return static_cast<int>(comm.max(static_cast<std::int64_t>(code)));
}

}  // namespace gnn_hpc
