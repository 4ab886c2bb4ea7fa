// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace gnn_hpc {

/// XXH3 of a block of memory (xxHash 0.8, seed 0): finds damage, does not resist an attacker.
std::uint64_t xxh3_64(const void* data, std::size_t bytes);
/// XXH3-128 as 32 hexadecimal digits, the form `xxh128sum` prints.
std::string xxh3_128_hex(const void* data, std::size_t bytes);

/// XXH3-128 of a stream of bytes. Numbers and texts are written with their length, so that no two different sequences of calls
/// feed the same bytes by accident.
class Digest {
 public:
  Digest();
  ~Digest();
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;

  void bytes(const void* data, std::size_t size);
  void text(std::string_view value);  ///< length, then the characters
  void number(std::int64_t value);
  void number(double value);  ///< its bits: -0.0 and 0.0 differ
  /// Every byte of a file and its length. Throws Error(Exit::data) if it cannot be read, Error(Exit::stopped) as soon as the
  /// program shall end: inputs have no bound.
  void file(const std::string& path);
  std::string hex() const;  ///< of what came so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gnn_hpc
