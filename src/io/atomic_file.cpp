// SPDX-License-Identifier: Apache-2.0
#include "io/atomic_file.hpp"

#include "base/error.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>

namespace gnn_hpc {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const std::string& path, const char* step) {
  const int code = errno;
  const char* hint = code == ENOSPC || code == EDQUOT ? "; free some space or choose another folder" : "";
  throw Error(Exit::data, fmt::format("{}: {} failed ({}){}", path, step, std::strerror(code), hint));
}

std::string folder_of(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

/// Some file systems refuse fsync on a directory; that is no reason to stop.
void sync_folder(const std::string& folder) {
  const Descriptor dir{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (dir.fd >= 0 && ::fsync(dir.fd) != 0 && errno != EINVAL && errno != ENOTSUP) fail(folder, "fsync of the folder");
}

}  // namespace

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') return "localhost";
  for (char* ch = name; *ch != '\0'; ++ch) {
    if (*ch == '/' || *ch == '.') *ch = '-';  // '.' separates the parts of temporary names
  }
  return name;
}

bool process_alive(long pid) { return pid > 0 && (::kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM); }

AtomicFile::AtomicFile(std::string final_path) : final_(std::move(final_path)) {
  static std::atomic<unsigned> counter{0};
  temporary_ = fmt::format("{}.tmp.{}.{}.{}", final_, host_name(), ::getpid(), counter++);
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (pending_) ::unlink(temporary_.c_str());
  pending_ = false;
}

namespace {

/// `fresh` becomes `path`, and what stood there becomes `old`. Where the file system can exchange two names there is a file under
/// `path` at any moment; elsewhere there is one under `old` while `path` has none.
void replace_and_keep(const std::string& fresh, const std::string& path, const std::string& old) {
  if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) == 0) {
    if (::rename(fresh.c_str(), old.c_str()) != 0) fail(old, "rename");
    return;
  }
  if (errno != ENOENT && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) fail(path, "rename");
  const bool kept = ::rename(path.c_str(), old.c_str()) == 0;
  if (!kept && errno != ENOENT) fail(old, "rename");  // there may be no file yet
  if (::rename(fresh.c_str(), path.c_str()) == 0) return;
  const int code = errno;
  if (kept) static_cast<void>(::rename(old.c_str(), path.c_str()));
  errno = code;
  fail(path, "rename");
}

}  // namespace

void AtomicFile::commit(const std::string& keep_old_as, const std::function<void(const std::string&)>& check) {
  GNN_HPC_REQUIRE(pending_, "{} was committed or discarded before", final_);
  {
    const Descriptor file{::open(temporary_.c_str(), O_RDONLY | O_CLOEXEC)};
    if (file.fd < 0) fail(temporary_, "open");
    if (::fsync(file.fd) != 0) fail(temporary_, "fsync");
    // What is checked is what the disk holds, not what the page cache still does.
    if (check) static_cast<void>(::posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED));
  }
  if (check) check(temporary_);
  if (!keep_old_as.empty())
    replace_and_keep(temporary_, final_, keep_old_as);
  else if (::rename(temporary_.c_str(), final_.c_str()) != 0)
    fail(final_, "rename");
  pending_ = false;
  sync_folder(folder_of(final_));
}

void write_file_atomically(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  {
    const Descriptor out{::open(file.path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
    if (out.fd < 0) fail(file.path(), "create");
    while (!content.empty()) {
      const ssize_t n = ::write(out.fd, content.data(), content.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail(file.path(), "write");
      content.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  file.commit();
}

void write_file_atomically(const std::string& path, const std::function<void(std::ostream&)>& write) {
  AtomicFile file(path);
  {
    errno = 0;
    std::ofstream out(file.path(), std::ios::binary | std::ios::trunc);
    if (!out) fail(file.path(), "create");
    write(out);
    out.close();
    if (!out) fail(file.path(), "write");
  }
  file.commit();
}

int remove_stale_temporaries(const std::string& final_path) noexcept {
  int removed = 0;
  try {
    const std::string prefix = fs::path(final_path).filename().string() + ".tmp.";
    const std::string host = host_name();
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder_of(final_path), ignored)) {
      const std::string name = entry.path().filename().string();
      if (!name.starts_with(prefix)) continue;
      const std::string rest = name.substr(prefix.size());  // <host>.<pid>.<n>
      const auto dot = rest.find('.');
      bool stale;
      if (dot != std::string::npos && rest.substr(0, dot) == host) {
        stale = !process_alive(std::strtol(rest.c_str() + dot + 1, nullptr, 10));
      } else {
        struct stat info {};
        stale = ::stat(entry.path().c_str(), &info) == 0 && std::time(nullptr) - info.st_mtime > 86400;
      }
      if (stale && fs::remove(entry.path(), ignored)) ++removed;
    }
  } catch (...) {  // out of memory at worst: cleaning up is optional
  }
  return removed;
}

}  // namespace gnn_hpc
