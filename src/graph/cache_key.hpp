// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/schema.hpp"

#include <string>
#include <utility>
#include <vector>

namespace gnn_hpc {

/// Version of the file layout; caches of another version are rebuilt.
inline constexpr int kCacheFormatVersion = 1;

/// Everything that decides the content of a cache, by name: format version, schema, every option, and the digest of every input
/// byte. Equal fields, equal samples. The digest is of contents, so another process hits and any change misses. Versions: cache_key.cpp.
class CacheKey {
 public:
  CacheKey() = default;
  explicit CacheKey(const Schema& schema);

  void field(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
  void field(std::string name, const char* value) { field(std::move(name), std::string(value)); }
  void field(std::string name, double value);
  void field(std::string name, std::int64_t value);
  void field(std::string name, bool value) { field(std::move(name), value ? "true" : "false"); }
  void field(std::string name, const std::vector<std::string>& values);
  /// Names (without folders) and bytes of the files, in this order. Throws Error(Exit::data) if one cannot be read.
  void files(std::string name, const std::vector<std::string>& paths);

  const std::vector<std::pair<std::string, std::string>>& fields() const { return fields_; }
  /// XXH3-128 over all fields, 32 hexadecimal digits.
  std::string hex() const;
  /// "graph.max_neighbors: 12 there, 25 here; ..." for every field that differs.
  std::string difference(const CacheKey& there) const;
  std::size_t count_different(const CacheKey& other) const;
  /// True if every field of `files` is the same in both.
  bool same_files(const CacheKey& other) const;

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
  std::vector<std::string> file_fields_;
};

}  // namespace gnn_hpc
