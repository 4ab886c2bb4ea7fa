// SPDX-License-Identifier: Apache-2.0
#include "graph/cache_lock.hpp"

#include "base/error.hpp"
#include "io/atomic_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <sstream>

namespace gnn_hpc {

CacheLock::CacheLock(std::string path) : path_(std::move(path)) {}
CacheLock::~CacheLock() { release(); }

std::string CacheLock::owner() const {
  std::ifstream in(path_);
  std::string text;
  std::getline(in, text);
  return text;
}

namespace {
/// True if the owner named in the file may still be at work as far as the text and the last touch can tell.
bool owner_seems_alive(const std::string& owner, const struct stat& info, bool flock_was_free) {
  std::istringstream in(owner);
  std::string host;
  long pid = 0;
  if (!(in >> host >> pid)) return false;  // created and not yet written: whoever wins the flock goes on
  if (host == host_name()) return !flock_was_free && process_alive(pid);  // on this machine a free flock means: gone
  return std::time(nullptr) - info.st_mtime < CacheLock::kStaleSeconds;   // some systems keep flocks local to a node
}
}  // namespace

bool CacheLock::try_acquire() {
  if (held()) return true;
  const int fd = ::open(path_.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (fd < 0) throw Error(Exit::data, fmt::format("{}: cannot create the lock file ({})", path_, std::strerror(errno)));
  bool flock_works = true;
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      ::close(fd);
      return false;
    }
    flock_works = false;  // ENOSYS, ENOLCK, ...: rely on the text and the time of the last touch
  }
  struct stat mine {}, named {};
  const bool same = ::fstat(fd, &mine) == 0 && ::stat(path_.c_str(), &named) == 0 && mine.st_ino == named.st_ino;
  if (!same || owner_seems_alive(owner(), named, flock_works)) {  // removed by its owner meanwhile, or held on another node
    ::close(fd);
    return false;
  }
  const std::string text = fmt::format("{} {}\n", host_name(), ::getpid());
  const bool written = ::ftruncate(fd, 0) == 0 && ::pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
  if (!written) {
    const int code = errno;
    ::close(fd);
    throw Error(Exit::data, fmt::format("{}: cannot write the lock file ({})", path_, std::strerror(code)));
  }
  if (!flock_works && owner() + "\n" != text) {  // another process wrote last: it owns the file
    ::close(fd);
    return false;
  }
  fd_ = fd;
  return true;
}

void CacheLock::touch() noexcept {
  if (held()) ::futimens(fd_, nullptr);
}

void CacheLock::release() noexcept {
  if (!held()) return;
  ::unlink(path_.c_str());
  ::close(fd_);
  fd_ = -1;
}

}  // namespace gnn_hpc
