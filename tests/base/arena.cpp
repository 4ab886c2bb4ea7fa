// SPDX-License-Identifier: Apache-2.0
#include "base/arena.hpp"

#include "base/error.hpp"

#include <gtest/gtest.h>

namespace gnn_hpc {
namespace {

TEST(Arena, PiecesDoNotOverlapAndAreAligned) {
  Arena arena(4096);
  const auto a = arena.array<double>(3);
  const auto b = arena.matrix<float>(5, 7);
  const auto c = arena.array<char>(0);
  const auto d = arena.array<char>(1);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.data()) % 64, 0U);
  EXPECT_GE(reinterpret_cast<const char*>(b.data()), reinterpret_cast<const char*>(a.data() + 3));
  EXPECT_GE(reinterpret_cast<const char*>(d.data()), reinterpret_cast<const char*>(b.data() + 35));
  EXPECT_EQ(c.extent(0), 0U);
  EXPECT_EQ(b.extent(1), 7U);
  EXPECT_EQ(arena.num_chunks(), 1U);
}

TEST(Arena, FramesReleaseWhatTheyTook) {
  Arena arena(4096);
  const auto below = arena.array<double>(8);
  const double* first = nullptr;
  for (int repeat = 0; repeat < 3; ++repeat) {
    const ArenaFrame frame(arena);
    const auto inside = arena.array<double>(8);
    if (repeat == 0) first = inside.data();
    EXPECT_EQ(inside.data(), first);
    EXPECT_NE(inside.data(), below.data());
  }
  EXPECT_EQ(arena.array<double>(8).data(), first);
}

TEST(Arena, GrowsByChunksAndThenNeverAgain) {
  Arena arena(1024);
  const auto step = [&] {
    arena.reset();
    double sum = 0.0;
    for (int i = 0; i < 40; ++i) {
      const ArenaFrame frame(arena);
      const auto kept = arena.array<double>(100 + 10 * static_cast<std::size_t>(i));
      sum += static_cast<double>(kept.extent(0));
    }
    for (int i = 0; i < 40; ++i) arena.array<double>(200);
    arena.array<double>(10000);  // larger than any chunk so far
    return sum;
  };
  step();
  const std::size_t chunks = arena.num_chunks(), capacity = arena.capacity(), high = arena.high_water();
  EXPECT_GT(chunks, 1U);
  EXPECT_LT(chunks, 10U);  // they grow geometrically
  EXPECT_GE(high, 40U * 200U * 8U + 80000U);
  EXPECT_LE(high, capacity);
  for (int k = 0; k < 3; ++k) step();
  EXPECT_EQ(arena.num_chunks(), chunks);
  EXPECT_EQ(arena.capacity(), capacity);
  EXPECT_LE(arena.high_water(), capacity);
}

TEST(Arena, PiecesStayWhereTheyAreWhenTheArenaGrows) {
  Arena arena(1024);
  const auto a = arena.array<int>(16);
  Kokkos::deep_copy(a, 7);
  const int* place = a.data();
  for (int i = 0; i < 20; ++i) arena.array<double>(1000);
  EXPECT_EQ(a.data(), place);
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), a);
  for (int i = 0; i < 16; ++i) EXPECT_EQ(host(i), 7);
}

TEST(Arena, ReleasesOutOfOrderAreRefused) {
  Arena arena(1024);
  arena.array<double>(10);
  const auto low = arena.mark();
  arena.array<double>(500);  // in a second chunk
  const auto high = arena.mark();
  arena.release(low);
  EXPECT_THROW(arena.release(high), Error);
  arena.release(low);  // releasing nothing is no mistake
  const auto again = arena.mark();
  EXPECT_EQ(again.chunk, low.chunk);
  EXPECT_EQ(again.used, low.used);
}

TEST(Arena, HighWaterMark) {
  Arena arena(1 << 20);
  EXPECT_EQ(arena.high_water(), 0U);
  {
    const ArenaFrame frame(arena);
    arena.array<char>(1000);
  }
  arena.array<char>(100);
  EXPECT_GE(arena.high_water(), 1000U);
  EXPECT_LT(arena.high_water(), 1100U);
  arena.reset();
  EXPECT_GE(arena.high_water(), 1000U);
}

}  // namespace
}  // namespace gnn_hpc
