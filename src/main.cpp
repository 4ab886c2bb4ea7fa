// SPDX-License-Identifier: Apache-2.0
#include "base/comm.hpp"
#include "base/device_layout.hpp"
#include "base/error.hpp"
#include "base/restart_process.hpp"
#include "base/signals.hpp"
#include "cli/command_line.hpp"
#include "cli/launch.hpp"
#include "cli/program.hpp"

#include <Kokkos_Core.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <vector>

namespace {

/// Kokkos lives between MPI's start and end. The only place where exceptions end.
int run(const gnn_hpc::CommandLine& line, const gnn_hpc::Comm& comm, const char* program) {
  using gnn_hpc::Exit;
  try {
    std::vector<std::string> words = gnn_hpc::kokkos_arguments(line.kokkos, comm);
    std::vector<char*> argv{const_cast<char*>(program)};
    for (std::string& word : words) argv.push_back(word.data());
    int argc = static_cast<int>(argv.size());
    argv.push_back(nullptr);
    const Kokkos::ScopeGuard kokkos(argc, argv.data());
    gnn_hpc::require_equal_layout_on_device();
    return gnn_hpc::run_command(line, comm);
  } catch (const gnn_hpc::Error& e) {
    return gnn_hpc::report_failure(comm, static_cast<int>(e.code()), e.what());
  } catch (const std::bad_alloc&) {
    return gnn_hpc::report_failure(comm, static_cast<int>(Exit::internal),
                                   "out of memory; lower train.batch_size (--dry-run shows what a step needs) or use more ranks");
  } catch (const std::exception& e) {
    return gnn_hpc::report_failure(comm, static_cast<int>(Exit::internal), std::string("internal error: ") + e.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  gnn_hpc::start_with_better_settings(argv);
  // 1. The command line: help and mistakes need neither MPI nor a device.
  const gnn_hpc::ParsedCommandLine parsed = gnn_hpc::parse_command_line(argc, argv);
  if (parsed.exit) {
    if (gnn_hpc::launcher_rank() == 0) std::fputs(parsed.exit->text.c_str(), parsed.exit->code == 0 ? stdout : stderr);
    return parsed.exit->code;
  }
  // 2. MPI, then Kokkos, which looks for its rank.
  int code = 0;
  {
    const gnn_hpc::MpiScope mpi(argc, argv);
    code = run(parsed.line, gnn_hpc::Comm::world(), argv[0]);
  }
  if (gnn_hpc::threads_abandoned()) {  // one is still in a library, whose static objects must outlive it
    std::fflush(nullptr);
    std::_Exit(code);
  }
  return code;
}
