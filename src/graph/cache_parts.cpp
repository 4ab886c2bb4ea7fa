// SPDX-License-Identifier: Apache-2.0
#include "graph/cache_parts.hpp"

#include "base/error.hpp"
#include "graph/cache.hpp"
#include "io/checksum.hpp"
#include "io/hdf5.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>

namespace gnn_hpc {

namespace {

bool is_integer(DType type) { return type != DType::f32 && type != DType::f64; }

/// Calls f(T{}) with the C++ type of a column.
template <class F>
void with_type(DType type, F f) {
  switch (type) {
    case DType::u8:
      return f(std::uint8_t{});
    case DType::i8:
      return f(std::int8_t{});
    case DType::u16:
      return f(std::uint16_t{});
    case DType::i16:
      return f(std::int16_t{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::i64:
      return f(std::int64_t{});
    case DType::u64:
      return f(std::uint64_t{});
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
  }
}

template <class T>
T load(const std::byte* from, std::size_t i) {
  T value;
  std::memcpy(&value, from + i * sizeof(T), sizeof(T));
  return value;
}

struct Limits {
  std::int64_t low = std::numeric_limits<std::int64_t>::max(), high = std::numeric_limits<std::int64_t>::min();
  void include(const Limits& other) {
    low = std::min(low, other.low);
    high = std::max(high, other.high);
  }
};

Limits limits_of(DType type, const std::vector<std::byte>& data) {
  Limits out;
  if (!is_integer(type)) return out;
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    for (std::size_t i = 0; i < data.size() / sizeof(T); ++i) {
      const auto value = static_cast<std::int64_t>(load<T>(data.data(), i));
      out.low = std::min(out.low, value);
      out.high = std::max(out.high, value);
    }
  });
  return out;
}

DType narrowest(DType type, const Limits& limits) {
  if (!is_integer(type) || type == DType::u64) return type;
  if (limits.low > limits.high) return DType::u8;  // no rows at all
  if (limits.low >= 0 && limits.high <= 0xFF) return DType::u8;
  if (limits.low >= -0x80 && limits.high <= 0x7F) return DType::i8;
  if (limits.low >= 0 && limits.high <= 0xFFFF) return DType::u16;
  if (limits.low >= -0x8000 && limits.high <= 0x7FFF) return DType::i16;
  if (limits.low >= INT32_MIN && limits.high <= INT32_MAX) return DType::i32;
  return DType::i64;
}

std::vector<std::byte> convert(DType from, DType to, const std::vector<std::byte>& data) {
  if (from == to) return data;
  std::vector<std::byte> out(data.size() / size_of(from) * size_of(to));
  with_type(from, [&](auto from_zero) {
    using From = decltype(from_zero);
    with_type(to, [&](auto to_zero) {
      using To = decltype(to_zero);
      for (std::size_t i = 0; i < data.size() / sizeof(From); ++i) {
        const To value = static_cast<To>(load<From>(data.data(), i));
        std::memcpy(out.data() + i * sizeof(To), &value, sizeof(To));
      }
    });
  });
  return out;
}

std::vector<std::byte> read_column(const Hdf5Reader& file, const Column& column) {
  std::vector<std::byte> out;
  with_type(column.type, [&](auto zero) {
    using T = decltype(zero);
    const auto values = file.read<T>(column.path());
    out.resize(values.size() * sizeof(T));
    if (!values.empty()) std::memcpy(out.data(), values.data(), out.size());
  });
  return out;
}

Shape shape_of(const Column& column, std::int64_t rows) { return column.width == 1 ? Shape{rows} : Shape{rows, column.width}; }

void write_skipped(Hdf5Writer& out, const std::vector<SkippedRecord>& skipped) {
  std::vector<std::int64_t> record, line;
  std::vector<std::string> id, file, reason;
  for (const auto& s : skipped) {
    record.push_back(s.record);
    line.push_back(s.bad.line);
    id.push_back(s.bad.id);
    file.push_back(s.bad.file);
    reason.push_back(s.bad.reason);
  }
  out.write("/skipped/record", record);
  out.write("/skipped/line", line);
  out.write_texts("/skipped/id", id);
  out.write_texts("/skipped/file", file);
  out.write_texts("/skipped/reason", reason);
}

void read_skipped(const Hdf5Reader& file, std::vector<SkippedRecord>& out) {
  const auto record = file.read<std::int64_t>("/skipped/record"), line = file.read<std::int64_t>("/skipped/line");
  const auto id = file.read_texts("/skipped/id"), name = file.read_texts("/skipped/file"), reason = file.read_texts("/skipped/reason");
  for (std::size_t i = 0; i < record.size(); ++i) out.push_back({record[i], {id[i], name[i], line[i], reason[i]}});
}

/// XXH3-64 of every kBlockBytes of a stream.
class BlockHashes {
 public:
  void feed(const std::vector<std::byte>& data) {
    std::size_t at = 0;
    while (at < data.size()) {
      const std::size_t n = std::min(data.size() - at, kBlock - pending_.size());
      pending_.insert(pending_.end(), data.begin() + static_cast<std::ptrdiff_t>(at), data.begin() + static_cast<std::ptrdiff_t>(at + n));
      at += n;
      if (pending_.size() == kBlock) flush();
    }
  }
  const std::vector<std::uint64_t>& finish() {
    if (!pending_.empty()) flush();
    return hashes_;
  }

 private:
  static constexpr auto kBlock = static_cast<std::size_t>(GraphCache::kBlockBytes);
  void flush() {
    hashes_.push_back(xxh3_64(pending_.data(), pending_.size()));
    pending_.clear();
  }
  std::vector<std::byte> pending_;
  std::vector<std::uint64_t> hashes_;
};

void append_ptr(std::vector<std::int64_t>& ptr, const std::vector<std::int64_t>& counts) {
  for (const auto n : counts) ptr.push_back(ptr.back() + n);
}

}  // namespace

std::string part_path(const std::string& folder, std::int64_t part) { return fmt::format("{}/part_{:07d}.h5", folder, part); }

void write_part(const std::string& folder, const std::string& key, std::int64_t part, std::int64_t num_records, const SampleBlock& block) {
  Hdf5Writer out(part_path(folder, part));
  out.group("/Info");
  out.attribute("/Info", "key", key);
  out.attribute("/Info", "part", part);
  out.attribute("/Info", "num_records", num_records);
  out.write("/graph/record", block.record());
  out.write("/graph/num_nodes", block.num_nodes());
  out.write("/graph/num_edges", block.num_edges());
  out.write_texts("/graph/id", block.id());
  const auto& columns = block.schema().columns;
  std::vector<std::int64_t> limits;
  for (int c = 0; c < static_cast<int>(columns.size()); ++c) {
    const Column& column = columns[static_cast<std::size_t>(c)];
    out.create(column.path(), column.type, shape_of(column, block.rows(c)));
    out.write_rows(column.path(), column.type, 0, block.column(c).data(), block.rows(c) * column.width);
    const Limits l = limits_of(column.type, block.column(c));
    limits.push_back(l.low);
    limits.push_back(l.high);
  }
  out.write("/Info/limits", limits);
  write_skipped(out, block.skipped());
  out.commit();
}

bool part_is_good(const std::string& folder, const std::string& key, std::int64_t part) {
  const std::string path = part_path(folder, part);
  if (!std::filesystem::exists(path)) return false;
  try {
    const Hdf5Reader file(path, SealCheck::required);
    if (file.attribute_text("/Info", "key") == key && static_cast<std::int64_t>(file.attribute_number("/Info", "part")) == part) return true;
  } catch (const Error&) {  // damaged: build it again
  }
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  return false;
}

JoinResult join_parts(const std::string& folder, std::int64_t num_parts, const Schema& schema, const CacheKey& key,
                      const std::vector<std::pair<std::string, std::string>>& info, const std::string& target, bool keep_empty,
                      const std::function<void()>& alive) {
  const std::size_t num_columns = schema.columns.size();
  std::vector<std::int64_t> node_ptr{0}, edge_ptr{0}, record;
  std::vector<std::string> id;
  std::vector<SkippedRecord> skipped;
  std::vector<Limits> limits(num_columns);
  for (std::int64_t p = 0; p < num_parts; ++p) {
    const Hdf5Reader part(part_path(folder, p), SealCheck::required);
    append_ptr(node_ptr, part.read<std::int64_t>("/graph/num_nodes"));
    append_ptr(edge_ptr, part.read<std::int64_t>("/graph/num_edges"));
    for (const auto r : part.read<std::int64_t>("/graph/record")) record.push_back(r);
    for (auto& text : part.read_texts("/graph/id")) id.push_back(std::move(text));
    const auto l = part.read<std::int64_t>("/Info/limits");
    for (std::size_t c = 0; c < num_columns; ++c) limits[c].include({l[2 * c], l[2 * c + 1]});
    read_skipped(part, skipped);
    alive();
  }
  JoinResult result{static_cast<std::int64_t>(record.size()), static_cast<std::int64_t>(skipped.size())};
  if (record.empty() && !keep_empty) return result;

  Hdf5Writer out(target);
  out.group("/Info");
  out.attribute("/Info", "format_version", std::int64_t{kCacheFormatVersion});
  out.attribute("/Info", "kind", schema.kind);
  out.attribute("/Info", "schema_version", std::int64_t{schema.version});
  out.attribute("/Info", "key", key.hex());
  out.attribute("/Info", "block_bytes", GraphCache::kBlockBytes);
  for (const auto& [name, text] : info) {
    if (name == "options")
      out.write_text("/Info/options", text);  // may exceed what an attribute holds
    else
      out.attribute("/Info", name, text);
  }
  std::vector<std::string> names, values, domains, types;
  for (const auto& [name, value] : key.fields()) {
    names.push_back(name);
    values.push_back(value);
  }
  out.write_texts("/Info/key/field", names);
  out.write_texts("/Info/key/value", values);
  names.clear();
  std::vector<std::int64_t> widths, resident;
  for (const auto& column : schema.columns) {
    names.push_back(column.name);
    domains.emplace_back(name_of(column.domain));
    types.emplace_back(name_of(column.type));
    widths.push_back(column.width);
    resident.push_back(column.resident ? 1 : 0);
  }
  out.write_texts("/Info/columns/name", names);
  out.write_texts("/Info/columns/domain", domains);
  out.write_texts("/Info/columns/type", types);
  out.write("/Info/columns/width", widths);
  out.write("/Info/columns/resident", resident);
  out.write("/node/ptr", node_ptr);
  out.write("/edge/ptr", edge_ptr);
  out.write("/graph/record", record);
  out.write_texts("/graph/id", id);
  write_skipped(out, skipped);

  std::vector<DType> stored(num_columns);
  std::vector<BlockHashes> hashes(num_columns);
  std::vector<std::int64_t> filled(num_columns, 0);
  for (std::size_t c = 0; c < num_columns; ++c) {
    const Column& column = schema.columns[c];
    const std::int64_t rows = column.domain == Domain::graph ? result.samples : column.domain == Domain::node ? node_ptr.back() : edge_ptr.back();
    stored[c] = narrowest(column.type, limits[c]);
    out.create(column.path(), stored[c], shape_of(column, rows));
    if (!column.resident) out.seal_lazily(column.path());
  }
  for (std::int64_t p = 0; p < num_parts; ++p) {
    const Hdf5Reader part(part_path(folder, p));  // verified above
    for (std::size_t c = 0; c < num_columns; ++c) {
      const Column& column = schema.columns[c];
      const auto data = convert(column.type, stored[c], read_column(part, column));
      const auto count = static_cast<std::int64_t>(data.size() / size_of(stored[c]));
      out.write_rows(column.path(), stored[c], filled[c], data.data(), count);
      filled[c] += count / column.width;
      hashes[c].feed(data);
    }
    alive();
  }
  for (std::size_t c = 0; c < num_columns; ++c) {
    if (!schema.columns[c].resident) out.write("/Info/blocks" + schema.columns[c].path(), hashes[c].finish());
  }
  out.while_sealing(alive);
  out.commit();
  return result;
}

std::vector<SkippedRecord> skipped_of_parts(const std::string& folder, std::int64_t num_parts) {
  std::vector<SkippedRecord> out;
  for (std::int64_t p = 0; p < num_parts; ++p) read_skipped(Hdf5Reader(part_path(folder, p)), out);
  return out;
}

}  // namespace gnn_hpc
