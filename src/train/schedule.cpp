// SPDX-License-Identifier: Apache-2.0
#include "train/schedule.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gnn_hpc {

namespace {
/// Half a cosine wave from `first` at p = 0 to `last` at p = 1.
double cosine(double first, double last, double p) { return last + (first - last) / 2.0 * (std::cos(std::numbers::pi * p) + 1.0); }
}  // namespace

Schedule::Schedule(const TrainOptions& options, std::int64_t steps_per_epoch)
    : options_(options), steps_per_epoch_(steps_per_epoch), total_(options.epochs * steps_per_epoch) {
  GNN_HPC_REQUIRE(total_ > 0, "a schedule over {} epochs of {} steps", options.epochs, steps_per_epoch);
}

StepRate Schedule::one_cycle(double step) const {
  const double total = static_cast<double>(total_), lr = options_.learning_rate;
  const double t1 = 0.3 * total - 1.0, t2 = total - 1.0;
  const double first = lr / 25.0, last = first / 1e4;
  if (step <= t1) {
    const double p = t1 > 0.0 ? step / t1 : 1.0;
    return {cosine(first, lr, p), cosine(0.95, 0.85, p)};
  }
  const double p = std::min(1.0, (step - t1) / (t2 - t1));
  return {cosine(lr, last, p), cosine(0.85, 0.95, p)};
}

double Schedule::warmup_exponential(double step) const {
  const double lr = options_.learning_rate, last = options_.final_learning_rate;
  const double warmup = static_cast<double>(options_.warmup_epochs) * static_cast<double>(steps_per_epoch_);
  const double decay = static_cast<double>(total_) - warmup;
  if (step < warmup) return options_.initial_learning_rate + step * (lr - options_.initial_learning_rate) / warmup;
  if (step < warmup + decay) return lr * std::pow(last / lr, (step - warmup) / decay);
  return last;
}

double Schedule::warmup_cosine(std::int64_t step) const {
  const double epoch = static_cast<double>(step / steps_per_epoch_), warmup = options_.warmup_epochs;
  if (epoch < warmup) return options_.learning_rate * (epoch + 1.0) / warmup;
  const double rest = std::max(1.0, static_cast<double>(options_.epochs) - warmup);
  return cosine(options_.learning_rate, 0.0, std::min(1.0, (epoch - warmup) / rest));
}

StepRate Schedule::at(std::int64_t step) const {
  const double s = static_cast<double>(step), lr = options_.learning_rate, beta1 = options_.beta1;
  const std::string& name = options_.schedule;
  if (name == "one_cycle") return one_cycle(s);
  if (name == "none") return {lr, beta1};
  if (name == "step") return {lr * std::pow(0.96, static_cast<double>(step / 100000)), beta1};
  if (name == "polynomial") {
    const double p = total_ > 1 ? std::min(1.0, s / static_cast<double>(total_ - 1)) : 0.0;
    return {lr * (1.0 - 0.98 * p), beta1};
  }
  if (name == "cosine") return {cosine(lr, options_.minimum_learning_rate, std::min(1.0, s / static_cast<double>(total_))), beta1};
  if (name == "warmup_exponential") return {warmup_exponential(s), beta1};
  if (name == "warmup_cosine") return {warmup_cosine(step), beta1};
  throw Error(Exit::usage, "train.schedule: unknown schedule \"" + name + "\"");
}

}  // namespace gnn_hpc
