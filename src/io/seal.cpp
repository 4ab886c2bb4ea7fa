// SPDX-License-Identifier: Apache-2.0
#include "io/seal.hpp"

#include "base/error.hpp"
#include "io/checksum.hpp"

#include <xxhash.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <string_view>

namespace gnn_hpc {

namespace {

constexpr char kMagic[8] = {'G', 'N', 'N', 'S', 'E', 'A', 'L', '1'};
constexpr std::int64_t kTail = 24;  // length, checksum, magic
constexpr std::string_view kStructure = "file structure";
constexpr std::size_t kBuffer = std::size_t{1} << 20;

class RawFile {
 public:
  RawFile(const std::string& path, int flags) : path_(path), fd_(::open(path.c_str(), flags | O_CLOEXEC)) {
    if (fd_ < 0) throw Error(Exit::data, fmt::format("{}: cannot open ({})", path, std::strerror(errno)));
    struct stat info {};
    if (::fstat(fd_, &info) != 0) fail("stat");
    size_ = info.st_size;
  }
  ~RawFile() { ::close(fd_); }
  RawFile(const RawFile&) = delete;
  RawFile& operator=(const RawFile&) = delete;

  std::int64_t size() const { return size_; }
  void read(void* out, std::int64_t offset, std::size_t bytes) const {
    auto* to = static_cast<char*>(out);
    while (bytes > 0) {
      const ssize_t n = ::pread(fd_, to, bytes, offset);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail("read");
      if (n == 0) throw Error(Exit::data, fmt::format("{}: shorter than expected (truncated while reading?)", path_));
      to += n;
      offset += n;
      bytes -= static_cast<std::size_t>(n);
    }
  }
  void append(std::string_view data) {
    std::int64_t offset = size_;
    while (!data.empty()) {
      const ssize_t n = ::pwrite(fd_, data.data(), data.size(), offset);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail("write");
      offset += n;
      data.remove_prefix(static_cast<std::size_t>(n));
    }
    size_ = offset;
  }
  [[noreturn]] void fail(const char* step) const { throw Error(Exit::data, fmt::format("{}: {} failed ({})", path_, step, std::strerror(errno))); }

 private:
  std::string path_;
  int fd_;
  std::int64_t size_ = 0;
};

/// Hashes what is fed in pieces of bounded size.
class RangeHash {
 public:
  explicit RangeHash(const std::function<void()>& alive) : alive_(alive), state_(XXH3_createState(), &XXH3_freeState), buffer_(kBuffer) {
    if (!state_) throw std::bad_alloc();
    XXH3_64bits_reset(state_.get());
  }
  void feed(const RawFile& file, std::int64_t offset, std::int64_t bytes) {
    while (bytes > 0) {
      const std::size_t n = static_cast<std::size_t>(std::min<std::int64_t>(bytes, kBuffer));
      if (alive_) alive_();
      file.read(buffer_.data(), offset, n);
      XXH3_64bits_update(state_.get(), buffer_.data(), n);
      offset += static_cast<std::int64_t>(n);
      bytes -= static_cast<std::int64_t>(n);
    }
  }
  std::uint64_t value() const { return XXH3_64bits_digest(state_.get()); }

 private:
  const std::function<void()>& alive_;
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_;
  std::vector<char> buffer_;
};

std::uint64_t hash_range(const RawFile& file, const SealedRange& range, const std::function<void()>& alive) {
  RangeHash hash(alive);
  hash.feed(file, range.offset, range.bytes);
  return hash.value();
}

/// Everything of [0, size) outside the sorted ranges: headers, indices, chunked data.
std::uint64_t hash_between(const RawFile& file, const std::vector<SealedRange>& ranges, std::int64_t size, const std::function<void()>& alive) {
  RangeHash hash(alive);
  std::int64_t at = 0;
  for (const auto& range : ranges) {
    hash.feed(file, at, range.offset - at);
    at = range.offset + range.bytes;
  }
  hash.feed(file, at, size - at);
  return hash.value();
}

[[noreturn]] void damaged(const std::string& path, std::string_view what) {
  throw DamagedFile(fmt::format("{}: damaged: {}; delete the file or restore it from a copy", path, what));
}

/// One number of the table; the table's own checksum was verified, so a failure means another format.
template <class N>
N parse(const std::string& path, std::string_view& text, int base) {
  N value{};
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (result.ec != std::errc{}) damaged(path, "unreadable seal");
  text.remove_prefix(static_cast<std::size_t>(result.ptr - text.data()));
  if (!text.empty()) text.remove_prefix(1);
  return value;
}

}  // namespace

void append_seal(const std::string& path, std::vector<SealedRange> ranges, const std::function<void()>& alive) {
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
  RawFile file(path, O_RDWR);
  std::int64_t at = 0;
  for (const auto& range : ranges) {
    GNN_HPC_REQUIRE(range.offset >= at && range.offset + range.bytes <= file.size(), "{}: range of {} overlaps or leaves the file", path, range.name);
    GNN_HPC_REQUIRE(range.name.find('\n') == std::string::npos, "{}: a line end in the name of a data set", path);  // ends its line here
    at = range.offset + range.bytes;
  }
  // One line a range: offset, length, lazy, checksum, name.
  std::string table = fmt::format("{} {:016x}\n", file.size(), hash_between(file, ranges, file.size(), alive));
  for (const auto& range : ranges) {
    table += fmt::format("{} {} {} {:016x} {}\n", range.offset, range.bytes, range.lazy ? 1 : 0, range.lazy ? 0 : hash_range(file, range, alive),
                         range.name);
  }
  const std::uint64_t length = table.size(), hash = xxh3_64(table.data(), table.size());
  table.append(reinterpret_cast<const char*>(&length), sizeof length);
  table.append(reinterpret_cast<const char*>(&hash), sizeof hash);
  table.append(kMagic, sizeof kMagic);
  file.append(table);
}

SealState check_seal(const std::string& path, const std::function<void()>& alive) {
  const RawFile file(path, O_RDONLY);
  if (file.size() < kTail) return SealState::absent;
  char tail[kTail];
  file.read(tail, file.size() - kTail, sizeof tail);
  if (std::memcmp(tail + 16, kMagic, sizeof kMagic) != 0) return SealState::absent;
  std::uint64_t length = 0, hash = 0;
  std::memcpy(&length, tail, sizeof length);
  std::memcpy(&hash, tail + 8, sizeof hash);
  if (length > static_cast<std::uint64_t>(file.size() - kTail)) damaged(path, "its table of checksums");
  std::string table(length, '\0');
  const std::int64_t table_at = file.size() - kTail - static_cast<std::int64_t>(length);
  file.read(table.data(), table_at, table.size());
  if (xxh3_64(table.data(), table.size()) != hash) damaged(path, "its table of checksums");

  std::string_view text = table;
  const auto size = parse<std::int64_t>(path, text, 10);
  const auto structure = parse<std::uint64_t>(path, text, 16);
  if (size != table_at) damaged(path, fmt::format("{} bytes where {} were written", table_at, size));
  std::vector<SealedRange> ranges;
  std::vector<std::uint64_t> hashes;
  while (!text.empty()) {
    SealedRange range;
    range.offset = parse<std::int64_t>(path, text, 10);
    range.bytes = parse<std::int64_t>(path, text, 10);
    range.lazy = parse<int>(path, text, 10) != 0;
    hashes.push_back(parse<std::uint64_t>(path, text, 16));
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) damaged(path, "unreadable seal");
    range.name = text.substr(0, end);
    text.remove_prefix(end + 1);
    ranges.push_back(std::move(range));
  }
  for (std::size_t r = 0; r < ranges.size(); ++r) {
    if (!ranges[r].lazy && hash_range(file, ranges[r], alive) != hashes[r]) damaged(path, fmt::format("dataset {}", ranges[r].name));
  }
  if (hash_between(file, ranges, size, alive) != structure) damaged(path, kStructure);
  return SealState::good;
}

}  // namespace gnn_hpc
