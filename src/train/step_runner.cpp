// SPDX-License-Identifier: Apache-2.0
#include "train/step_runner.hpp"

#include "train/capabilities.hpp"

#include <chrono>
#include <cmath>

namespace gnn_hpc {

namespace {

constexpr std::size_t kLosses = 2;  ///< of a training step, besides its named parts

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
void StepRunner<T>::set_position(std::int64_t phase, std::int64_t epoch, std::int64_t phase_epoch) {
  phase_ = phase;
  epoch_ = epoch;
  phase_epoch_ = phase_epoch;
}

template <class T>
void StepRunner<T>::run_forward(const HostBatch& share, const std::function<void(const HostBatch&, Step<T>&)>& use) {
  Step<T> step = make_step(Mode::evaluate, 0);
  task_.upload(share, step);
  task_.forward(step);
  use(share, step);
  exec_.fence("gnn_hpc::StepRunner::run_forward");
}

template <class T>
Step<T> StepRunner<T>::make_step(Mode mode, std::int64_t step) {
  arena_.reset();
  const RandomKey key{seed_, fnv1a64("step")};
  return Step<T>{exec_, arena_, mode, key.fold(static_cast<std::uint64_t>(step)), comm_, step, phase_, epoch_, phase_epoch_};
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
  if (learning_) task_.backward(step);
  clock.end(seconds.backward);
  comm_.sum(exec_, task_.params().gradients());  // already divided by the global divisor
  auto* const named = offered<LossParts>(task_);
  const View1<double> parts = named != nullptr ? named->part_losses() : View1<double>();
  const std::size_t losses = kLosses + parts.extent(0);
  if (losses_.extent(0) != losses) {  // the first step
    losses_ = View1<double>("gnn_hpc::StepRunner::losses", losses);
    host_ = Kokkos::View<double*, Kokkos::SharedHostPinnedSpace>("gnn_hpc::StepRunner::host", losses + Optimizer<T>::kReportSize);
  }
  if (parts.extent(0) > 0) Kokkos::deep_copy(exec_, Kokkos::subview(losses_, Kokkos::make_pair(kLosses, losses)), parts);
  Kokkos::deep_copy(exec_, Kokkos::subview(losses_, 0), Kokkos::subview(loss, 0));
  Kokkos::deep_copy(exec_, Kokkos::subview(losses_, 1),
                    Kokkos::subview(has_auxiliary_loss(task_) ? offered<AuxiliaryLoss>(task_)->target_loss() : loss, 0));
  comm_.sum(exec_, losses_);  // before the update, which depends on it
  clock.end(seconds.reduce);
  optimizer.rest(task_.resting());
  optimizer.apply(exec_, rate, losses_);
  clock.end(seconds.update);

  Kokkos::deep_copy(exec_, Kokkos::subview(host_, Kokkos::make_pair(std::size_t{0}, losses)), losses_);
  Kokkos::deep_copy(exec_, Kokkos::subview(host_, Kokkos::make_pair(losses, host_.extent(0))), optimizer.report());
  exec_.fence("gnn_hpc::StepRunner::train");
  result.loss = host_(0);
  result.target_loss = host_(1);
  result.gradient_norm = std::sqrt(host_(losses + Optimizer<T>::kNormSquared));
  result.updates = host_(losses + Optimizer<T>::kUpdates);
  result.skipped = host_(losses + Optimizer<T>::kSkipped);
  for (std::size_t i = kLosses; i < losses; ++i) result.parts.push_back(host_(i));
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
