// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/golden.hpp"

#include "base/error.hpp"
#include "models/hgnn_moe/golden_inputs.hpp"
#include "models/hgnn_moe/golden_trajectory.hpp"
#include "models/hgnn_moe/model.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gnn_hpc::verify::hgnn_moe {

namespace {

using gnn_hpc::hgnn_moe::finish_batch;
using gnn_hpc::hgnn_moe::HostTokenBatch;
using gnn_hpc::hgnn_moe::Model;
using gnn_hpc::hgnn_moe::ModelOptions;
using gnn_hpc::hgnn_moe::TokenBatch;

/// Bias of the keys: it adds the same number to all scores of a query, so that softmax does not feel it and its gradient is rounding noise.
bool holds_key_bias(const TensorInfo& tensor) { return tensor.name.ends_with("attention.in_proj_bias"); }

/// Batches of a data set [S,B,L] without masks.
std::vector<HostTokenBatch> read_batches(GoldenFile& file, const std::string& name, const ModelOptions& options, bool pack) {
  const IntegerTensor ids = file.integers(name, {-1, -1, -1});
  const std::size_t cells = ids.shape[1] * ids.shape[2];
  std::vector<HostTokenBatch> out(ids.shape[0]);
  for (std::size_t s = 0; s < out.size(); ++s) {
    HostTokenBatch& b = out[s];
    b.num_sequences = static_cast<int>(ids.shape[1]);
    b.length = static_cast<int>(ids.shape[2]);
    for (std::size_t i = s * cells; i < (s + 1) * cells; ++i) {
      const std::int64_t id = ids.values[i];
      if (id < 0 || id >= options.vocab_size) {
        file.fail(fmt::format("{}: batch {}, row {}, column {} holds {}, allowed are 0 to {}", name, s, (i - s * cells) / ids.shape[2],
                              (i - s * cells) % ids.shape[2], id, options.vocab_size - 1));
      }
      b.ids.push_back(static_cast<int>(id));
    }
    finish_batch(b, options.vocab_size, pack);
  }
  return out;
}

/// [loss, perplexity]: mean over the targets of all batches without dropout, and exp(min(loss, 20)).
template <class T>
RealTensor evaluate_batches(Model<T>& model, const std::vector<HostTokenBatch>& batches) {
  const Exec exec;
  const Comm alone;
  Arena arena;
  TokenBatch batch;
  double sum = 0.0, count = 0.0;
  for (const HostTokenBatch& host : batches) {
    arena.reset();
    Step<T> step{exec, arena, Mode::evaluate, RandomKey{}, alone};
    batch.upload(host, exec);
    model.forward(step, batch);
    const View1<double> loss = model.loss(step, batch, 1.0);
    exec.fence("gnn_hpc::verify::evaluate_batches");
    sum += host_values(loss)[1];
    count += host.loss_weight;
  }
  const double mean = count > 0.0 ? sum / count : std::numeric_limits<double>::infinity();
  return {{2}, {mean, std::exp(std::fmin(mean, 20.0))}};
}

/// Optimiser steps on these batches, one after the other.
template <class T>
void check_steps(GoldenFile& file, Model<T>& model, ParamStore<T>& store, const std::vector<HostTokenBatch>& batches, Report& report) {
  const Exec exec;
  const Comm alone;
  Arena arena;
  TokenBatch batch;
  Trajectory t = golden_trajectory(file);
  t.pass = [&](std::int64_t s) {
    arena.reset();
    Step<T> step{exec, arena, Mode::train, RandomKey{}, alone, s};
    const HostTokenBatch& host = batches[static_cast<std::size_t>(s)];
    batch.upload(host, exec);
    model.forward(step, batch);
    const View1<double> loss = model.loss(step, batch, std::max(host.loss_weight, 1.0));
    model.backward(step, batch);
    exec.fence("gnn_hpc::verify::check_steps");
    return host_values(loss)[1];  // without specialisation losses
  };
  t.resting = [&] { return model.resting(); };
  const RealTensor norm = file.real("trajectory/grad_norm");
  t.gradient_norm = norm.values.empty() ? 0.0 : std::abs(norm.values[0]);
  // The file has no gradients but their norm, which bounds the largest of them: noise of the keys' third of the bias.
  t.walk = [&](const TensorInfo& tensor, const Steps& taken) {
    const double noise = Tolerances::of(std::is_same_v<T, float>).zero_noise * t.gradient_norm;
    return holds_key_bias(tensor) ? taken.walk(std::vector<double>(tensor.size / 3, noise)) : 0.0;
  };
  check_trajectory<T>(file, store, t, report);
}

template <class T>
void check(GoldenFile& file, Report& report) {
  ModelOptions options = read_options(file, "config");
  options.dropout_rate = 0.0;  // as in all golden files
  ParamStore<T> store;
  Model<T> model(store, options);
  store.finalize(0);
  Manifest manifest(file);
  require_steps(file, store, /*required=*/true, manifest);
  if (file.has("inputs/held_out")) manifest.data({"eval_before", "eval_after"}, "trajectory/");
  manifest.finish();
  load_parameters(file, "params", store);
  const std::vector<HostTokenBatch> batches = read_batches(file, "inputs/batches", options, model.may_pack());
  std::vector<HostTokenBatch> held_out;
  if (file.has("inputs/held_out")) held_out = read_batches(file, "inputs/held_out", options, model.may_pack());
  const double allowed = Tolerances::of(std::is_same_v<T, float>).trajectory;
  const auto evaluation = [&](const char* name) {
    if (!held_out.empty()) report.compare(name, file.real(name), evaluate_batches(model, held_out), allowed);
  };
  evaluation("trajectory/eval_before");
  const RealTensor losses = file.real("trajectory/loss");
  if (losses.shape != std::vector<std::size_t>{batches.size()}) {
    return report.fail("trajectory/loss", fmt::format("shape {}, inputs/batches holds {} batches", shape_text(losses.shape), batches.size()));
  }
  check_steps<T>(file, model, store, batches, report);
  evaluation("trajectory/eval_after");
}

}  // namespace

void check_curve(GoldenFile& file, bool single_precision, Report& report) {
  single_precision ? check<float>(file, report) : check<double>(file, report);
}

}  // namespace gnn_hpc::verify::hgnn_moe
