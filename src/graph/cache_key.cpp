// SPDX-License-Identifier: Apache-2.0
#include "graph/cache_key.hpp"

#include "base/error.hpp"
#include "base/threads.hpp"
#include "io/checksum.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <filesystem>
#include <mutex>
#include <thread>

namespace gnn_hpc {

// A library that decides what the input means (RDKit, gemmi) is a field with its version, added by the record source that uses it. One whose
// results are fixed by a standard is not: fast_float and XXH3 are exact, zlib restores what was packed, HDF5 keeps bits. The C library's
// cosine may differ in its last bit, far below what a feature keeps; a key for it would build every cache anew on each other node.
CacheKey::CacheKey(const Schema& schema) {
  field("format_version", std::int64_t{kCacheFormatVersion});
  field("schema", schema.text());
}

namespace {
/// A digest of each file; many small ones are read by several threads, since opening a file is mostly waiting.
std::vector<std::string> hash_files(const std::vector<std::string>& paths) {
  std::vector<std::string> hashes(paths.size());
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr error;
  const auto work = [&] {
    try {
      for (std::size_t i = next++; i < paths.size(); i = next++) {
        Digest digest;
        digest.file(paths[i]);
        hashes[i] = digest.hex();
      }
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex);
      if (!error) error = std::current_exception();
    }
  };
  const std::size_t threads = std::min<std::size_t>(std::max(2U, std::thread::hardware_concurrency()), paths.size() / 64);
  std::vector<std::thread> pool;
  for (std::size_t t = 0; t < threads; ++t) {
    pool.emplace_back([&] {
      use_available_processors();
      work();
    });
  }
  work();
  for (auto& t : pool) t.join();
  if (error) std::rethrow_exception(error);
  return hashes;
}
}  // namespace

void CacheKey::field(std::string name, double value) { field(std::move(name), fmt::format("{}", value)); }
void CacheKey::field(std::string name, std::int64_t value) { field(std::move(name), fmt::format("{}", value)); }
void CacheKey::field(std::string name, const std::vector<std::string>& values) {
  std::string text;
  for (const auto& v : values) {  // quoted, so that ["a, b"] is not ["a", "b"]
    text += text.empty() ? "\"" : ", \"";
    for (const char ch : v) {
      if (ch == '"' || ch == '\\') text += '\\';
      text += ch;
    }
    text += '"';
  }
  field(std::move(name), "[" + text + "]");
}

void CacheKey::files(std::string name, const std::vector<std::string>& paths) {
  const auto hashes = hash_files(paths);
  Digest digest;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    digest.text(std::filesystem::path(paths[i]).filename().string());
    digest.text(hashes[i]);
  }
  file_fields_.push_back(name);
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
    if (other == nullptr)
      add(name + ": not there");
    else if (*other != value)
      add(value.find('\n') == std::string::npos ? fmt::format("{}: {} there, {} here", name, *other, value) : name);
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

bool CacheKey::same_files(const CacheKey& other) const {
  return std::all_of(file_fields_.begin(), file_fields_.end(), [&](const std::string& name) {
    const std::string *here = find(fields_, name), *there = find(other.fields_, name);
    return here != nullptr && there != nullptr && *here == *there;
  });
}

}  // namespace gnn_hpc
