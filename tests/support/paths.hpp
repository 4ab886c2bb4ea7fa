// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

namespace gnn_hpc::test {

/// A file of the source tree, for example source_path("tests/data/x.h5").
std::filesystem::path source_path(const std::string& relative);

/// A file of the reference material beside the repository (environment GNN_HPC_SHARED, default ../shared). Tests skip where it
/// is absent: `if (!exists(path)) GTEST_SKIP() << path;`.
std::filesystem::path shared_path(const std::string& relative);

/// An empty folder of this process, removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace gnn_hpc::test
