// SPDX-License-Identifier: Apache-2.0
#include "train/step_runner.hpp"

#include "train/capabilities.hpp"

#include <chrono>
#include <cmath>

namespace gnn_hpc {

namespace {

constexpr int kLosses = 2;  ///< of a training step

/// Ends a phase: waits for the device and adds the time since the last end. Does nothing (no fence) where nobody measures.
class PhaseClock {
 public:
  PhaseClock(const Exec& exec, bool on) : exec_(exec), on_(on), begin_(on ? Clock::now() : Clock::time_point()) {}
  void end(double& seconds) {
    if (!on_) return;
    exec_.fence("gnn_hpc::PhaseClock");
    const auto now = Clock::now();
    seconds += std::chrono::duration<double>(now - begin_).count();
    begin_ = now;
  }

 private:
  using Clock = std::chrono::steady_clock;
  const Exec& exec_;
  bool on_;
  Clock::time_point begin_;
};

}  // namespace

template <class T>
StepRunner<T>::StepRunner(Task<T>& task, const Comm& comm, std::uint64_t seed)
    : task_(task),
      comm_(comm),
      seed_(seed),
      losses_("gnn_hpc::StepRunner::losses", kLosses),
      host_("gnn_hpc::StepRunner::host", kLosses + Optimizer<T>::kReportSize) {}

template <class T>
Step<T> StepRunner<T>::make_step(Mode mode, std::int64_t step) {
  arena_.reset();
  const RandomKey key{seed_, fnv1a64("step")};
  return Step<T>{exec_, arena_, mode, key.fold(static_cast<std::uint64_t>(step)), comm_, step};
}

template <class T>
StepResult StepRunner<T>::train(const HostBatch& share, double divisor, Optimizer<T>& optimizer, StepRate rate, std::int64_t step_index,
                                PhaseSeconds* times) {
  PhaseSeconds ignored;
  PhaseSeconds& seconds = times != nullptr ? *times : ignored;
  PhaseClock clock(exec_, times != nullptr);
  Step<T> step = make_step(Mode::train, step_index);
  StepResult result;
  result.size = task_.upload(share, step);
  clock.end(seconds.upload);

  optimizer.begin_step(exec_);
  task_.params().zero_gradients(exec_);
  task_.forward(step);
  clock.end(seconds.forward);
  const View1<double> loss = task_.loss(step, divisor > 0.0 ? divisor : 1.0);
  clock.end(seconds.loss);
  task_.backward(step);
  clock.end(seconds.backward);
  comm_.sum(exec_, task_.params().gradients());  // already divided by the global divisor
  Kokkos::deep_copy(exec_, Kokkos::subview(losses_, 0), Kokkos::subview(loss, 0));
  Kokkos::deep_copy(exec_, Kokkos::subview(losses_, 1),
                    Kokkos::subview(has_auxiliary_loss(task_) ? offered<AuxiliaryLoss>(task_)->target_loss() : loss, 0));
  comm_.sum(exec_, losses_);  // before the update, which depends on it
  clock.end(seconds.reduce);
  optimizer.rest(task_.resting());
  optimizer.apply(exec_, rate, losses_);
  clock.end(seconds.update);

  Kokkos::deep_copy(exec_, Kokkos::subview(host_, Kokkos::make_pair(0, kLosses)), losses_);
  Kokkos::deep_copy(exec_, Kokkos::subview(host_, Kokkos::make_pair(kLosses, kLosses + static_cast<int>(Optimizer<T>::kReportSize))),
                    optimizer.report());
  exec_.fence("gnn_hpc::StepRunner::train");
  result.loss = host_(0);
  result.target_loss = host_(1);
  result.gradient_norm = std::sqrt(host_(kLosses + Optimizer<T>::kNormSquared));
  result.updates = host_(kLosses + Optimizer<T>::kUpdates);
  result.skipped = host_(kLosses + Optimizer<T>::kSkipped);
  return result;
}

template <class T>
void StepRunner<T>::warm_up(const HostBatch& share, double divisor, Optimizer<T>& optimizer) {
  Step<T> step = make_step(Mode::train, 0);
  optimizer.begin_step(exec_);
  task_.upload(share, step);
  task_.params().zero_gradients(exec_);
  task_.forward(step);
  task_.loss(step, divisor > 0.0 ? divisor : 1.0);
  task_.backward(step);
  optimizer.restore_buffers(exec_);
  task_.params().zero_gradients(exec_);
  exec_.fence("gnn_hpc::StepRunner::warm_up");
}

template <class T>
double StepRunner<T>::evaluate(const HostBatch& share, Measures& measures) {
  Step<T> step = make_step(Mode::evaluate, 0);
  task_.upload(share, step);
  task_.forward(step);
  const View1<double> loss = task_.loss(step, 1.0);
  Kokkos::deep_copy(exec_, Kokkos::subview(host_, 0), Kokkos::subview(loss, 0));
  task_.measure(share, step, measures);
  exec_.fence("gnn_hpc::StepRunner::evaluate");
  return host_(0);
}

template class StepRunner<float>;
template class StepRunner<double>;

}  // namespace gnn_hpc
