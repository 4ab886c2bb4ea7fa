// SPDX-License-Identifier: Apache-2.0
#include "graph/loader.hpp"

#include "base/subnormals.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>

namespace gnn_hpc {
namespace {

struct TestBatch {
  std::int64_t number = -1;
  std::vector<int> data;
};

TEST(Loader, DeliversEveryBatchInOrderFromReusedStorage) {
  std::atomic<int> made{0};
  Loader<TestBatch> loader(
      50,
      [&] {
        ++made;
        return std::make_unique<TestBatch>();
      },
      [](std::int64_t b, TestBatch& out) {
        out.number = b;
        out.data.assign(1000, static_cast<int>(b));
      });
  std::int64_t expected = 0;
  while (const TestBatch* batch = loader.next()) {
    EXPECT_EQ(loader.position(), expected);
    EXPECT_EQ(batch->number, expected);
    for (const int x : batch->data) ASSERT_EQ(x, static_cast<int>(expected));
    ++expected;
  }
  EXPECT_EQ(expected, 50);
  EXPECT_EQ(loader.next(), nullptr);
  EXPECT_EQ(made, 3);
}

TEST(Loader, ReadsAhead) {
  std::atomic<std::int64_t> filled{0};
  Loader<TestBatch> loader(
      10, [] { return std::make_unique<TestBatch>(); }, [&](std::int64_t, TestBatch&) { ++filled; });
  ASSERT_NE(loader.next(), nullptr);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (filled < 3 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(filled, 3);  // the one in use and two more, not the whole epoch
}

TEST(Loader, StartsInTheMiddle) {
  Loader<TestBatch> loader(
      5, [] { return std::make_unique<TestBatch>(); }, [](std::int64_t b, TestBatch& out) { out.number = b; }, 3);
  EXPECT_EQ(loader.next()->number, 3);
  EXPECT_EQ(loader.next()->number, 4);
  EXPECT_EQ(loader.next(), nullptr);
}

TEST(Loader, ItsThreadTakesSubnormalNumbersForZeroAsTheOneThatStartsIt) {
  if (!can_flush_subnormals()) GTEST_SKIP() << "not known how on this processor";
  for (const bool flush : {false, true}) {
    flush_subnormals(flush);
    std::atomic<int> flushing{0};
    Loader<TestBatch> loader(
        3, [] { return std::make_unique<TestBatch>(); }, [&](std::int64_t, TestBatch&) { flushing += flushes_subnormals() ? 1 : 0; });
    while (loader.next() != nullptr) {
    }
    EXPECT_EQ(flushing, flush ? 3 : 0);
  }
}

TEST(Loader, NothingToLoad) {
  Loader<TestBatch> loader(
      0, [] { return std::make_unique<TestBatch>(); }, [](std::int64_t, TestBatch&) {});
  EXPECT_EQ(loader.next(), nullptr);
}

TEST(Loader, ErrorArrivesWithItsBatch) {
  Loader<TestBatch> loader(
      10, [] { return std::make_unique<TestBatch>(); },
      [](std::int64_t b, TestBatch& out) {
        if (b == 2) throw Error(Exit::data, "block 17 is damaged");
        out.number = b;
      });
  EXPECT_EQ(loader.next()->number, 0);
  EXPECT_EQ(loader.next()->number, 1);
  EXPECT_THROW(loader.next(), Error);
  EXPECT_THROW(loader.next(), Error);
}

TEST(Loader, EarlyDestructionStopsTheThread) {
  for (int repeat = 0; repeat < 50; ++repeat) {
    Loader<TestBatch> loader(
        1000000, [] { return std::make_unique<TestBatch>(); }, [](std::int64_t b, TestBatch& out) { out.number = b; });
    if (repeat % 2 == 0) {
      EXPECT_EQ(loader.next()->number, 0);
    }
  }
}

}  // namespace
}  // namespace gnn_hpc
