// SPDX-License-Identifier: Apache-2.0
// The main of every test program: the settings of the program, MPI (only under a launcher) and Kokkos around gtest.
#include "base/comm.hpp"
#include "base/restart_process.hpp"
#include "base/subnormals.hpp"

#include <gtest/gtest.h>
#include <Kokkos_Core.hpp>

#include <cstdio>
#include <cstdlib>
#include <optional>

namespace {

/// Starting MPI costs more than most tests; a process that no launcher started is one rank without it.
bool launched_by_mpi() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

/// Ranks other than the first speak only when something fails.
class FailurePrinter : public testing::EmptyTestEventListener {
 public:
  explicit FailurePrinter(int rank) : rank_(rank) {}

 private:
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "[rank %d] %s:%d: %s\n", rank_, result.file_name() ? result.file_name() : "?", result.line_number(), result.message());
  }

  int rank_;
};

}  // namespace

int main(int argc, char** argv) {
  gnn_hpc::start_with_better_settings(argv);
  testing::InitGoogleTest(&argc, argv);
  if (testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  std::optional<gnn_hpc::MpiScope> mpi;
  if (launched_by_mpi()) mpi.emplace(argc, argv);
  const Kokkos::ScopeGuard kokkos(argc, argv);
  gnn_hpc::flush_subnormals_on_all_threads(true);
  const int rank = gnn_hpc::Comm::world().rank();
  if (rank != 0) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailurePrinter(rank));  // owned by gtest
  }
  return RUN_ALL_TESTS();
}
