// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"
#include "verify/adapters.hpp"
#include "verify/hgnn_moe_inputs.hpp"
#include "verify/hgnn_moe_trajectory.hpp"

namespace gnn_hpc::verify::hgnn_moe {

namespace {

using gnn_hpc::hgnn_moe::finish_batch;
using gnn_hpc::hgnn_moe::HostTokenBatch;
using gnn_hpc::hgnn_moe::Model;
using gnn_hpc::hgnn_moe::ModelOptions;

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

template <class T>
void check(GoldenFile& file, Report& report) {
  ModelOptions options = read_options(file, "config");
  options.dropout_rate = 0.0;  // as in all golden files
  ParamStore<T> store;
  Model<T> model(store, options);
  store.finalize(0);
  Manifest manifest(file);
  require_trajectory(file, store, /*required=*/true, manifest);
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
  check_trajectory<T>(file, model, store, nullptr, [&](std::int64_t s) { return batches[static_cast<std::size_t>(s)]; }, report);
  evaluation("trajectory/eval_after");
}

}  // namespace

void check_curve(GoldenFile& file, bool single_precision, Report& report) {
  single_precision ? check<float>(file, report) : check<double>(file, report);
}

}  // namespace gnn_hpc::verify::hgnn_moe
