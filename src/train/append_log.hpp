// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace gnn_hpc {

/// A text file that only grows, and whose length at a checkpoint is known: a resumed run cuts off what came later, so that
/// every line stands in it once. Lines reach the file about once a second, and surely with `flush`.
class AppendLog {
 public:
  AppendLog() = default;
  /// Opens or creates the file and cuts it to `bytes`. A shorter file stays as it is, but for a line that was cut, which is ended; see
  /// `missing`. Throws Error(Exit::data).
  AppendLog(std::string path, std::int64_t bytes);
  ~AppendLog();
  AppendLog(AppendLog&& other) noexcept;
  AppendLog& operator=(AppendLog&& other) noexcept;

  void line(std::string_view text);  ///< appends the text and a line end
  void flush();
  std::int64_t bytes() const { return written_ + static_cast<std::int64_t>(pending_.size()); }
  bool is_open() const { return fd_ >= 0; }
  const std::string& path() const { return path_; }
  std::int64_t missing() const { return missing_; }  ///< bytes that the file lacked when it was opened

 private:
  std::string path_, pending_;
  int fd_ = -1;
  std::int64_t written_ = 0, missing_ = 0;
  std::chrono::steady_clock::time_point last_flush_;
};

}  // namespace gnn_hpc
