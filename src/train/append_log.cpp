// SPDX-License-Identifier: Apache-2.0
#include "train/append_log.hpp"

#include "base/error.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace gnn_hpc {

namespace {
[[noreturn]] void fail(const std::string& path, const char* step) {
  throw Error(Exit::data, fmt::format("{}: {} failed ({})", path, step, std::strerror(errno)));
}
}  // namespace

AppendLog::AppendLog(std::string path, std::int64_t bytes) : path_(std::move(path)), last_flush_(std::chrono::steady_clock::now()) {
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) fail(path_, "open");
  struct stat info {};
  if (::fstat(fd_, &info) != 0) fail(path_, "fstat");
  written_ = info.st_size;
  if (written_ > bytes) {
    if (::ftruncate(fd_, bytes) != 0) fail(path_, "truncate");
    written_ = bytes;
  }
  missing_ = bytes - written_;
  char last = '\n';
  if (missing_ > 0 && written_ > 0 && ::pread(fd_, &last, 1, written_ - 1) != 1) fail(path_, "read");
  if (last != '\n') pending_ = "\n";  // cut within a line: what follows starts one of its own
}

AppendLog::~AppendLog() {
  if (fd_ < 0) return;
  try {
    flush();
  } catch (const Error&) {  // a destructor never throws; the next run cuts to the last checkpoint anyway
  }
  ::close(fd_);
}

AppendLog::AppendLog(AppendLog&& other) noexcept { *this = std::move(other); }

AppendLog& AppendLog::operator=(AppendLog&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(pending_, other.pending_);
  std::swap(fd_, other.fd_);
  std::swap(written_, other.written_);
  std::swap(missing_, other.missing_);
  std::swap(last_flush_, other.last_flush_);
  return *this;
}

void AppendLog::line(std::string_view text) {
  pending_.append(text);
  pending_.push_back('\n');
  if (pending_.size() > (1U << 16) || std::chrono::steady_clock::now() - last_flush_ > std::chrono::seconds(1)) flush();
}

void AppendLog::flush() {
  std::size_t done = 0;
  while (done < pending_.size()) {
    const ssize_t n = ::write(fd_, pending_.data() + done, pending_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int code = errno;
      pending_.erase(0, done);  // a later attempt must not write these bytes again
      errno = code;
      fail(path_, "write");
    }
    done += static_cast<std::size_t>(n);
    written_ += n;
  }
  pending_.clear();
  last_flush_ = std::chrono::steady_clock::now();
}

}  // namespace gnn_hpc
