// SPDX-License-Identifier: Apache-2.0
#include "graph/cache_lock.hpp"

#include "base/error.hpp"
#include "io/atomic_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <fstream>
#include <sstream>

namespace gnn_hpc {

namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

bool same_file(const struct stat& a, const struct stat& b) { return a.st_dev == b.st_dev && a.st_ino == b.st_ino; }

/// Containers on different machines may share a host name, a boot id they do not.
std::string boot_id() {
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(in, id);
  return id.empty() ? "unknown" : id;
}

/// Of this thread alone: two threads of a process may look at one lock.
std::string beside(const std::string& path, const char* what) { return fmt::format("{}.{}.{}.{}", path, what, host_name(), ::gettid()); }

/// The time that the file system would give a file now: its machine's clock may differ from ours by minutes.
std::time_t file_system_now(const std::string& path) {
  const std::string probe = beside(path, "clock");
  const Descriptor file{::open(probe.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644)};
  struct stat info {};
  const bool known = file.fd >= 0 && ::futimens(file.fd, nullptr) == 0 && ::fstat(file.fd, &info) == 0;
  ::unlink(probe.c_str());
  return known ? info.st_mtime : std::time(nullptr);
}

/// Takes the flock; false if another one has it. `works` tells whether the file system has flocks at all.
bool take_flock(int fd, bool& works) {
  works = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
  return works || errno != EWOULDBLOCK;  // ENOSYS, ENOLCK, ...: the text and the last touch decide
}

}  // namespace

bool is_named(int fd, const std::string& path) noexcept {
  struct stat open {
  }, named{};
  return ::fstat(fd, &open) == 0 && ::stat(path.c_str(), &named) == 0 && same_file(open, named);
}

CacheLock::CacheLock(std::string path, double touch_seconds) : path_(std::move(path)), touch_seconds_(touch_seconds) {}
CacheLock::~CacheLock() { release(); }

std::string CacheLock::owner() const {
  std::ifstream in(path_);
  std::string text;
  std::getline(in, text);
  return text;
}

bool CacheLock::lost() const noexcept { return held() && !is_named(fd_, path_); }

void CacheLock::require_held() const {
  if (!lost()) return;
  throw Error(Exit::data, fmt::format("{}: taken over by \"{}\", since this process gave no sign of life for {} seconds (suspended?); its work is "
                                      "left to the new owner, start the same command again",
                                      path_, owner(), kStaleSeconds));
}

/// The file, if nobody has one. Its text comes only after its flock: who looks in between holds the flock for that moment, sees an empty, young
/// file and leaves it; with the text there, a free flock would tell it that the owner is gone.
bool CacheLock::create() {
  const int fd = ::open(path_.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0644);
  if (fd < 0) {
    if (errno == EEXIST) return false;
    throw Error(Exit::data, fmt::format("{}: cannot create the lock file ({})", path_, std::strerror(errno)));
  }
  while (::flock(fd, LOCK_EX) != 0 && errno == EINTR) {  // other errors: no flocks here; the process id and the last touch decide
  }
  if (!is_named(fd, path_)) {  // so slow between the two calls that it was taken for stale
    ::close(fd);
    return false;
  }
  const std::string text = fmt::format("{} {}\n{}\n", host_name(), ::getpid(), boot_id());
  if (::pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    const int code = errno;
    if (is_named(fd, path_)) ::unlink(path_.c_str());
    ::close(fd);
    throw Error(Exit::data, fmt::format("{}: cannot write the lock file ({})", path_, std::strerror(code)));
  }
  fd_ = fd;
  ending_ = false;
  heart_ = std::thread([this] { keep_touching(); });
  return true;
}

/// True if the owner is gone, and so is its file now.
bool CacheLock::remove_if_stale() {
  const Descriptor old{::open(path_.c_str(), O_RDWR | O_CLOEXEC)};
  if (old.fd < 0) return errno == ENOENT;
  bool flock_works = false;
  if (!take_flock(old.fd, flock_works)) return false;
  struct stat info {};
  char text[512] = {};
  if (::fstat(old.fd, &info) != 0 || ::pread(old.fd, text, sizeof text - 1, 0) < 0) return false;
  std::istringstream in(text);
  std::string host, boot;
  long pid = 0;
  in >> host >> pid >> boot;
  const bool here = host == host_name() && boot == boot_id();
  // On this machine a free flock means: gone. On another one flocks may be local, and an owner that is alive touches its file.
  const bool alive = here ? !flock_works && process_alive(pid) : file_system_now(path_) - info.st_mtime < kStaleSeconds;
  if (alive) return false;
  const std::string aside = beside(path_, "stale");
  if (!is_named(old.fd, path_) || ::rename(path_.c_str(), aside.c_str()) != 0) return false;
  if (is_named(old.fd, aside)) {
    ::unlink(aside.c_str());
    return true;
  }
  // Between the look and the move another process took over: that is its file, back it goes (unless a third one has made another).
  if (::link(aside.c_str(), path_.c_str()) == 0 || errno == EEXIST)
    ::unlink(aside.c_str());
  else
    ::rename(aside.c_str(), path_.c_str());
  return false;
}

bool CacheLock::try_acquire() {
  if (held() || create()) return true;
  return remove_if_stale() && create();
}

void CacheLock::keep_touching() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!end_.wait_for(lock, std::chrono::duration<double>(touch_seconds_), [this] { return ending_; })) {
    if (!lost()) ::futimens(fd_, nullptr);
  }
}

void CacheLock::release() noexcept {
  if (!held()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  end_.notify_all();
  heart_.join();
  if (is_named(fd_, path_)) ::unlink(path_.c_str());
  ::close(fd_);
  fd_ = -1;
}

}  // namespace gnn_hpc
