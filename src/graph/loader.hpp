// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.hpp"
#include "base/threads.hpp"

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace gnn_hpc {

/// Fills batches in a thread of its own, `ahead` of the one in use, into storage that is reused. Batch is the host batch of a
/// system; the loader knows nothing of it.
///
/// @code
///   Loader<HostBatch> loader(plan.num_batches(), [&] { return task.new_batch(); },
///                            [&](std::int64_t b, HostBatch& out) { task.collate(share_of(b), out); });
///   while (const HostBatch* batch = loader.next()) { ... }   // valid until the next call of next()
/// @endcode
/// An exception of `fill` is thrown by `next` when its batch is due. The destructor stops the thread after the batch it is
/// filling.
template <class Batch>
class Loader {
 public:
  using Make = std::function<std::unique_ptr<Batch>()>;
  using Fill = std::function<void(std::int64_t, Batch&)>;

  /// Batches `first` .. `num_batches`-1.
  Loader(std::int64_t num_batches, const Make& make, Fill fill, std::int64_t first = 0, int ahead = 2)
      : num_batches_(num_batches), taken_(first), filled_(first), fill_(std::move(fill)) {
    GNN_HPC_REQUIRE(ahead >= 1, "ahead {}", ahead);
    if (first >= num_batches) return;
    for (int i = 0; i <= ahead; ++i) slots_.push_back(make());  // one more: the batch in use
    thread_ = std::thread([this] { run(); });
  }
  ~Loader() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next batch, or null after the last one. Releases the one before.
  Batch* next() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (in_use_) {
      in_use_ = false;
      ++taken_;
      changed_.notify_all();
    }
    if (taken_ >= num_batches_) return nullptr;
    changed_.wait(lock, [&] { return filled_ > taken_ || error_; });
    if (filled_ <= taken_) std::rethrow_exception(error_);
    in_use_ = true;
    return slots_[slot_of(taken_)].get();
  }

  /// Number of the batch that `next` returned last.
  std::int64_t position() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return taken_;
  }

 private:
  std::size_t slot_of(std::int64_t batch) const { return static_cast<std::size_t>(batch) % slots_.size(); }

  void run() {
    use_available_processors();
    try {
      for (std::int64_t b = filled_; b < num_batches_; ++b) {
        {
          std::unique_lock<std::mutex> lock(mutex_);
          changed_.wait(lock, [&] { return stopping_ || b < taken_ + static_cast<std::int64_t>(slots_.size()); });
          if (stopping_) return;
        }
        fill_(b, *slots_[slot_of(b)]);
        const std::lock_guard<std::mutex> lock(mutex_);
        filled_ = b + 1;
        changed_.notify_all();
      }
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      error_ = std::current_exception();
      changed_.notify_all();
    }
  }

  const std::int64_t num_batches_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t taken_, filled_;  ///< first batch not yet given back, first not yet filled
  bool in_use_ = false, stopping_ = false;
  std::exception_ptr error_;
  Fill fill_;
  std::vector<std::unique_ptr<Batch>> slots_;
  std::thread thread_;
};

}  // namespace gnn_hpc
