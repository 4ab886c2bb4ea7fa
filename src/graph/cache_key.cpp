// SPDX-License-Identifier: Apache-2.0
#include "graph/cache_key.hpp"

#include "base/error.hpp"
#include "io/checksum.hpp"

#include <algorithm>
#include <filesystem>

namespace gnn_hpc {

CacheKey::CacheKey(const Schema& schema) {
  field("format_version", std::int64_t{kCacheFormatVersion});
  field("schema", schema.text());
}

void CacheKey::field(std::string name, double value) { field(std::move(name), fmt::format("{}", value)); }
void CacheKey::field(std::string name, std::int64_t value) { field(std::move(name), fmt::format("{}", value)); }
void CacheKey::field(std::string name, const std::vector<std::string>& values) {
  std::string text;
  for (const auto& v : values) text += fmt::format("{}:{} ", v.size(), v);  // with lengths: ["a b"] is not ["a", "b"]
  field(std::move(name), text);
}

void CacheKey::files(std::string name, const std::vector<std::string>& paths) {
  Digest digest;
  for (const auto& path : paths) {
    digest.text(std::filesystem::path(path).filename().string());
    digest.file(path);
  }
  field(std::move(name), fmt::format("{} file{}, XXH3-128 {}", paths.size(), paths.size() == 1 ? "" : "s", digest.hex()));
}

std::string CacheKey::hex() const {
  Digest digest;
  for (const auto& [name, value] : fields_) {
    digest.text(name);
    digest.text(value);
  }
  return digest.hex();
}

namespace {
const std::string* find(const std::vector<std::pair<std::string, std::string>>& fields, const std::string& name) {
  const auto it = std::find_if(fields.begin(), fields.end(), [&](const auto& f) { return f.first == name; });
  return it == fields.end() ? nullptr : &it->second;
}
}  // namespace

std::string CacheKey::difference(const CacheKey& there) const {
  std::string out;
  const auto add = [&](const std::string& text) { out += (out.empty() ? "" : "; ") + text; };
  for (const auto& [name, value] : fields_) {
    const std::string* other = find(there.fields_, name);
    if (other == nullptr) add(name + ": not there");
    else if (*other != value) add(value.find('\n') == std::string::npos ? fmt::format("{}: {} there, {} here", name, *other, value) : name);
  }
  for (const auto& [name, value] : there.fields_) {
    if (find(fields_, name) == nullptr) add(name + ": only there");
  }
  return out;
}

std::size_t CacheKey::count_different(const CacheKey& other) const {
  std::size_t count = 0;
  for (const auto& [name, value] : fields_) {
    const std::string* there = find(other.fields_, name);
    if (there == nullptr || *there != value) ++count;
  }
  return count;
}

}  // namespace gnn_hpc
