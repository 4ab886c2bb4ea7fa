// SPDX-License-Identifier: Apache-2.0
#include "graph/cache_build.hpp"

#include "base/signals.hpp"
#include "base/subnormals.hpp"
#include "graph/cache_lock.hpp"
#include "graph/cache_source.hpp"
#include "io/hdf5.hpp"
#include "support/paths.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <numeric>
#include <random>
#include <sstream>
#include <thread>

namespace gnn_hpc {
namespace {

namespace fs = std::filesystem;
using test::content_of;
using test::number_request;
using test::NumberOptions;
using Log = std::vector<std::string>;

int times_built(const Log& log) { return static_cast<int>(std::count(log.begin(), log.end(), "built")); }

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> out;
  for (const auto& entry : fs::directory_iterator(folder)) out.push_back(entry.path().filename().string());
  std::sort(out.begin(), out.end());
  return out;
}

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

void put(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

/// Runs this program again as another process that builds or opens the cache of `options` in `folder`.
pid_t start_process(const fs::path& folder, const NumberOptions& options, int delay_us) {
  const std::string job = fmt::format("{} {} {} {} {}", options.count, options.seed, options.bad_every, delay_us, folder.string());
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setenv("GNN_HPC_TEST_CACHE_JOB", job.c_str(), 1);
    if (!std::freopen("/dev/null", "w", stdout)) _exit(9);
    ::execl("/proc/self/exe", "cache", "--gtest_filter=CacheProcess.Job", static_cast<char*>(nullptr));
    _exit(9);
  }
  return pid;
}

int exit_of(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(CacheProcess, Job) {
  const char* job = std::getenv("GNN_HPC_TEST_CACHE_JOB");
  if (job == nullptr) GTEST_SKIP() << "only run by the other tests";
  std::istringstream in(job);
  NumberOptions options;
  int delay_us = 0;
  std::string folder;
  in >> options.count >> options.seed >> options.bad_every >> delay_us >> folder;
  if (delay_us > 0) options.hook = [=](std::int64_t) { ::usleep(static_cast<useconds_t>(delay_us)); };
  Log log;
  const auto cache = open_or_build(number_request(folder, options, &log), Comm::self());
  std::ofstream(folder + fmt::format("/result.{}", ::getpid())) << times_built(log) << ' ' << content_of(*cache) << '\n';
}

TEST(Cache, HoldsWhatWasPut) {
  const test::TemporaryFolder folder;
  const NumberOptions options;
  const auto cache = open_or_build(number_request(folder.path(), options), Comm::self());
  ASSERT_EQ(cache->num_samples(), 2940);
  EXPECT_EQ(cache->num_records(), 3000);
  ASSERT_EQ(cache->skipped().size(), 60U);
  EXPECT_EQ(cache->skipped()[0].record, 49);
  EXPECT_EQ(cache->skipped()[0].bad.line, 50);
  EXPECT_EQ(cache->skipped()[0].bad.reason, "made to be bad");
  const auto targets = cache->resident(0);
  for (std::int64_t s = 0; s < cache->num_samples(); s += 17) {
    const auto expected = test::number_sample(1, cache->record(s));
    EXPECT_EQ(cache->id(s), "n" + std::to_string(cache->record(s)));
    ASSERT_EQ(cache->num_nodes(s), static_cast<std::int64_t>(expected.z.size()));
    ASSERT_EQ(cache->num_edges(s), static_cast<std::int64_t>(expected.u.size()));
    EXPECT_EQ(targets[static_cast<std::size_t>(2 * s + 1)], expected.target[1]);
    std::vector<double> frame(9), position(expected.position.size());
    std::vector<std::uint8_t> z(expected.z.size());
    std::vector<std::int32_t> u(expected.u.size());
    std::vector<std::int16_t> image(expected.image.size());
    const std::vector<std::int64_t> one{s};
    cache->read<double>(1, one, frame);
    cache->read<std::uint8_t>(2, one, z);
    cache->read<double>(3, one, position);
    cache->read<std::int32_t>(4, one, u);
    cache->read<std::int16_t>(5, one, image);
    EXPECT_EQ(frame, expected.frame);
    EXPECT_EQ(z, expected.z);
    EXPECT_EQ(position, expected.position);
    EXPECT_EQ(u, expected.u);
    EXPECT_EQ(image, expected.image);
  }
  // Many at once, out of order, with runs of neighbours.
  const std::vector<std::int64_t> some{7, 8, 9, 100, 3, 4};
  std::vector<std::int16_t> image;
  std::size_t size = 0;
  for (const auto s : some) {
    const auto expected = test::number_sample(1, cache->record(s));
    image.insert(image.end(), expected.image.begin(), expected.image.end());
    size += expected.image.size();
  }
  std::vector<std::int16_t> read(size);
  cache->read<std::int16_t>(5, some, read);
  EXPECT_EQ(read, image);
  std::vector<std::int16_t> wrong(size + 1);
  EXPECT_THROW(cache->read<std::int16_t>(5, some, wrong), Error);
}

TEST(Cache, IntegersAreStoredNarrow) {
  const test::TemporaryFolder folder;
  NumberOptions options;
  const auto wide = open_or_build(number_request(folder.path(), options), Comm::self());
  EXPECT_EQ(Hdf5Reader(wide->path()).dtype("/edge/image"), DType::i8);
  EXPECT_EQ(Hdf5Reader(wide->path()).dtype("/edge/u"), DType::i32);  // record 1234
  options.count = 1000;
  const auto narrow = open_or_build(number_request(folder.path(), options), Comm::self());
  EXPECT_EQ(Hdf5Reader(narrow->path()).dtype("/edge/u"), DType::u8);
}

TEST(Cache, SecondRunHitsAndLeavesNothingBeside) {
  const test::TemporaryFolder folder;
  Log log;
  const auto request = number_request(folder.path(), {}, &log);
  const auto first = open_or_build(request, Comm::self());
  EXPECT_EQ(times_built(log), 1);
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{fs::path(first->path()).filename().string()});
  const auto second = open_or_build(request, Comm::self());
  EXPECT_EQ(times_built(log), 1);
  EXPECT_EQ(content_of(*first), content_of(*second));
}

TEST(Cache, AnotherProcessHits) {
  const test::TemporaryFolder folder;
  const NumberOptions options;
  ASSERT_EQ(exit_of(start_process(folder.path(), options, 0)), 0);
  Log log;
  const auto cache = open_or_build(number_request(folder.path(), options, &log), Comm::self());
  EXPECT_EQ(times_built(log), 0);
  const pid_t pid = start_process(folder.path(), options, 0);
  ASSERT_EQ(exit_of(pid), 0);
  EXPECT_EQ(bytes_of(folder / fmt::format("result.{}", pid)), "0 " + content_of(*cache) + "\n");
}

TEST(Cache, AnyChangeMissesAndSaysWhy) {
  const test::TemporaryFolder folder;
  Log log;
  open_or_build(number_request(folder.path(), {}, &log), Comm::self());
  NumberOptions other;
  other.seed = 2;
  log.clear();
  open_or_build(number_request(folder.path(), other, &log), Comm::self());
  EXPECT_EQ(times_built(log), 1);
  ASSERT_FALSE(log.empty());
  EXPECT_NE(log[0].find("seed: 1 there, 2 here"), std::string::npos) << log[0];
  auto request = number_request(folder.path(), {}, &log);
  request.schema.version = 2;
  request.key = [s = request.schema] {
    CacheKey key(s);
    key.field("count", std::int64_t{3000});
    key.field("seed", std::int64_t{1});
    key.field("bad_every", std::int64_t{50});
    return key;
  };
  log.clear();
  open_or_build(request, Comm::self());
  EXPECT_EQ(times_built(log), 1);
  EXPECT_EQ(names_in(folder.path()).size(), 3U);  // side by side
}

TEST(Cache, FilesEnterTheKeyByContentNameAndOrder) {
  const test::TemporaryFolder folder;
  const std::string a = folder / "a.cif", b = folder / "b.cif", moved = folder / "sub";
  put(a, "first");
  put(b, "second");
  const auto hex = [](const std::vector<std::string>& files) {
    CacheKey key{test::number_schema()};
    key.files("files", files);
    return key.hex();
  };
  const std::string before = hex({a, b});
  EXPECT_EQ(before, hex({a, b}));
  EXPECT_NE(before, hex({b, a}));
  EXPECT_NE(before, hex({a}));
  fs::create_directories(moved);
  fs::copy(a, moved);
  fs::copy(b, moved);
  EXPECT_EQ(before, hex({moved + "/a.cif", moved + "/b.cif"}));
  put(b, "secone");
  EXPECT_NE(before, hex({a, b}));
  EXPECT_THROW(hex({folder / "none"}), Error);
}

TEST(Cache, ListsOfTextsDoNotCollide) {
  CacheKey a, b;
  a.field("targets", std::vector<std::string>{"x\", \"y"});
  b.field("targets", std::vector<std::string>{"x", "y"});
  EXPECT_NE(a.hex(), b.hex());
  EXPECT_EQ(b.fields()[0].second, "[\"x\", \"y\"]");
}

TEST(Cache, TooManyBadRecords) {
  const test::TemporaryFolder folder;
  auto request = number_request(folder.path(), {});
  request.max_bad_fraction = 0.01;
  for (int run = 0; run < 2; ++run) {  // building, then from the cache
    try {
      open_or_build(request, Comm::self());
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::data);
      EXPECT_NE(std::string(error.what()).find("60 of 3000"), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("numbers.txt:50: n49: made to be bad"), std::string::npos) << error.what();
    }
  }
  request.max_bad_fraction = 0.02;
  EXPECT_NO_THROW(open_or_build(request, Comm::self()));
}

TEST(Cache, NoUsableRecordIsAnError) {
  const test::TemporaryFolder folder;
  NumberOptions options;
  options.bad_every = 1;
  auto request = number_request(folder.path(), options);
  request.max_bad_fraction = 1.0;
  EXPECT_THROW(open_or_build(request, Comm::self()), Error);
  options.count = 0;
  request = number_request(folder.path(), options);
  EXPECT_THROW(open_or_build(request, Comm::self()), Error);
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(Cache, OneSample) {
  const test::TemporaryFolder folder;
  NumberOptions options;
  options.count = 1;
  const auto cache = open_or_build(number_request(folder.path(), options), Comm::self());
  EXPECT_EQ(cache->num_samples(), 1);
  EXPECT_EQ(cache->id(0), "n0");
}

TEST(Cache, PartsOfExactSizes) {
  for (const std::int64_t count : {63, 64, 65, 1023, 1024, 1025, 2048}) {
    const test::TemporaryFolder folder;
    NumberOptions options;
    options.count = count;
    options.bad_every = 1000000;
    const auto cache = open_or_build(number_request(folder.path(), options), Comm::self());
    ASSERT_EQ(cache->num_samples(), count);
    for (std::int64_t s = 0; s < count; ++s) ASSERT_EQ(cache->record(s), s);
  }
}

TEST(Cache, ContentDoesNotDependOnThreads) {
  std::string expected;
  for (const int threads : {1, 2, 5}) {
    const test::TemporaryFolder folder;
    auto request = number_request(folder.path(), {});
    request.threads = threads;
    const std::string content = content_of(*open_or_build(request, Comm::self()));
    if (expected.empty()) expected = content;
    EXPECT_EQ(content, expected) << threads;
  }
}

TEST(Cache, IsBuiltWithSubnormalNumbersWhateverTheRunDoes) {
  const bool flushed = flushes_subnormals();
  ASSERT_EQ(flushed, can_flush_subnormals());
  const test::TemporaryFolder folder;
  std::atomic<int> converted{0}, flushing{0};
  NumberOptions options;
  options.count = 200;
  options.hook = [&](std::int64_t) {
    ++converted;
    flushing += flushes_subnormals() ? 1 : 0;
  };
  open_or_build(number_request(folder.path(), options), Comm());
  EXPECT_EQ(converted, 200);
  EXPECT_EQ(flushing, 0);
  EXPECT_EQ(flushes_subnormals(), flushed) << "as before";
}

TEST(Cache, ErrorInAWorkerEndsTheBuild) {
  const test::TemporaryFolder folder;
  NumberOptions options;
  options.hook = [](std::int64_t i) {
    if (i == 1500) throw Error(Exit::data, "the file vanished");
  };
  EXPECT_THROW(open_or_build(number_request(folder.path(), options), Comm::self()), Error);
  options.hook = nullptr;
  EXPECT_EQ(open_or_build(number_request(folder.path(), options), Comm::self())->num_samples(), 2940);
  EXPECT_EQ(names_in(folder.path()).size(), 1U);
}

TEST(Cache, InterruptedBuildResumesFromFinishedParts) {
  const test::TemporaryFolder folder;
  NumberOptions options;
  options.count = 6000;
  options.hook = [](std::int64_t i) {
    if (i == 5500) throw Error(Exit::data, "stop");
  };
  EXPECT_THROW(open_or_build(number_request(folder.path(), options), Comm::self()), Error);
  std::atomic<int> converted{0};
  options.hook = [&](std::int64_t) { ++converted; };
  const auto cache = open_or_build(number_request(folder.path(), options), Comm::self());
  EXPECT_LT(converted, 6000 - 3 * 1024);
  EXPECT_GT(converted, 0);
  const test::TemporaryFolder fresh;
  options.hook = nullptr;
  EXPECT_EQ(content_of(*cache), content_of(*open_or_build(number_request(fresh.path(), options), Comm::self())));
}

TEST(Cache, SignalStopsTheBuildAndKeepsFinishedParts) {
  const test::TemporaryFolder folder;
  install_signal_handlers();
  NumberOptions options;
  options.count = 6000;
  options.hook = [](std::int64_t i) {
    if (i == 3500) std::raise(SIGTERM);
    if (i >= 3500) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  };
  try {
    open_or_build(number_request(folder.path(), options), Comm::self());
    ADD_FAILURE() << "the build went on to its end";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::stopped);
    EXPECT_NE(std::string(error.what()).find("SIGTERM"), std::string::npos) << error.what();
  }
  clear_stop_request();
  std::atomic<int> converted{0};
  options.hook = [&](std::int64_t) { ++converted; };
  EXPECT_EQ(open_or_build(number_request(folder.path(), options), Comm::self())->num_records(), 6000);
  EXPECT_LE(converted, 6000 - 3 * 1024);
}

/// What stops a phase is asked for in every one of them: here the flag is set before, and nothing may be begun; the lock of another machine may not
/// be waited for (for ever: its time lies in the future), nor touched.
TEST(Cache, ASignalEndsTheWaitForALock) {
  const test::TemporaryFolder folder;
  const NumberOptions options;
  std::string name;
  {
    const test::TemporaryFolder other;
    name = fs::path(open_or_build(number_request(other.path(), options), Comm::self())->path()).filename().string();
  }
  const std::string lock = folder / (name + ".lock");
  put(lock, "another-machine 17\n");
  fs::last_write_time(lock, fs::file_time_type::clock::now() + std::chrono::hours(24));
  install_signal_handlers();
  std::atomic<bool> ended{false};
  std::thread sender([&] {  // once the wait has been told of
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    std::raise(SIGTERM);
    for (int i = 0; i < 300 && !ended; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (!ended) std::_Exit(9);  // it would wait for ever
  });
  Log log;
  try {
    open_or_build(number_request(folder.path(), options, &log), Comm::self());
    ADD_FAILURE() << "built under the lock of another one";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::stopped);
    EXPECT_NE(std::string(error.what()).find("waiting for \"another-machine 17\""), std::string::npos) << error.what();
  }
  ended = true;
  sender.join();
  clear_stop_request();
  EXPECT_EQ(bytes_of(lock), "another-machine 17\n");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{name + ".lock"});
}

/// The input is hashed again before the parts are joined; a signal then leaves the parts and no cache.
TEST(Cache, ASignalDuringTheJoinKeepsTheParts) {
  const test::TemporaryFolder folder;
  install_signal_handlers();
  NumberOptions options;
  auto request = number_request(folder.path(), options);
  int keys = 0;
  request.key = [key = request.key, &keys] {
    if (++keys == 2) std::raise(SIGTERM);
    return key();
  };
  try {
    open_or_build(request, Comm::self());
    ADD_FAILURE() << "joined";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::stopped);
    EXPECT_NE(std::string(error.what()).find("joining"), std::string::npos) << error.what();
  }
  clear_stop_request();
  const auto left = names_in(folder.path());
  ASSERT_EQ(left.size(), 1U);
  EXPECT_TRUE(left[0].ends_with(".parts")) << left[0];
  std::atomic<int> converted{0};
  options.hook = [&](std::int64_t) { ++converted; };
  EXPECT_EQ(open_or_build(number_request(folder.path(), options), Comm::self())->num_records(), 3000);
  EXPECT_EQ(converted, 0);
}

TEST(Cache, ASignalEndsTheHashingOfAnInput) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "endless";
  put(path, "x");
  fs::resize_file(path, std::uintmax_t{1} << 42);  // no room on the disk, an hour to read
  install_signal_handlers();
  std::atomic<bool> ended{false};
  std::thread sender([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    std::raise(SIGUSR1);
    for (int i = 0; i < 300 && !ended; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (!ended) std::_Exit(9);
  });
  CacheKey key;
  try {
    key.files("data.files", {path});
    ADD_FAILURE() << "hashed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::stopped);
    EXPECT_NE(std::string(error.what()).find("endless: stopped by SIGUSR1"), std::string::npos) << error.what();
  }
  ended = true;
  sender.join();
  clear_stop_request();
}

/// RDKit knows no way to stop. The build ends while one record is still being converted, and its worker owns what it uses.
TEST(Cache, ARecordThatTakesMinutesDoesNotHoldUpTheEnd) {
  const test::TemporaryFolder folder;
  install_signal_handlers();
  const auto release = std::make_shared<std::atomic<bool>>(false), left = std::make_shared<std::atomic<bool>>(false);
  NumberOptions options;
  options.hook = [release, left](std::int64_t i) {
    if (i != 2000) return;
    std::raise(SIGTERM);
    for (int n = 0; n < 6000 && !*release; ++n) std::this_thread::sleep_for(std::chrono::milliseconds(10));  // a minute
    *left = true;
  };
  EXPECT_THROW(open_or_build(number_request(folder.path(), options), Comm::self()), Error);
  EXPECT_FALSE(*left) << "the build waited for the record";
  clear_stop_request();
  *release = true;
  for (int n = 0; n < 1000 && !*left; ++n) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(*left);
  options.hook = nullptr;
  EXPECT_EQ(open_or_build(number_request(folder.path(), options), Comm::self())->num_records(), 3000);
}

TEST(Cache, DamagedPartIsBuiltAgain) {
  const test::TemporaryFolder folder;
  NumberOptions options;
  options.count = 6000;
  options.hook = [](std::int64_t i) {
    if (i == 5500) throw Error(Exit::data, "stop");
  };
  EXPECT_THROW(open_or_build(number_request(folder.path(), options), Comm::self()), Error);
  int damaged = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder.path())) {
    if (entry.path().filename().string().starts_with("part_0000001")) {
      std::string bytes = bytes_of(entry.path());
      bytes[bytes.size() / 2] ^= 1;
      put(entry.path(), bytes);
      ++damaged;
    }
  }
  ASSERT_EQ(damaged, 1);
  options.hook = nullptr;
  const auto cache = open_or_build(number_request(folder.path(), options), Comm::self());
  const test::TemporaryFolder fresh;
  EXPECT_EQ(content_of(*cache), content_of(*open_or_build(number_request(fresh.path(), options), Comm::self())));
}

TEST(Cache, KilledAtRandomMomentsItResumes) {
  const test::TemporaryFolder folder;
  NumberOptions options;
  options.count = 5000;
  std::mt19937 random(3);
  int killed = 0;
  for (int i = 0; i < 12; ++i) {
    const pid_t pid = start_process(folder.path(), options, 20);
    std::this_thread::sleep_for(std::chrono::microseconds(20000 + random() % 150000));
    ::kill(pid, SIGKILL);
    if (exit_of(pid) != 0) ++killed;
  }
  EXPECT_GT(killed, 0);
  const auto cache = open_or_build(number_request(folder.path(), options), Comm::self());
  const test::TemporaryFolder fresh;
  EXPECT_EQ(content_of(*cache), content_of(*open_or_build(number_request(fresh.path(), options), Comm::self())));
  for (const auto& name : names_in(folder.path())) {
    EXPECT_TRUE(name.starts_with("result.") || name.ends_with(".h5")) << name;
  }
}

TEST(Cache, TwoProcessesNeverMix) {
  for (int repeat = 0; repeat < 3; ++repeat) {
    const test::TemporaryFolder folder;
    NumberOptions options;
    options.count = 4000;
    const pid_t a = start_process(folder.path(), options, 20), b = start_process(folder.path(), options, 20);
    EXPECT_EQ(exit_of(a), 0);
    EXPECT_EQ(exit_of(b), 0);
    const std::string one = bytes_of(folder / fmt::format("result.{}", a)), two = bytes_of(folder / fmt::format("result.{}", b));
    EXPECT_EQ(one.substr(1), two.substr(1));
    EXPECT_EQ((one[0] - '0') + (two[0] - '0'), 1) << "one of them waits and uses the result of the other";
  }
}

TEST(Cache, TwoThreadsNeverMix) {
  const test::TemporaryFolder folder;
  NumberOptions options;
  options.hook = [](std::int64_t) { ::usleep(20); };
  std::string content[2];
  Log log[2];
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] { content[t] = content_of(*open_or_build(number_request(folder.path(), options, &log[t]), Comm::self())); });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(content[0], content[1]);
  EXPECT_EQ(times_built(log[0]) + times_built(log[1]), 1);
}

TEST(Cache, EveryTruncationIsFoundAndRepaired) {
  const test::TemporaryFolder folder;
  NumberOptions options;
  options.count = 200;
  const auto request = number_request(folder.path(), options);
  const std::string path = open_or_build(request, Comm::self())->path(), whole = bytes_of(path);
  std::mt19937_64 random(5);
  for (int i = 0; i < 100; ++i) {
    put(path, whole.substr(0, random() % whole.size()));
    EXPECT_THROW(GraphCache{path}, Error);
  }
  Log log;
  const auto repaired = open_or_build(number_request(folder.path(), options, &log), Comm::self());
  EXPECT_EQ(times_built(log), 1);
  EXPECT_NE(log[0].find("damaged"), std::string::npos);
  auto read_only = request;
  read_only.read_only = true;
  put(path, whole.substr(0, whole.size() / 2));
  EXPECT_THROW(open_or_build(read_only, Comm::self()), Error);
}

TEST(Cache, EveryFlippedBitIsFoundBeforeUse) {
  const test::TemporaryFolder folder;
  NumberOptions options;
  options.count = 2000;
  const std::string path = open_or_build(number_request(folder.path(), options), Comm::self())->path(), whole = bytes_of(path);
  std::mt19937_64 random(6);
  int lazily = 0;
  for (int i = 0; i < 1000; ++i) {
    std::string broken = whole;
    const std::size_t bit = random() % (8 * whole.size());
    broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << (bit % 8)));
    put(path, broken);
    try {
      const GraphCache cache(path);
      ++lazily;
      content_of(cache);
      FAIL() << "bit " << bit;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos);
    }
    fs::remove(path + ".damaged");
  }
  EXPECT_GT(lazily, 100);
}

TEST(Cache, LazyDamageNamesTheDatasetAndIsBuiltAnewNextTime) {
  const test::TemporaryFolder folder;
  const NumberOptions options;
  const auto request = number_request(folder.path(), options);
  const std::string path = open_or_build(request, Comm::self())->path();
  std::string bytes = bytes_of(path);
  const RawExtent extent = Hdf5Reader(path).extent("/edge/image");
  bytes[static_cast<std::size_t>(extent.offset + extent.bytes - 5)] ^= 8;
  put(path, bytes);
  {
    const auto cache = open_or_build(request, Comm::self());
    std::vector<std::int16_t> image(static_cast<std::size_t>(3 * cache->num_edges(0)));
    const std::vector<std::int64_t> first{0}, last{cache->num_samples() - 1};
    cache->read<std::int16_t>(5, first, image);
    image.resize(static_cast<std::size_t>(3 * cache->num_edges(last[0])));
    try {
      cache->read<std::int16_t>(5, last, image);
      FAIL();
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("/edge/image"), std::string::npos) << error.what();
      EXPECT_EQ(error.code(), Exit::data);
    }
  }
  Log log;
  open_or_build(number_request(folder.path(), options, &log), Comm::self())->verify_all();
  EXPECT_EQ(times_built(log), 1);
}

TEST(Cache, InputThatChangesDuringTheBuildIsAnError) {
  const test::TemporaryFolder folder;
  auto request = number_request(folder.path(), {});
  int calls = 0;
  request.key = [&] {
    CacheKey key(test::number_schema());
    key.field("digest", std::int64_t{calls++});
    return key;
  };
  EXPECT_THROW(open_or_build(request, Comm::self()), Error);
}

TEST(Cache, ReadOnlyNeverBuilds) {
  const test::TemporaryFolder folder;
  auto request = number_request(folder.path(), {});
  request.read_only = true;
  EXPECT_THROW(open_or_build(request, Comm::self()), Error);
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(Cache, ReportsProgress) {
  const test::TemporaryFolder folder;
  NumberOptions options;
  options.hook = [](std::int64_t) { ::usleep(300); };
  auto request = number_request(folder.path(), options);
  std::vector<BuildProgress> seen;
  request.progress = [&](const BuildProgress& p) { seen.push_back(p); };
  open_or_build(request, Comm::self());
  ASSERT_GE(seen.size(), 2U);
  EXPECT_TRUE(seen.back().finished);
  EXPECT_EQ(seen.back().records, 3000);
  EXPECT_EQ(seen.back().samples, 2940);
  EXPECT_EQ(seen.back().bad, 60);
  EXPECT_GT(seen.back().rate(), 0.0);
}

TEST(Cache, FullDisk) {
  const test::TemporaryFolder folder;
  const fs::path mount = folder / "small";
  fs::create_directories(mount);
  if (::geteuid() != 0 || std::system(("mount -t tmpfs -o size=300k tmpfs " + mount.string() + " 2>/dev/null").c_str()) != 0) {
    GTEST_SKIP() << "needs root to mount a small tmpfs";
  }
  try {
    open_or_build(number_request(mount, {}), Comm::self());
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::data);
    EXPECT_NE(std::string(error.what()).find("No space left"), std::string::npos) << error.what();
  }
  for (const auto& name : names_in(mount)) EXPECT_FALSE(name.ends_with(".h5")) << name;
  if (std::system(("umount " + mount.string()).c_str()) != 0) ADD_FAILURE() << "umount failed";
}

TEST(CacheLock, OneOwnerAndTakeOverOfTheDead) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "x.lock";
  {
    CacheLock a(path), b(path);
    EXPECT_TRUE(a.try_acquire());
    EXPECT_FALSE(b.try_acquire());
    EXPECT_NE(a.owner().find(std::to_string(::getpid())), std::string::npos);
    a.release();
    EXPECT_TRUE(b.try_acquire());
  }
  EXPECT_FALSE(fs::exists(path));
  put(path, "another-host 17\n");  // at work elsewhere, by all we know
  CacheLock c(path);
  EXPECT_FALSE(c.try_acquire());
  fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::seconds(CacheLock::kStaleSeconds + 5));
  EXPECT_TRUE(c.try_acquire());
}

/// Who looks at a lock that is just being made may get its flock before the owner does: the owner waits for it and is not taken for dead.
TEST(CacheLock, WhoLooksWhileItIsMadeDoesNotTakeItOver) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "x.lock";
  std::atomic<bool> end{false};
  std::thread looker([&] {
    while (!end) {
      const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
      if (fd < 0) continue;
      if (::flock(fd, LOCK_EX | LOCK_NB) == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
      ::close(fd);
    }
  });
  for (int i = 0; i < 400; ++i) {
    CacheLock owner(path), other(path);
    EXPECT_TRUE(owner.try_acquire());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_FALSE(other.try_acquire());
    EXPECT_FALSE(owner.lost());
  }
  end = true;
  looker.join();
}

/// A process that was suspended for longer than the limit wakes up to find its lock with another one.
TEST(CacheLock, WhoLostItLeavesTheNewOwnersFileAlone) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "x.lock";
  CacheLock lock(path);
  ASSERT_TRUE(lock.try_acquire());
  EXPECT_FALSE(lock.lost());
  fs::rename(path, folder / "aside");
  put(path, "another-machine 5\n");
  EXPECT_TRUE(lock.lost());
  EXPECT_THROW(lock.require_held(), Error);
  lock.release();
  EXPECT_EQ(bytes_of(path), "another-machine 5\n");
}

/// On file systems whose flocks are local, only the touches keep others away: they go on whatever the owner is at.
TEST(CacheLock, IsTouchedByAThreadThroughout) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "x.lock";
  CacheLock lock(path, 0.05);
  ASSERT_TRUE(lock.try_acquire());
  const auto long_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  fs::last_write_time(path, long_ago);
  for (int i = 0; i < 600 && fs::last_write_time(path) < long_ago + std::chrono::minutes(30); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_GT(fs::last_write_time(path), long_ago + std::chrono::minutes(30));
  fs::rename(path, folder / "aside");  // not another one's file
  put(path, "another-machine 5\n");
  fs::last_write_time(path, long_ago);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_EQ(fs::last_write_time(path), long_ago);
}

/// Containers on two machines may share a host name; a lock without a boot id, or with another one, is of another machine.
TEST(CacheLock, AnEqualHostNameIsNotTheSameMachine) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "x.lock";
  char host[256] = {};
  ASSERT_EQ(::gethostname(host, sizeof host - 1), 0);
  put(path, fmt::format("{} 999999999\nanother-boot\n", host));
  CacheLock lock(path);
  EXPECT_FALSE(lock.try_acquire()) << "it was touched a moment ago";
  fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::seconds(CacheLock::kStaleSeconds + 5));
  EXPECT_TRUE(lock.try_acquire());
  EXPECT_FALSE(lock.lost());
}

/// What the path names may be the good cache of another job that noticed the damage first.
TEST(Cache, OnlyTheFileThatWasReadIsSetAside) {
  const test::TemporaryFolder folder;
  const NumberOptions options;
  const auto cache = open_or_build(number_request(folder.path(), options), Comm::self());
  const std::string good = bytes_of(cache->path());
  {  // damage to the file that is open, under another name
    const std::int64_t offset = Hdf5Reader(cache->path()).extent("/node/position").offset;
    std::fstream file(cache->path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(offset + 5);
    file.put('\x7f');
  }
  fs::rename(cache->path(), folder / "aside");
  put(cache->path(), good);
  EXPECT_THROW(cache->verify_all(), Error);
  EXPECT_EQ(bytes_of(cache->path()), good);
  EXPECT_FALSE(fs::exists(cache->path() + ".damaged"));
}

}  // namespace
}  // namespace gnn_hpc
