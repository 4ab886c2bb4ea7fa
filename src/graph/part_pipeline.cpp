// SPDX-License-Identifier: Apache-2.0
#include "graph/part_pipeline.hpp"

#include "base/error.hpp"
#include "base/signals.hpp"
#include "base/subnormals.hpp"
#include "base/threads.hpp"
#include "graph/cache_parts.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

namespace gnn_hpc {

namespace {

constexpr std::int64_t kChunkRecords = 64;
constexpr auto kTick = std::chrono::milliseconds(200);
constexpr auto kPatience = std::chrono::milliseconds(400);
using Clock = std::chrono::steady_clock;

struct Chunk {
  std::int64_t part = 0, slot = 0, first_record = 0;
  std::vector<std::unique_ptr<RecordSource::Record>> records;
};

struct Part {
  std::int64_t chunks = -1;  ///< -1 until the reader has passed the end of the part
  std::int64_t records = 0, done = 0;
  std::map<std::int64_t, SampleBlock> blocks;  ///< by slot
};

/// Owned by the thread that reads and by every worker: one that is in a library when the build shall end (RDKit may think about a single molecule for
/// minutes, and knows no way to stop) is left to itself, with all that it uses, and the program ends without it.
class Pipeline : public std::enable_shared_from_this<Pipeline> {
 public:
  Pipeline(std::shared_ptr<RecordSource> source, const Schema& schema, std::string folder, std::string key, int threads,
           const std::function<void(const BuildProgress&)>& tick)
      : source_(std::move(source)),
        schema_(schema),
        folder_(std::move(folder)),
        key_(std::move(key)),
        tick_(tick),
        queue_limit_(4 * static_cast<std::size_t>(threads)),
        num_threads_(threads) {}

  void start() {
    for (int t = 0; t < num_threads_; ++t) {
      const std::lock_guard<std::mutex> lock(mutex_);
      workers_.emplace_back([self = shared_from_this()] { self->work(); });
      ++alive_;
    }
  }

  /// Ends the workers after the record each is at, or leaves them after `kPatience`.
  void end() {
    std::unique_lock<std::mutex> lock(mutex_);
    stopping_ = true;
    work_.notify_all();
    const bool all = room_.wait_for(lock, kPatience, [this] { return alive_ == 0; });
    lock.unlock();
    for (auto& w : workers_) all ? w.join() : w.detach();
    workers_.clear();
    if (!all) note_abandoned_thread();
  }

  std::int64_t run(int rank, int ranks) {
    std::int64_t part = 0;
    for (bool more = true; more;) {
      const bool mine = part % ranks == rank && !part_is_good(folder_, key_, part);
      const std::int64_t count = mine ? read_part(part) : skip_part();
      more = count == kPartRecords;
      if (count > 0 || part == 0) ++part;  // an empty source still has one, empty, part
    }
    drain();
    return part;
  }

 private:
  std::int64_t read_part(std::int64_t part) {
    std::int64_t count = 0, chunks = 0;
    while (count < kPartRecords) {
      Chunk chunk{part, chunks, records_, take_records()};
      std::size_t n = 0;
      while (n < chunk.records.size() && source_->next(*chunk.records[n])) ++n;
      const bool full = n == chunk.records.size();
      chunk.records.resize(n);
      count += static_cast<std::int64_t>(n);
      records_ += static_cast<std::int64_t>(n);
      if (n > 0) {
        ++chunks;
        push(std::move(chunk));
      }
      if (!full) break;
    }
    if (count > 0 || part == 0) finish_part(part, chunks, count);
    return count;
  }

  std::int64_t skip_part() {
    const auto record = source_->new_record();
    std::int64_t count = 0;
    while (count < kPartRecords && source_->next(*record)) {
      ++count;
      ++records_;
      if (count % kChunkRecords == 0) report();
    }
    return count;
  }

  std::vector<std::unique_ptr<RecordSource::Record>> take_records() {
    // New ones each time: a record that is used again keeps the room of the longest text it ever held, and with time every one of them had one.
    std::vector<std::unique_ptr<RecordSource::Record>> records;
    for (std::int64_t i = 0; i < kChunkRecords; ++i) records.push_back(source_->new_record());
    return records;
  }

  void push(Chunk chunk) {
    report();
    std::unique_lock<std::mutex> lock(mutex_);
    while (queue_.size() >= queue_limit_ && !error_) {
      room_.wait_for(lock, kTick);
      lock.unlock();
      report();
      lock.lock();
    }
    if (error_) std::rethrow_exception(error_);
    queue_.push_back(std::move(chunk));
    work_.notify_one();
  }

  void finish_part(std::int64_t part, std::int64_t chunks, std::int64_t records) {
    Part complete;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      Part& p = parts_[part];
      p.chunks = chunks;
      p.records = records;
      if (p.done != chunks) return;  // a worker will write it
      complete = std::move(p);
      parts_.erase(part);
    }
    write(part, complete);
  }

  void write(std::int64_t part, Part& complete) {
    SampleBlock all(schema_);
    for (auto& [slot, block] : complete.blocks) all.append(std::move(block));
    write_part(folder_, key_, part, complete.records, all);
  }

  void drain() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!error_ && (!queue_.empty() || busy_ > 0)) {
      room_.wait_for(lock, kTick);
      lock.unlock();
      report();
      lock.lock();
    }
    if (error_) std::rethrow_exception(error_);
  }

  void work() {
    use_available_processors();
    convert_all();
    const std::lock_guard<std::mutex> lock(mutex_);
    --alive_;
    room_.notify_all();
  }

  void convert_all() {
    try {
      const auto workspace = source_->new_workspace();
      for (;;) {
        Chunk chunk;
        {
          std::unique_lock<std::mutex> lock(mutex_);
          work_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
          if (stopping_) return;
          chunk = std::move(queue_.front());
          queue_.pop_front();
          ++busy_;
        }
        convert(chunk, *workspace);
        const std::lock_guard<std::mutex> lock(mutex_);
        --busy_;
        room_.notify_all();
      }
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
      stopping_ = true;
      work_.notify_all();
      room_.notify_all();
    }
  }

  void convert(Chunk& chunk, RecordSource::Workspace& workspace) {
    SampleBlock block(schema_);
    for (std::size_t i = 0; i < chunk.records.size(); ++i) {
      if (stopping_) return;
      source_->convert(chunk.first_record + static_cast<std::int64_t>(i), *chunk.records[i], workspace, block);
    }
    samples_ += block.num_samples();
    bad_ += static_cast<std::int64_t>(block.skipped().size());
    Part complete;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stopping_) return;
      Part& p = parts_[chunk.part];
      p.blocks.emplace(chunk.slot, std::move(block));
      if (++p.done != p.chunks) return;
      complete = std::move(p);
      parts_.erase(chunk.part);
    }
    write(chunk.part, complete);
  }

  void report() {
    const auto now = Clock::now();
    if (!tick_ || now - last_ < kTick) return;
    last_ = now;
    tick_({records_, samples_.load(), bad_.load(), source_->fraction_read(), std::chrono::duration<double>(now - start_).count(), false});
  }

 public:
  BuildProgress final_progress() const {
    return {records_, samples_.load(), bad_.load(), 1.0, std::chrono::duration<double>(Clock::now() - start_).count(), true};
  }

 private:
  const std::shared_ptr<RecordSource> source_;
  const Schema schema_;
  const std::string folder_, key_;
  const std::function<void(const BuildProgress&)>& tick_;  // of the caller; workers do not use it
  const std::size_t queue_limit_;
  const int num_threads_;

  std::mutex mutex_;
  std::condition_variable work_, room_;
  std::deque<Chunk> queue_;
  std::map<std::int64_t, Part> parts_;
  std::exception_ptr error_;
  std::atomic<bool> stopping_{false};
  int busy_ = 0, alive_ = 0;

  std::atomic<std::int64_t> samples_{0}, bad_{0};
  std::int64_t records_ = 0;  // of the reading thread
  const Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
  std::vector<std::thread> workers_;
};

}  // namespace

std::int64_t build_parts(std::shared_ptr<RecordSource> source, const Schema& schema, const std::string& folder, const std::string& key, int rank,
                         int ranks, int threads, const std::function<void(const BuildProgress&)>& tick) {
  const KeepSubnormals for_the_workers_too;
  const auto pipeline = std::make_shared<Pipeline>(std::move(source), schema, folder, key, threads, tick);
  struct Ending {
    Pipeline& pipeline;
    ~Ending() { pipeline.end(); }
  } const ending{*pipeline};
  pipeline->start();
  const std::int64_t parts = pipeline->run(rank, ranks);
  if (tick) tick(pipeline->final_progress());
  return parts;
}

}  // namespace gnn_hpc
