// SPDX-License-Identifier: Apache-2.0
#include "train/optimizer.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace gnn_hpc {

namespace {

constexpr unsigned char kUpdate = 1, kDecay = 2;
constexpr std::size_t kBlock = 64;  // ParamStore pads every tensor to this

/// Places in the array of coefficients.
enum Coefficient : int { kSkip = 0, kScale, kKeep, kBeta1, kStepSize, kRootCorrection, kNumCoefficients };

/// Elements that one thread handles in a row: a block of constant flags that the compiler can vectorise on a CPU, one element on
/// a GPU, where neighbouring threads should read neighbouring addresses.
constexpr int kRun = kExecIsHost ? static_cast<int>(kBlock) : 1;
constexpr std::int64_t kRunsPerBlock = static_cast<std::int64_t>(kBlock) / kRun;

using FlatRange = Kokkos::RangePolicy<Exec, Kokkos::IndexType<std::int64_t>>;

/// One index per run of `kRun` elements of a flat array.
FlatRange runs_of(const Exec& exec, std::size_t flat_size) { return {exec, 0, static_cast<std::int64_t>(flat_size) / kRun}; }

bool contains_any(const std::string& name, const std::vector<std::string>& parts) {
  return std::any_of(parts.begin(), parts.end(), [&](const std::string& p) { return !p.empty() && name.find(p) != std::string::npos; });
}

/// report[norm^2] = sum of the squared gradients of all tensors that are updated; NaN and infinity pass through.
template <class T>
void squared_norm(const Exec& exec, View1<T> gradient, View1<unsigned char> flags, View1<double> report) {
  const auto target = Kokkos::subview(report, 0);
  Kokkos::parallel_reduce(
      "gnn_hpc::Optimizer::norm", runs_of(exec, gradient.extent(0)),
      KOKKOS_LAMBDA(const std::int64_t run, double& sum) {
        if (!(flags(run / kRunsPerBlock) & kUpdate)) return;
        const T* g = gradient.data() + run * kRun;
        constexpr int kLanes = kRun >= 8 ? 8 : 1;  // independent sums hide the latency of an addition
        double part[kLanes] = {};
        for (int i = 0; i < kRun; i += kLanes) {
          for (int lane = 0; lane < kLanes; ++lane) {
            const double x = static_cast<double>(g[i + lane]);
            part[lane] += x * x;
          }
        }
        for (int lane = 0; lane < kLanes; ++lane) sum += part[lane];
      },
      target);
}

struct StepNumbers {
  double learning_rate, beta1, beta2, weight_decay, clip_norm;
  bool adam;
};

/// One thread decides whether the step counts and prepares its scalars in double, so that the host need not wait.
void prepare_step(const Exec& exec, View1<double> loss, View1<double> report, View1<double> coefficient, StepNumbers s) {
  const bool judge_loss = loss.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::Optimizer::prepare", Rows(exec, 0, 1), KOKKOS_LAMBDA(const int) {
        const double norm = Kokkos::sqrt(report(0));
        const bool skip = !Kokkos::isfinite(norm) || (judge_loss && !Kokkos::isfinite(loss(0)));
        coefficient(kSkip) = skip ? 1.0 : 0.0;
        if (skip) {
          report(2) += 1.0;
          return;
        }
        report(1) += 1.0;
        const double t = report(1);
        coefficient(kScale) = s.clip_norm > 0.0 ? Kokkos::fmin(1.0, s.clip_norm / (norm + 1e-6)) : 1.0;
        coefficient(kKeep) = 1.0 - s.learning_rate * s.weight_decay;
        coefficient(kBeta1) = s.beta1;
        coefficient(kStepSize) = s.adam ? s.learning_rate / (1.0 - Kokkos::pow(s.beta1, t)) : s.learning_rate;
        coefficient(kRootCorrection) = s.adam ? Kokkos::sqrt(1.0 - Kokkos::pow(s.beta2, t)) : 1.0;
      });
}

template <class T>
void update_adam(const Exec& exec, View1<T> values, View1<T> gradients, View1<T> first, View1<T> second, View1<unsigned char> flags,
                 View1<double> coefficient, double beta2, double epsilon) {
  const T b2 = static_cast<T>(beta2), one_minus_b2 = static_cast<T>(1.0 - beta2), eps = static_cast<T>(epsilon);
  Kokkos::parallel_for(
      "gnn_hpc::Optimizer::adam", runs_of(exec, values.extent(0)), KOKKOS_LAMBDA(const std::int64_t run) {
        const unsigned char flag = flags(run / kRunsPerBlock);
        if (!(flag & kUpdate) || coefficient(kSkip) != 0.0) return;
        const T scale = static_cast<T>(coefficient(kScale)), step_size = static_cast<T>(coefficient(kStepSize));
        const T one_minus_b1 = static_cast<T>(1.0 - coefficient(kBeta1)), root = static_cast<T>(coefficient(kRootCorrection));
        const T keep = (flag & kDecay) ? static_cast<T>(coefficient(kKeep)) : T(1);
        T* p = values.data() + run * kRun;
        const T* g = gradients.data() + run * kRun;
        T* m = first.data() + run * kRun;
        T* v = second.data() + run * kRun;
        for (int i = 0; i < kRun; ++i) {
          const T grad = scale * g[i];
          const T mean = m[i] + one_minus_b1 * (grad - m[i]);
          const T square = b2 * v[i] + one_minus_b2 * grad * grad;
          m[i] = mean;
          v[i] = square;
          p[i] = keep * p[i] - step_size * (mean / (Kokkos::sqrt(square) / root + eps));
        }
      });
}

template <class T>
void update_sgd(const Exec& exec, View1<T> values, View1<T> gradients, View1<T> first, View1<unsigned char> flags, View1<double> coefficient,
                double weight_decay) {
  Kokkos::parallel_for(
      "gnn_hpc::Optimizer::sgd", runs_of(exec, values.extent(0)), KOKKOS_LAMBDA(const std::int64_t run) {
        const unsigned char flag = flags(run / kRunsPerBlock);
        if (!(flag & kUpdate) || coefficient(kSkip) != 0.0) return;
        const T scale = static_cast<T>(coefficient(kScale)), step_size = static_cast<T>(coefficient(kStepSize));
        const T momentum = static_cast<T>(coefficient(kBeta1));
        const T decay = (flag & kDecay) ? static_cast<T>(weight_decay) : T(0);
        T* p = values.data() + run * kRun;
        const T* g = gradients.data() + run * kRun;
        T* m = first.data() + run * kRun;
        for (int i = 0; i < kRun; ++i) {
          m[i] = momentum * m[i] + (scale * g[i] + decay * p[i]);
          p[i] -= step_size * m[i];
        }
      });
}

/// buffers = saved where the step was skipped.
template <class T>
void restore_if_skipped(const Exec& exec, View1<T> buffers, View1<T> saved, View1<double> coefficient) {
  Kokkos::parallel_for(
      "gnn_hpc::Optimizer::restore_buffers", FlatRange(exec, 0, static_cast<std::int64_t>(buffers.extent(0))), KOKKOS_LAMBDA(const std::int64_t i) {
        if (coefficient(kSkip) != 0.0) buffers(i) = saved(i);
      });
}

}  // namespace

template <class T>
Optimizer<T>::Optimizer(ParamStore<T>& store, const TrainOptions& options)
    : store_(store),
      options_(options),
      rule_(options.optimizer == "sgd"    ? UpdateRule::sgd
            : options.optimizer == "adam" ? UpdateRule::adam
                                          : UpdateRule::adamw),
      m_("gnn_hpc::Optimizer::m", store.values().extent(0)),
      v_("gnn_hpc::Optimizer::v", rule_ == UpdateRule::sgd ? 0 : store.values().extent(0)),
      saved_buffers_("gnn_hpc::Optimizer::saved_buffers", store.buffers().extent(0)),
      flags_("gnn_hpc::Optimizer::flags", store.values().extent(0) / kBlock),
      report_("gnn_hpc::Optimizer::report", kReportSize),
      coefficient_("gnn_hpc::Optimizer::coefficient", kNumCoefficients) {
  GNN_HPC_REQUIRE(store.values().extent(0) % kBlock == 0, "the flat array has {} elements, not a multiple of {}", store.values().extent(0), kBlock);
  mark_tensors();
}

template <class T>
void Optimizer<T>::mark_tensors() {
  const auto host = Kokkos::create_mirror_view(Kokkos::HostSpace(), flags_);
  std::fill_n(host.data(), host.extent(0), static_cast<unsigned char>(0));
  for (const TensorInfo& t : store_.tensors()) {
    if (!t.used || contains_any(t.name, frozen_) || contains_any(t.name, resting_)) continue;
    const bool decays = rule_ != UpdateRule::adam && options_.weight_decay > 0.0 && !contains_any(t.name, options_.no_decay);
    const unsigned char flag = decays ? kUpdate | kDecay : kUpdate;
    std::fill_n(host.data() + t.offset / kBlock, (t.size + kBlock - 1) / kBlock, flag);
  }
  Kokkos::deep_copy(flags_, host);
}

template <class T>
void Optimizer<T>::freeze(const std::vector<std::string>& parts) {
  frozen_ = parts;
  mark_tensors();
}

template <class T>
void Optimizer<T>::rest(const std::vector<std::string>& parts) {
  if (parts == resting_) return;
  resting_ = parts;
  mark_tensors();
}

template <class T>
void Optimizer<T>::begin_step(const Exec& exec) {
  Kokkos::deep_copy(exec, saved_buffers_, store_.buffers());
}

template <class T>
void Optimizer<T>::restore_buffers(const Exec& exec) {
  Kokkos::deep_copy(exec, store_.buffers(), saved_buffers_);
}

template <class T>
void Optimizer<T>::apply(const Exec& exec, StepRate rate, View1<double> loss) {
  squared_norm<T>(exec, store_.gradients(), flags_, report_);
  prepare_step(exec, loss, report_, coefficient_,
               {rate.learning_rate, rate.beta1, options_.beta2, options_.weight_decay, options_.clip_norm, rule_ != UpdateRule::sgd});
  if (rule_ == UpdateRule::sgd) {
    update_sgd<T>(exec, store_.values(), store_.gradients(), m_, flags_, coefficient_, options_.weight_decay);
  } else {
    update_adam<T>(exec, store_.values(), store_.gradients(), m_, v_, flags_, coefficient_, options_.beta2, options_.epsilon);
  }
  restore_if_skipped<T>(exec, store_.buffers(), saved_buffers_, coefficient_);
}

template <class T>
void Optimizer<T>::set_counters(double updates, double skipped) {
  const auto host = Kokkos::create_mirror_view(Kokkos::HostSpace(), report_);
  host(kNormSquared) = 0.0;
  host(kUpdates) = updates;
  host(kSkipped) = skipped;
  Kokkos::deep_copy(report_, host);
}

template class Optimizer<float>;
template class Optimizer<double>;

}  // namespace gnn_hpc
