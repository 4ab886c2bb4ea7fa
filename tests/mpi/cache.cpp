// SPDX-License-Identifier: Apache-2.0
// Run with 1, 2, 3 and 4 ranks: they build one cache together, and its content is that of one rank.
#include "graph/cache_build.hpp"

#include "base/signals.hpp"
#include "graph/cache_source.hpp"
#include "support/paths.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <thread>

namespace gnn_hpc {
namespace {

namespace fs = std::filesystem;
using test::content_of;
using test::number_request;
using test::NumberOptions;

/// One folder for all ranks, made by the root.
class SharedFolder {
 public:
  explicit SharedFolder(const Comm& comm) : comm_(comm) {
    if (comm.is_root()) {
      own_ = std::make_unique<test::TemporaryFolder>();
      path_ = own_->path().string();
    }
    comm.broadcast(path_);
  }
  ~SharedFolder() { comm_.barrier(); }
  const std::string& path() const { return path_; }

 private:
  const Comm& comm_;
  std::unique_ptr<test::TemporaryFolder> own_;
  std::string path_;
};

TEST(DistributedCache, EqualsTheOneOfOneRank) {
  const Comm comm = Comm::world();
  const SharedFolder folder(comm);
  NumberOptions options;
  options.count = 6500;  // 7 parts: uneven over 2, 3 and 4 ranks
  const auto cache = open_or_build(number_request(folder.path(), options), comm);
  const std::string content = content_of(*cache);
  for (const auto& text : comm.gather(content)) EXPECT_EQ(text, content);
  if (comm.is_root()) {
    const test::TemporaryFolder alone;
    EXPECT_EQ(content, content_of(*open_or_build(number_request(alone.path(), options), Comm::self())));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1) << "something was left beside the cache";
  }
}

TEST(DistributedCache, FewerPartsThanRanks) {
  const Comm comm = Comm::world();
  const SharedFolder folder(comm);
  NumberOptions options;
  options.count = 3;
  EXPECT_EQ(open_or_build(number_request(folder.path(), options), comm)->num_samples(), 3);
}

TEST(DistributedCache, AnErrorOnOneRankIsThrownByAll) {
  const Comm comm = Comm::world();
  const SharedFolder folder(comm);
  NumberOptions options;
  options.count = 6500;
  options.hook = [](std::int64_t i) {
    if (i == 1100) throw Error(Exit::data, "record 1100 broke");  // part 1: the second rank, if there is one
  };
  try {
    open_or_build(number_request(folder.path(), options), comm);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::data);
    EXPECT_STREQ(error.what(), "record 1100 broke");
  }
  options.hook = nullptr;  // and the next run goes on
  EXPECT_EQ(open_or_build(number_request(folder.path(), options), comm)->num_records(), 6500);
}

TEST(DistributedCache, RootOnlyErrorsReachAll) {
  const Comm comm = Comm::world();
  const SharedFolder folder(comm);
  auto request = number_request(folder.path(), {});
  request.key = []() -> CacheKey { throw Error(Exit::data, "no such input"); };
  EXPECT_THROW(open_or_build(request, comm), Error);
  request = number_request(folder.path(), {});
  request.max_bad_fraction = 0.0;
  EXPECT_THROW(open_or_build(request, comm), Error);
}

/// One rank is told to stop, or fails, while the others have work for minutes or wait for it: all end with the same error.
TEST(DistributedCache, AStopOrAnErrorAtOneRankReachesThoseAtWork) {
  const Comm comm = Comm::world();
  install_signal_handlers();
  for (const bool failure : {false, true}) {
    const SharedFolder folder(comm);
    NumberOptions options;
    options.count = 1024 * comm.size();  // a part each
    const bool last = comm.rank() == comm.size() - 1;
    const auto sleepers = std::make_shared<std::atomic<bool>>(true);
    options.hook = [=](std::int64_t i) {
      if (last && i % 1024 == 10 && failure) throw Error(Exit::data, "a record broke");
      if (last && i % 1024 == 10) std::raise(SIGTERM);
      if (i % 1024 == 700) {
        for (int n = 0; n < 12000 && *sleepers; ++n) std::this_thread::sleep_for(std::chrono::milliseconds(10));  // two minutes
      }
    };
    const auto begin = std::chrono::steady_clock::now();
    try {
      open_or_build(number_request(folder.path(), options), comm);
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), failure ? Exit::data : Exit::stopped);
      EXPECT_NE(std::string(error.what()).find(failure ? "a record broke" : "SIGTERM"), std::string::npos) << error.what();
    }
    EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), 60.0);
    *sleepers = false;
    clear_stop_request();
    comm.barrier();
    options.hook = nullptr;
    EXPECT_EQ(open_or_build(number_request(folder.path(), options), comm)->num_records(), options.count);
  }
}

/// The root waits for a lock, hashes, joins: the signal may come to any other rank.
TEST(DistributedCache, ASignalAtTheLastRankEndsTheWaitOfTheRoot) {
  const Comm comm = Comm::world();
  install_signal_handlers();
  const SharedFolder folder(comm);
  auto request = number_request(folder.path(), {});
  request.key = [key = request.key] {
    for (int n = 0; n < 12000 && !stop_wanted(); ++n) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    throw_if_stop_wanted("the slow input");
    return key();
  };
  if (comm.rank() == comm.size() - 1) std::raise(SIGUSR2);
  try {
    open_or_build(request, comm);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::stopped);
    EXPECT_STREQ(error.what(), "the slow input: stopped by SIGUSR2; nothing was written, start the same command again");
  }
  clear_stop_request();
}

}  // namespace
}  // namespace gnn_hpc
