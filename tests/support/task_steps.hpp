// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/device_work.hpp"
#include "nn/matmul.hpp"
#include "train/task.hpp"

#include <gtest/gtest.h>
#include <Kokkos_Core.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace gnn_hpc::test {

/// Steps of a task as the trainer makes them, without optimiser.
template <class T>
class Steps {
 public:
  Steps(Task<T>& task, Mode mode) : task_(task), mode_(mode), batch_(task.new_batch()) {}

  /// Loss of the batch; adds to the parameter gradients when training.
  double run(const std::vector<std::int64_t>& samples, double divisor) {
    arena_.reset();
    Step<T> step{exec_, arena_, mode_, RandomKey{1, 0}, comm_};
    task_.collate(samples, *batch_);
    task_.upload(*batch_, step);
    task_.forward(step);
    const auto loss = task_.loss(step, divisor);
    if (step.training()) task_.backward(step);
    double value = 0.0;
    Kokkos::fence();
    Kokkos::deep_copy(Kokkos::View<double, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>>(&value),
                      Kokkos::View<double, Memory>(loss, 0));
    return value;
  }

  /// Sums and predictions of the batch that ran last.
  Measures measure(bool embeddings = false) {
    Step<T> step{exec_, arena_, mode_, RandomKey{1, 0}, comm_};
    Measures m;
    m.keep_predictions = true;
    m.keep_embeddings = embeddings;
    task_.measure(*batch_, step, m);
    return m;
  }

  double loss_weight() const { return batch_->loss_weight; }
  const Arena& arena() const { return arena_; }

 private:
  Task<T>& task_;
  Mode mode_;
  std::unique_ptr<HostBatch> batch_;
  Exec exec_;
  Arena arena_;
  Comm comm_;
};

/// Calls of Kokkos' allocators while this object lives; one at a time.
class AllocationCount {
 public:
  AllocationCount() {
    calls = 0;
    Kokkos::Tools::Experimental::set_allocate_data_callback([](Kokkos::Profiling::SpaceHandle, const char*, const void*, std::uint64_t) { ++calls; });
  }
  ~AllocationCount() { Kokkos::Tools::Experimental::set_allocate_data_callback(nullptr); }
  AllocationCount(const AllocationCount&) = delete;
  AllocationCount& operator=(const AllocationCount&) = delete;
  int value() const { return calls; }

 private:
  inline static std::atomic<int> calls{0};
};

/// Opens the task's data and fails if steps allocate anything after two of its 12 costliest samples.
template <class T>
void expect_no_allocation(Task<T>& task) {
  task.open_data(Comm::self(), DataUse::training);
  std::vector<std::int64_t> order = task.splits().train;
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return task.cost(a) > task.cost(b); });
  const auto twelve_from = [&](std::size_t begin) {
    const auto first = order.begin() + static_cast<std::ptrdiff_t>(begin);
    return std::vector<std::int64_t>(first, first + 12);
  };
  Steps<T> train(task, Mode::train), evaluate(task, Mode::evaluate);
  for (int step = 0; step < 2; ++step) {
    train.run(twelve_from(0), 12.0);
    evaluate.run(twelve_from(0), 12.0);
  }
  const std::size_t bytes = train.arena().capacity();
  const AllocationCount count;
  {
    const View1<float> proof("proof that the count works", 1);
    ASSERT_EQ(count.value(), 1);
  }
  for (std::size_t begin = 0; begin + 12 <= order.size(); begin += 4) {
    train.run(twelve_from(begin), 12.0);
    evaluate.run(twelve_from(begin), 12.0);
  }
  EXPECT_EQ(count.value() - 1, 0);
  EXPECT_EQ(train.arena().capacity(), bytes);
}

/// On the path of a GPU: a training step launches at most `most` kernels and products, however many samples it has. Opens the task's data.
template <class T>
void expect_few_launches(Task<T>& task, std::int64_t most) {
  if (kExecIsHost) GTEST_SKIP() << "chunks of rows have launches of their own on a CPU";
  task.open_data(Comm::self(), DataUse::training);
  const std::vector<std::int64_t>& samples = task.splits().train;
  ASSERT_GE(samples.size(), 12U);
  Steps<T> train(task, Mode::train);
  const auto launches_of = [&](std::ptrdiff_t count) {
    reset_matmul_flops();
    const DeviceWork work;
    train.run(std::vector<std::int64_t>(samples.begin(), samples.begin() + count), static_cast<double>(count));
    return work.counts().launches + matmul_products();
  };
  const std::int64_t launches = launches_of(6);
  EXPECT_GT(launches, 10);
  EXPECT_LE(launches, most);
  EXPECT_EQ(launches_of(12), launches);
}

}  // namespace gnn_hpc::test
