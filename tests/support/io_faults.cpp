// SPDX-License-Identifier: Apache-2.0
// Loaded before the C library (LD_PRELOAD): makes calls on one file fail as a bad disk, a stale handle or missing permission would,
// which a test cannot otherwise have, least of all as root.
//   IO_FAULT=<call>:<errno>:<end of the file's name>, call: open | pread | rename | exchange (renameat2)
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace {

struct Fault {
  std::string call, name;
  int code = 0;
};

const Fault& fault() {
  static const Fault value = [] {
    Fault out;
    const char* text = std::getenv("IO_FAULT");
    const std::string all = text == nullptr ? "" : text;
    const std::size_t first = all.find(':'), second = all.find(':', first + 1);
    if (second == std::string::npos) return out;
    out.call = all.substr(0, first);
    out.code = std::atoi(all.c_str() + first + 1);
    out.name = all.substr(second + 1);
    return out;
  }();
  return value;
}

bool hits(std::string_view call, std::string_view path) {
  if (fault().call != call || !path.ends_with(fault().name)) return false;
  errno = fault().code;
  return true;
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  if (hits("open", path)) return -1;
  return next<int(const char*, int, ...)>("open")(path, flags, mode);
}

ssize_t pread(int fd, void* out, size_t bytes, off_t offset) {
  if (fault().call == "pread") {
    char path[4096];
    const ssize_t n = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path);
    if (n > 0 && hits("pread", {path, static_cast<std::size_t>(n)})) return -1;
  }
  return next<ssize_t(int, void*, size_t, off_t)>("pread")(fd, out, bytes, offset);
}

int rename(const char* from, const char* to) noexcept {
  if (hits("rename", to)) return -1;
  return next<int(const char*, const char*)>("rename")(from, to);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  if (hits("exchange", to)) return -1;
  return next<int(int, const char*, int, const char*, unsigned)>("renameat2")(from_folder, from, to_folder, to, flags);
}

}  // extern "C"
