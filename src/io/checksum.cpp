// SPDX-License-Identifier: Apache-2.0
#include "io/checksum.hpp"

#include "base/error.hpp"
#include "base/signals.hpp"

#include <xxhash.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <vector>

namespace gnn_hpc {

namespace {
std::string hex_of(const XXH128_hash_t& hash) { return fmt::format("{:016x}{:016x}", hash.high64, hash.low64); }
}  // namespace

std::uint64_t xxh3_64(const void* data, std::size_t bytes) { return XXH3_64bits(data, bytes); }

std::string xxh3_128_hex(const void* data, std::size_t bytes) { return hex_of(XXH3_128bits(data, bytes)); }

struct Digest::State {
  XXH3_state_t* xxh = XXH3_createState();
  State() {
    if (xxh == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(xxh);
  }
  ~State() { XXH3_freeState(xxh); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Digest::Digest() : state_(std::make_unique<State>()) {}
Digest::~Digest() = default;
Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;

void Digest::bytes(const void* data, std::size_t size) {
  if (size > 0) XXH3_128bits_update(state_->xxh, data, size);
}

void Digest::text(std::string_view value) {
  number(static_cast<std::int64_t>(value.size()));
  bytes(value.data(), value.size());
}

void Digest::number(std::int64_t value) { bytes(&value, sizeof value); }
void Digest::number(double value) { bytes(&value, sizeof value); }

void Digest::file(const std::string& path) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!in) throw Error(Exit::data, fmt::format("{}: cannot read ({})", path, std::strerror(errno)));
  static thread_local std::vector<unsigned char> buffer(256 << 10);
  std::int64_t total = 0;
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), in.get())) {
    throw_if_stop_wanted(path);
    bytes(buffer.data(), n);
    total += static_cast<std::int64_t>(n);
  }
  if (std::ferror(in.get())) throw Error(Exit::data, fmt::format("{}: read failed ({})", path, std::strerror(errno)));
  number(total);
}

std::string Digest::hex() const { return hex_of(XXH3_128bits_digest(state_->xxh)); }

}  // namespace gnn_hpc
