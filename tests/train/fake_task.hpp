// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/random.hpp"
#include "train/capabilities.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

namespace gnn_hpc::test {

/// Linear regression with all that training must get right of a real model: batch statistics over all ranks, a running
/// mean (buffer), noise keyed by step and sample, masked targets, a tensor that takes no part.
///   z = w.x + b;  train: p = gamma (z - mean z) + beta + 0.01 noise;  evaluate: p = gamma (z - running mean) + beta
///   loss = sum (p - y)^2 / divisor
template <class T>
class FakeTask : public Task<T>, public LabelledRecords, public InputDigests, public AuxiliaryLoss {
 public:
  static constexpr int kWidth = 5;
  struct Settings {
    int train = 23, validation = 6, test = 7;
    std::uint64_t seed = 123;
    std::set<std::int64_t> bad_input{}, no_target{};  ///< samples with NaN in x; samples without target
    double mean = 0.0;                                ///< data state
    std::set<std::int64_t> bad_loss{};                ///< samples whose loss is infinite, while every gradient is finite
    NormalisedRows normalised = NormalisedRows::none;
    std::vector<std::uint64_t> digests{};  ///< of all samples
    double auxiliary = 0.0;                ///< a part of the training loss that evaluations lack, on the root
    bool frozen_validation = false;        ///< all validation targets far away, so that the metric never improves
  };

  explicit FakeTask(Settings settings = {}) : settings_(std::move(settings)) {
    weight_ = store_.add("layer.weight", {1, kWidth}, Init::uniform(0.5));
    bias_ = store_.add("layer.bias", {1}, Init::uniform(0.5));
    gamma_ = store_.add("bn.weight", {1}, Init::constant(1.0));
    beta_ = store_.add("bn.bias", {1}, Init::constant(0.0));
    dead_ = store_.add("lemb.weight", {3, 4}, Init::normal(1.0), false);
    running_mean_ = store_.add_buffer("bn.running_mean", {1}, 0.0);
    store_.finalize(settings_.seed);
    const int n = settings_.train + settings_.validation + settings_.test;
    for (int i = 0; i < n; ++i) {
      (i < settings_.train ? splits_.train : i < settings_.train + settings_.validation ? splits_.validation : splits_.test).push_back(i);
    }
  }

  const std::string& name() const override { return name_; }
  ParamStore<T>& params() override { return store_; }
  bool open_data(const Comm&, DataUse) override { return true; }
  const Splits& splits() const override { return splits_; }
  std::string sample_id(std::int64_t sample) const override { return "sample_" + std::to_string(sample); }
  std::vector<std::string> target_names() const override { return {"y"}; }
  DataState data_state() const override { return {{{"mean", {settings_.mean}}}, {{"targets", target_names()}}}; }
  void set_data_state(const DataState& state) override { settings_.mean = state.numbers.at("mean").at(0); }

  struct Share : HostBatch {
    std::vector<double> x, y;
  };
  std::unique_ptr<HostBatch> new_batch() const override { return std::make_unique<Share>(); }
  void collate(std::span<const std::int64_t> samples, HostBatch& batch) const override {
    Share& share = static_cast<Share&>(batch);
    share.samples.assign(samples.begin(), samples.end());
    share.x.clear();
    share.y.clear();
    share.loss_weight = 0.0;
    for (const std::int64_t s : samples) {
      const RandomKey key{99, static_cast<std::uint64_t>(s)};
      double y = 0.7;
      for (int c = 0; c < kWidth; ++c) {
        share.x.push_back(settings_.bad_input.contains(s) ? std::numeric_limits<double>::quiet_NaN() : key.normal(c));
        y += 0.3 * (c + 1) * key.normal(c);
      }
      if (settings_.frozen_validation && s >= settings_.train) y += 1000.0;
      if (settings_.no_target.contains(s))
        y = std::numeric_limits<double>::quiet_NaN();
      else
        share.loss_weight += 1.0;
      share.y.push_back(y);
    }
  }
  std::int64_t cost(std::int64_t sample) const override { return 1 + sample % 5; }

  BatchSize upload(const HostBatch& batch, Step<T>&) override {
    share_ = static_cast<const Share&>(batch);  // same capacity after the first steps: no allocation
    z_.resize(share_.y.size());
    p_.resize(share_.y.size());
    dp_.resize(share_.y.size());
    return {static_cast<std::int64_t>(share_.y.size()), static_cast<std::int64_t>(share_.x.size()), 0};
  }

  void forward(Step<T>& step) override {
    const auto w = host(weight_.value1());
    const double b = host(bias_.value1())(0), gamma = host(gamma_.value1())(0), beta = host(beta_.value1())(0);
    std::array<double, 2> sum{0.0, static_cast<double>(z_.size())};
    for (std::size_t i = 0; i < z_.size(); ++i) {
      z_[i] = b;
      for (int c = 0; c < kWidth; ++c) z_[i] += w(c) * share_.x[i * kWidth + c];
      sum[0] += z_[i];
    }
    const auto running = host(running_mean_.value1());
    double mean = running(0);
    if (step.training()) {
      step.comm.sum(std::span<double>(sum));
      count_ = sum[1];
      mean = sum[0] / std::max(1.0, count_);
      running(0) = static_cast<T>(0.9 * running(0) + 0.1 * mean);
      Kokkos::deep_copy(running_mean_.value1(), running);
    }
    mean_ = mean;
    for (std::size_t i = 0; i < z_.size(); ++i) {
      p_[i] = gamma * (z_[i] - mean) + beta;
      if (step.training()) p_[i] += 0.01 * step.key.normal(static_cast<std::uint64_t>(share_.samples[i]));
    }
  }

  View1<double> loss(Step<T>& step, double divisor) override {
    double sum = 0.0;
    for (std::size_t i = 0; i < p_.size(); ++i) {
      const bool present = !std::isnan(share_.y[i]);
      const double error = present ? p_[i] - share_.y[i] : 0.0;
      sum += error * error / divisor;
      dp_[i] = 2.0 * error / divisor;
    }
    for (const std::int64_t s : share_.samples) {
      if (settings_.bad_loss.contains(s)) sum = std::numeric_limits<double>::infinity();
    }
    target_loss_ = step.arena.template array<double>(1);
    Kokkos::deep_copy(target_loss_, sum);
    const auto out = step.arena.template array<double>(1);
    Kokkos::deep_copy(out, sum + (step.training() && step.comm.is_root() ? settings_.auxiliary : 0.0));
    return out;
  }
  NormalisedRows normalised_rows() const override { return settings_.normalised; }
  std::vector<std::uint64_t> input_digests() const override { return settings_.digests; }
  bool has_auxiliary_loss() const override { return settings_.auxiliary != 0.0; }
  View1<double> target_loss() override { return target_loss_; }

  void backward(Step<T>& step) override {
    const double gamma = host(gamma_.value1())(0);
    double sum = 0.0, dgamma = 0.0;
    for (std::size_t i = 0; i < p_.size(); ++i) {
      sum += dp_[i];
      dgamma += dp_[i] * (z_[i] - mean_);
    }
    const double mean_dp = step.comm.sum(sum) / std::max(1.0, count_);
    const auto dw = host(weight_.grad1());
    double db = 0.0;
    for (std::size_t i = 0; i < p_.size(); ++i) {
      const double dz = gamma * (dp_[i] - mean_dp);
      db += dz;
      for (int c = 0; c < kWidth; ++c) dw(c) += static_cast<T>(dz * share_.x[i * kWidth + c]);
    }
    Kokkos::deep_copy(weight_.grad1(), dw);
    Kokkos::deep_copy(bias_.grad1(), static_cast<T>(db));
    Kokkos::deep_copy(gamma_.grad1(), static_cast<T>(dgamma));
    Kokkos::deep_copy(beta_.grad1(), static_cast<T>(sum));
  }

  void measure(const HostBatch& batch, Step<T>&, Measures& m) override {
    double absolute = 0.0, count = 0.0;
    for (std::size_t i = 0; i < p_.size(); ++i) {
      if (!std::isnan(share_.y[i])) {
        absolute += std::abs(p_[i] - share_.y[i]);
        count += 1.0;
      }
      if (m.keep_predictions) m.predictions.push_back({batch.samples[i], {share_.y[i]}, {p_[i]}});
    }
    if (!p_.empty()) m.add("absolute", absolute, count);
  }
  std::vector<std::pair<std::string, double>> metrics(const Measures& m) const override {
    const auto found = m.sums.find("absolute");
    return {{"mae", found == m.sums.end() ? std::numeric_limits<double>::quiet_NaN() : found->second.first / found->second.second}};
  }

  double data_mean() const { return settings_.mean; }

 private:
  static auto host(View1<T> v) { return Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), v); }

  std::string name_ = "fake";
  Settings settings_;
  ParamStore<T> store_;
  Param<T> weight_, bias_, gamma_, beta_, dead_;
  Buffer<T> running_mean_;
  View1<double> target_loss_;
  Splits splits_;
  Share share_;
  std::vector<double> z_, p_, dp_;
  double mean_ = 0.0, count_ = 0.0;
};

}  // namespace gnn_hpc::test
