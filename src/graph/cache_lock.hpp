// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace gnn_hpc {

/// A lock file that lets one process at a time build what stands beside it. It holds "host pid" and the machine's boot id; its owner holds an
/// flock where the file system has them, and a thread of its own touches the file every `kTouchSeconds` from `try_acquire` to `release`,
/// whatever the owner is at (hashing, converting, sealing). So it also holds on file systems whose flocks are local to a machine or missing.
///
/// A lock whose owner is gone is taken over: at once on the same machine (flock, else the process id), after `kStaleSeconds` without a touch, by
/// the clock of the file system, from another one. Taking over makes a new file; the old one is moved aside first and dropped only if
/// it is the very file (device and inode) that was found stale. Nor does an owner remove or touch a file that is no longer its own: whoever was
/// suspended beyond the limit finds `lost()` and leaves the new owner's work alone.
class CacheLock {
 public:
  static constexpr int kStaleSeconds = 120, kTouchSeconds = 10;

  explicit CacheLock(std::string path, double touch_seconds = kTouchSeconds);
  ~CacheLock();
  CacheLock(const CacheLock&) = delete;
  CacheLock& operator=(const CacheLock&) = delete;

  /// One attempt; false if another one holds it. Throws Error(Exit::data) if the folder cannot be written.
  bool try_acquire();
  bool held() const noexcept { return fd_ >= 0; }
  /// True if the path no longer names the file that this process made.
  bool lost() const noexcept;
  /// Throws Error(Exit::data) if it is lost; call it before anything that others would see is renamed or removed.
  void require_held() const;
  /// Removes the file if it is still this one's. Called by the destructor.
  void release() noexcept;
  /// "host pid" of the present owner, for messages; empty if unknown.
  std::string owner() const;

 private:
  bool create();
  bool remove_if_stale();
  void keep_touching();

  std::string path_;
  const double touch_seconds_;
  int fd_ = -1;
  std::thread heart_;
  std::mutex mutex_;
  std::condition_variable end_;
  bool ending_ = false;
};

/// True if the open file is what the path names now: device and inode agree. Asked before a path is renamed or removed for what was read from
/// the open file: another process may have put a good one there meanwhile.
bool is_named(int fd, const std::string& path) noexcept;

}  // namespace gnn_hpc
