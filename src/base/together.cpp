// SPDX-License-Identifier: Apache-2.0
#include "base/together.hpp"

#include "base/error.hpp"
#include "base/signals.hpp"
#include "base/threads.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <new>
#include <string>
#include <thread>

#ifdef GNN_HPC_HAVE_MPI
#include <mpi.h>
#endif

namespace gnn_hpc {

#ifdef GNN_HPC_HAVE_MPI
namespace {

constexpr auto kRound = std::chrono::milliseconds(20);

/// The code and the message of an error; empty: none.
struct Outcome {
  Exit code = Exit::internal;
  std::string message;
};

Outcome outcome_of(const std::function<void()>& work) {
  try {
    work();
    return {};
  } catch (const Error& error) {
    return {error.code(), error.what()};
  } catch (const std::bad_alloc&) {
    return {Exit::internal, "out of memory"};
  } catch (const std::exception& error) {
    return {Exit::internal, error.what()};
  }
}

/// What the ranks tell each other in a round; each is the largest over all.
enum Slot : std::size_t { kStop, kFailed, kWorking, kSlots };

/// Rounds until no rank is at work. `done` is set by the thread that works, after it has written `mine`.
void keep_in_touch(MPI_Comm ranks, const std::atomic<bool>& done, const Outcome& mine) {
  for (;;) {
    std::array<int, kSlots> in{}, out{};
    const bool finished = done.load(std::memory_order_acquire);
    in[kStop] = stop_reason();
    in[kFailed] = finished && !mine.message.empty() ? 1 : 0;
    in[kWorking] = finished ? 0 : 1;
    MPI_Request request;
    MPI_Iallreduce(in.data(), out.data(), kSlots, MPI_INT, MPI_MAX, ranks, &request);
    for (int complete = 0; complete == 0;) {
      MPI_Test(&request, &complete, MPI_STATUS_IGNORE);
      if (complete == 0) std::this_thread::sleep_for(kRound / 10);
    }
    if (out[kStop] > 0) pass_on_stop(out[kStop]);
    if (out[kFailed] > 0) pass_on_stop(static_cast<int>(StopReason::failure_elsewhere));
    if (out[kWorking] == 0) return;
    for (auto waited = std::chrono::milliseconds(0); waited < kRound && !done.load(std::memory_order_acquire); waited += kRound / 10) {
      std::this_thread::sleep_for(kRound / 10);
    }
  }
}

}  // namespace
#endif

void together(const Comm& comm, const std::function<void()>& work) {
  if (comm.size() == 1) return work();
#ifdef GNN_HPC_HAVE_MPI
  Outcome mine;
  std::atomic<bool> done{false};
  MPI_Comm ranks = MPI_COMM_NULL;  // of its own: an error path may be in another collective
  MPI_Comm_dup(MPI_COMM_WORLD, &ranks);
  std::thread worker([&] {
    use_available_processors();
    mine = outcome_of(work);
    done.store(true, std::memory_order_release);
  });
  keep_in_touch(ranks, done, mine);
  worker.join();
  MPI_Comm_free(&ranks);
  clear_failure_elsewhere();
  if (comm.max(std::int64_t{mine.message.empty() ? 0 : 1}) == 0) return;
  std::string first;
  for (const std::string& text : comm.gather(mine.message.empty() ? std::string() : fmt::format("{}{}", static_cast<int>(mine.code), mine.message))) {
    const auto stopped = [](const std::string& t) { return t.empty() || t[0] - '0' == static_cast<int>(Exit::stopped); };
    if (first.empty() || (stopped(first) && !stopped(text))) first = text;
  }
  comm.broadcast(first);
  throw Error(static_cast<Exit>(first[0] - '0'), first.substr(1));
#endif
}

void stop_together(const Comm& comm, std::string_view what, std::string_view consequence) {
  pass_on_stop(static_cast<int>(comm.max(static_cast<std::int64_t>(stop_reason()))));
  throw_if_stop_wanted(what, consequence);
}

}  // namespace gnn_hpc
