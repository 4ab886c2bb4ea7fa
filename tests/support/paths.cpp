// SPDX-License-Identifier: Apache-2.0
#include "support/paths.hpp"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <system_error>

namespace gnn_hpc::test {
namespace fs = std::filesystem;

fs::path source_path(const std::string& relative) { return fs::path(GNN_HPC_SOURCE_DIR) / relative; }

fs::path shared_path(const std::string& relative) {
  const char* folder = std::getenv("GNN_HPC_SHARED");
  return (folder != nullptr ? fs::path(folder) : fs::path(GNN_HPC_SOURCE_DIR) / ".." / "shared") / relative;
}

TemporaryFolder::TemporaryFolder() {
  static std::atomic<int> count{0};
  path_ = fs::temp_directory_path() / ("gnn_hpc_test_" + std::to_string(::getpid()) + "_" + std::to_string(count++));
  fs::remove_all(path_);
  fs::create_directories(path_);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace gnn_hpc::test
