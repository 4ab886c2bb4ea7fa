// SPDX-License-Identifier: Apache-2.0
#include "graph/cache.hpp"

#include "base/error.hpp"
#include "base/signals.hpp"
#include "graph/cache_lock.hpp"
#include "io/checksum.hpp"
#include "io/hdf5.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace gnn_hpc {

static_assert(std::endian::native == std::endian::little, "columns are read in place and are stored little-endian");

namespace {

/// The schema as the file tells it: the reader needs no knowledge of the system that wrote it.
Schema read_schema(const Hdf5Reader& file) {
  Schema schema;
  schema.kind = file.attribute_text("/Info", "kind");
  schema.version = static_cast<int>(file.attribute_number("/Info", "schema_version"));
  const auto names = file.read_texts("/Info/columns/name"), domains = file.read_texts("/Info/columns/domain"),
             types = file.read_texts("/Info/columns/type");
  const auto widths = file.read<std::int64_t>("/Info/columns/width"), resident = file.read<std::int64_t>("/Info/columns/resident");
  for (std::size_t c = 0; c < names.size(); ++c) {
    Column column;
    column.name = names[c];
    for (const Domain d : {Domain::graph, Domain::node, Domain::edge}) {
      if (domains[c] == name_of(d)) column.domain = d;
    }
    for (const DType t : {DType::u8, DType::i8, DType::u16, DType::i16, DType::i32, DType::i64, DType::f32, DType::f64}) {
      if (types[c] == name_of(t)) column.type = t;
    }
    column.width = static_cast<int>(widths[c]);
    column.resident = resident[c] != 0;
    schema.columns.push_back(std::move(column));
  }
  return schema;
}

CacheKey read_fields(const Hdf5Reader& file) {
  CacheKey key;
  const auto names = file.read_texts("/Info/key/field"), values = file.read_texts("/Info/key/value");
  for (std::size_t f = 0; f < names.size(); ++f) key.field(names[f], values[f]);
  return key;
}

template <class From, class To>
void widen(const std::byte* from, std::span<To> to) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    From value;
    std::memcpy(&value, from + i * sizeof(From), sizeof(From));
    to[i] = static_cast<To>(value);
  }
}

template <class To>
void widen_from(DType type, const std::byte* from, std::span<To> to) {
  switch (type) {
    case DType::u8:
      return widen<std::uint8_t>(from, to);
    case DType::i8:
      return widen<std::int8_t>(from, to);
    case DType::u16:
      return widen<std::uint16_t>(from, to);
    case DType::i16:
      return widen<std::int16_t>(from, to);
    case DType::i32:
      return widen<std::int32_t>(from, to);
    case DType::i64:
      return widen<std::int64_t>(from, to);
    case DType::u64:
      return widen<std::uint64_t>(from, to);
    case DType::f32:
      return widen<float>(from, to);
    case DType::f64:
      return widen<double>(from, to);
  }
}

}  // namespace

CacheKey GraphCache::read_key(const std::string& path) { return read_fields(Hdf5Reader(path, SealCheck::required)); }

GraphCache::GraphCache(const std::string& path) : path_(path) {
  fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) throw Error(Exit::data, fmt::format("{}: cannot open ({})", path_, std::strerror(errno)));
  try {
    const Hdf5Reader file(path_, SealCheck::required, [this] { throw_if_stop_wanted("opening " + path_); });
    if (!is_named(fd_, path_)) {
      throw Error(Exit::data, fmt::format("{}: replaced by another process while it was being opened; start again", path_));
    }
    const int version = static_cast<int>(file.attribute_number("/Info", "format_version"));
    if (version != kCacheFormatVersion) {
      throw Error(Exit::data, fmt::format("{}: cache format {} where {} is read; build it again", path_, version, kCacheFormatVersion));
    }
    schema_ = read_schema(file);
    key_ = read_fields(file);
    node_ptr_ = file.read<std::int64_t>("/node/ptr");
    edge_ptr_ = file.read<std::int64_t>("/edge/ptr");
    record_ = file.read<std::int64_t>("/graph/record");
    id_ = file.read_texts("/graph/id");
    const auto skipped_record = file.read<std::int64_t>("/skipped/record"), line = file.read<std::int64_t>("/skipped/line");
    const auto id = file.read_texts("/skipped/id"), name = file.read_texts("/skipped/file"), reason = file.read_texts("/skipped/reason");
    for (std::size_t i = 0; i < skipped_record.size(); ++i) skipped_.push_back({skipped_record[i], {id[i], name[i], line[i], reason[i]}});
    for (const auto& attribute : file.attributes("/Info")) {
      if (file.attribute_is_text("/Info", attribute)) info_.emplace_back(attribute, file.attribute_text("/Info", attribute));
    }
    if (file.exists("/Info/options")) info_.emplace_back("options", file.read_text("/Info/options"));
    for (const auto& column : schema_.columns) {
      Stored stored;
      stored.type = file.dtype(column.path());
      if (column.resident) {
        stored.resident = file.read<double>(column.path());
      } else {
        const RawExtent extent = file.extent(column.path());
        stored.offset = extent.offset;
        stored.bytes = extent.bytes;
        stored.hash = file.read<std::uint64_t>("/Info/blocks" + column.path());
        GNN_HPC_REQUIRE(static_cast<std::int64_t>(stored.hash.size()) == (stored.bytes + kBlockBytes - 1) / kBlockBytes,
                        "{}: {} has {} bytes and {} block checksums", path_, column.path(), stored.bytes, stored.hash.size());
        stored.checked = std::make_unique<std::atomic<bool>[]>(stored.hash.size());
      }
      stored_.push_back(std::move(stored));
    }
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

GraphCache::~GraphCache() {
  if (fd_ >= 0) ::close(fd_);
}

std::size_t GraphCache::at(std::int64_t s) const {
  GNN_HPC_REQUIRE(s >= 0 && s < num_samples(), "sample {} of {} in {}", s, num_samples(), path_);
  return static_cast<std::size_t>(s);
}

std::int64_t GraphCache::first_row(Domain domain, std::int64_t s) const {
  switch (domain) {
    case Domain::graph:
      return s;
    case Domain::node:
      return node_ptr_[static_cast<std::size_t>(s)];
    case Domain::edge:
      return edge_ptr_[static_cast<std::size_t>(s)];
  }
  return 0;
}

std::span<const double> GraphCache::resident(int column) const {
  const auto c = static_cast<std::size_t>(column);
  GNN_HPC_REQUIRE(schema_.columns[c].resident, "column {} is not resident", schema_.columns[c].name);
  return stored_[c].resident;
}

void GraphCache::damaged(const std::string& what) const {
  const std::string aside = path_ + ".damaged";
  // Only the file that was read: another job may have noticed first, and what the path names now may be its new, good cache.
  const bool moved = is_named(fd_, path_) && std::rename(path_.c_str(), aside.c_str()) == 0;
  throw Error(Exit::data,
              fmt::format("{}: damaged: {}; {}start again and the cache is built anew", path_, what, moved ? "moved to " + aside + ", " : ""));
}

void GraphCache::pread_all(std::int64_t offset, std::int64_t bytes, void* out) const {
  auto* to = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t n = ::pread(fd_, to, static_cast<std::size_t>(bytes), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error(Exit::data, fmt::format("{}: read failed ({})", path_, std::strerror(errno)));
    if (n == 0) damaged("shorter than when it was opened");
    to += n;
    offset += n;
    bytes -= n;
  }
}

void GraphCache::check_block(const Stored& stored, const Column& column, std::int64_t block) const {
  static thread_local std::vector<char> buffer(kBlockBytes);
  const std::int64_t begin = block * kBlockBytes, bytes = std::min(kBlockBytes, stored.bytes - begin);
  pread_all(stored.offset + begin, bytes, buffer.data());
  if (xxh3_64(buffer.data(), static_cast<std::size_t>(bytes)) != stored.hash[static_cast<std::size_t>(block)]) {
    damaged(fmt::format("dataset {}, bytes {} to {}", column.path(), begin, begin + bytes));
  }
  stored.checked[static_cast<std::size_t>(block)].store(true, std::memory_order_relaxed);
}

void GraphCache::read_bytes(const Stored& stored, const Column& column, std::int64_t offset, std::int64_t bytes, void* out) const {
  if (bytes == 0) return;
  for (std::int64_t block = offset / kBlockBytes; block <= (offset + bytes - 1) / kBlockBytes; ++block) {
    if (!stored.checked[static_cast<std::size_t>(block)].load(std::memory_order_relaxed)) check_block(stored, column, block);
  }
  pread_all(stored.offset + offset, bytes, out);
}

template <class T>
void GraphCache::read(int column_index, std::span<const std::int64_t> samples, std::span<T> out) const {
  const Column& column = schema_.columns[static_cast<std::size_t>(column_index)];
  const Stored& stored = stored_[static_cast<std::size_t>(column_index)];
  GNN_HPC_REQUIRE(!column.resident, "column {} is resident", column.name);
  const std::int64_t row_bytes = column.width * static_cast<std::int64_t>(size_of(stored.type));
  static thread_local std::vector<std::byte> narrow;
  std::size_t filled = 0;
  for (std::size_t i = 0; i < samples.size();) {
    std::size_t j = i + 1;  // neighbours in the file are one read
    while (j < samples.size() && samples[j] == samples[j - 1] + 1) ++j;
    at(samples[i]);
    at(samples[j - 1]);
    const std::int64_t begin = first_row(column.domain, samples[i]), end = first_row(column.domain, samples[j - 1] + 1);
    const auto count = static_cast<std::size_t>((end - begin) * column.width);
    GNN_HPC_REQUIRE(filled + count <= out.size(), "{}: room for {} values is too small", column.path(), out.size());
    const auto part = out.subspan(filled, count);
    if (stored.type == dtype_of<T>()) {
      read_bytes(stored, column, begin * row_bytes, (end - begin) * row_bytes, part.data());
    } else {
      narrow.resize(static_cast<std::size_t>((end - begin) * row_bytes));
      read_bytes(stored, column, begin * row_bytes, (end - begin) * row_bytes, narrow.data());
      widen_from(stored.type, narrow.data(), part);
    }
    filled += count;
    i = j;
  }
  GNN_HPC_REQUIRE(filled == out.size(), "{}: {} values where {} were expected", column.path(), filled, out.size());
}

void GraphCache::verify_all() const {
  for (std::size_t c = 0; c < stored_.size(); ++c) {
    for (std::size_t b = 0; b < stored_[c].hash.size(); ++b) check_block(stored_[c], schema_.columns[c], static_cast<std::int64_t>(b));
  }
}

template void GraphCache::read<std::uint8_t>(int, std::span<const std::int64_t>, std::span<std::uint8_t>) const;
template void GraphCache::read<std::int8_t>(int, std::span<const std::int64_t>, std::span<std::int8_t>) const;
template void GraphCache::read<std::uint16_t>(int, std::span<const std::int64_t>, std::span<std::uint16_t>) const;
template void GraphCache::read<std::int16_t>(int, std::span<const std::int64_t>, std::span<std::int16_t>) const;
template void GraphCache::read<std::int32_t>(int, std::span<const std::int64_t>, std::span<std::int32_t>) const;
template void GraphCache::read<std::int64_t>(int, std::span<const std::int64_t>, std::span<std::int64_t>) const;
template void GraphCache::read<float>(int, std::span<const std::int64_t>, std::span<float>) const;
template void GraphCache::read<double>(int, std::span<const std::int64_t>, std::span<double>) const;

}  // namespace gnn_hpc
