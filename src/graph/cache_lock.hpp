// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace gnn_hpc {

/// A lock file that lets one process at a time build what stands beside it. It holds "host pid"; its owner holds an flock
/// where the file system has them, and touches the file while it works. A lock whose owner is gone is taken over: at once on
/// the same machine, after `kStaleSeconds` without a touch from another one.
class CacheLock {
 public:
  static constexpr int kStaleSeconds = 120;

  explicit CacheLock(std::string path);
  ~CacheLock();
  CacheLock(const CacheLock&) = delete;
  CacheLock& operator=(const CacheLock&) = delete;

  /// One attempt; false if another one holds it. Throws Error(Exit::data) if the folder cannot be written.
  bool try_acquire();
  bool held() const noexcept { return fd_ >= 0; }
  /// Tells others that the owner is alive; cheap.
  void touch() noexcept;
  /// Removes the file. Called by the destructor.
  void release() noexcept;
  /// "host pid" of the present owner, for messages; empty if unknown.
  std::string owner() const;

 private:
  std::string path_;
  int fd_ = -1;
};

}  // namespace gnn_hpc
