// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/config.hpp"

#include <cstddef>
#include <vector>

namespace gnn_hpc {

/// Memory of one training step: a bump allocator over chunks that are never moved or freed, so that a step after warm-up
/// allocates nothing. `forward` pushes what `backward` needs; a layer's scratch lives between `mark` and `release`.
/// Debug builds fill fresh memory with NaN bytes.
class Arena {
 public:
  struct Mark {
    std::size_t chunk = 0, used = 0;
  };

  explicit Arena(std::size_t first_chunk_bytes = std::size_t{1} << 26) : chunk_bytes_(first_chunk_bytes) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Uninitialised; valid until the mark below it is released.
  template <class T>
  View1<T> array(std::size_t n) {
    return View1<T>(static_cast<T*>(take(n * sizeof(T))), n);
  }
  template <class T>
  View2<T> matrix(std::size_t rows, std::size_t columns) {
    return View2<T>(static_cast<T*>(take(rows * columns * sizeof(T))), rows, columns);
  }

  Mark mark() const noexcept { return {current_, used_}; }
  void release(Mark m);
  void reset() { release({}); }

  /// Largest number of bytes ever in use, and the bytes held.
  std::size_t high_water() const noexcept { return high_water_; }
  std::size_t capacity() const noexcept;
  /// Number of chunks allocated so far; constant after warm-up.
  std::size_t num_chunks() const noexcept { return chunks_.size(); }

 private:
  void* take(std::size_t bytes);

  std::size_t chunk_bytes_;
  std::vector<View1<std::byte>> chunks_;
  std::size_t current_ = 0, used_ = 0, in_earlier_chunks_ = 0, high_water_ = 0;
};

/// Releases on destruction what was taken from the arena since construction.
class ArenaFrame {
 public:
  explicit ArenaFrame(Arena& arena) : arena_(arena), mark_(arena.mark()) {}
  ~ArenaFrame() { arena_.release(mark_); }
  ArenaFrame(const ArenaFrame&) = delete;
  ArenaFrame& operator=(const ArenaFrame&) = delete;

 private:
  Arena& arena_;
  Arena::Mark mark_;
};

}  // namespace gnn_hpc
