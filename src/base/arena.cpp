// SPDX-License-Identifier: Apache-2.0
#include "base/arena.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace gnn_hpc {

namespace {
constexpr std::size_t kAlignment = 256;  // a multiple of every cache line and of what GPU loads like
}

void* Arena::take(std::size_t bytes) {
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  while (current_ < chunks_.size() && used_ + bytes > chunks_[current_].size()) {
    in_earlier_chunks_ += used_;
    ++current_;
    used_ = 0;
  }
  if (current_ == chunks_.size()) {
    chunk_bytes_ = std::max(chunk_bytes_, bytes);
    chunks_.emplace_back(Kokkos::view_alloc("gnn_hpc::Arena", Kokkos::WithoutInitializing), chunk_bytes_);
    chunk_bytes_ = std::max(chunk_bytes_, capacity());  // chunks grow geometrically: few allocations before the peak is known
  }
  void* p = chunks_[current_].data() + used_;
#ifndef NDEBUG
  Kokkos::deep_copy(Kokkos::subview(chunks_[current_], Kokkos::make_pair(used_, used_ + bytes)), std::byte{0xFF});
#endif
  used_ += bytes;
  high_water_ = std::max(high_water_, in_earlier_chunks_ + used_);
  return p;
}

void Arena::release(Mark m) {
  GNN_HPC_REQUIRE(m.chunk < current_ || (m.chunk == current_ && m.used <= used_), "released out of order: mark ({}, {}) is above the top ({}, {})",
                  m.chunk, m.used, current_, used_);
  while (current_ > m.chunk) {
    --current_;
    used_ = 0;
  }
  used_ = m.used;
  in_earlier_chunks_ = 0;  // an upper bound of what lies below is enough for the high-water mark
  for (std::size_t i = 0; i < current_; ++i) in_earlier_chunks_ += chunks_[i].size();
}

std::size_t Arena::capacity() const noexcept {
  std::size_t sum = 0;
  for (const auto& c : chunks_) sum += c.size();
  return sum;
}

}  // namespace gnn_hpc
