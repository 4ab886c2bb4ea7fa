// SPDX-License-Identifier: Apache-2.0
#include "cli/dry_run.hpp"

#include "base/text.hpp"
#include "graph/sampler.hpp"
#include "train/batch_check.hpp"
#include "train/batch_feed.hpp"
#include "train/optimizer.hpp"
#include "train/step_runner.hpp"

#include <fmt/ostream.h>

#include <algorithm>

namespace gnn_hpc {

namespace {

struct Module {
  std::string name;
  std::int64_t tensors = 0, elements = 0, unused = 0;
};

/// "att_layers.0.lin_key.weight" -> "att_layers.0", "fc_out.bias" -> "fc_out", "rbf.1.weight" -> "rbf.1".
std::string module_of(const std::string& tensor) {
  const std::vector<std::string> parts = split(tensor, '.');
  if (parts.size() < 3) return parts.front();
  const bool numbered = parts[1].find_first_not_of("0123456789") == std::string::npos;
  return numbered ? parts[0] + "." + parts[1] : parts[0];
}

}  // namespace

template <class T>
void print_parameter_table(ParamStore<T>& store, std::ostream& out) {
  std::vector<Module> modules;
  for (const TensorInfo& tensor : store.tensors()) {
    const std::string name = module_of(tensor.name);
    auto at = std::find_if(modules.begin(), modules.end(), [&](const Module& m) { return m.name == name; });
    if (at == modules.end()) at = modules.insert(modules.end(), Module{name});
    ++at->tensors;
    at->elements += static_cast<std::int64_t>(tensor.size);
    if (!tensor.used) at->unused += static_cast<std::int64_t>(tensor.size);
  }
  const auto total = static_cast<std::int64_t>(store.num_parameters());
  std::int64_t unused = 0;
  fmt::print(out, "{:<28} {:>8} {:>14} {:>8}\n", "module", "tensors", "parameters", "share");
  for (const Module& m : modules) {
    fmt::print(out, "{:<28} {:>8} {:>14} {:>6.1f} %\n", m.name, m.tensors, format_count(m.elements),
               total > 0 ? 100.0 * static_cast<double>(m.elements) / static_cast<double>(total) : 0.0);
    unused += m.unused;
  }
  fmt::print(out, "{:<28} {:>8} {:>14}\n", "all", store.tensors().size(), format_count(total));
  if (unused > 0) fmt::print(out, "of these {} are kept for checkpoints of the reference only and never trained\n", format_count(unused));
}

namespace {

/// Steps, sizes, and the memory of the costliest batch, which is run once to measure it. Collective.
template <class T>
void print_data(Job<T>& job, const Comm& comm, std::ostream& out) {
  Task<T>& task = *job.task;
  const Splits& splits = task.splits();
  const TrainOptions& train = job.options.train;
  check_batches(task, train);
  const std::int64_t steps = BatchPlan::count_training(static_cast<std::int64_t>(splits.train.size()), train.batches());
  if (comm.is_root()) {
    fmt::print(out, "{:<28} {} training, {} validation, {} test\n", "samples", format_count(static_cast<long long>(splits.train.size())),
               format_count(static_cast<long long>(splits.validation.size())), format_count(static_cast<long long>(splits.test.size())));
    fmt::print(out, "{:<28} {} per epoch, {} in all\n", "steps", format_count(steps), format_count(steps * train.epochs));
  }
  const BatchPlan plan = BatchPlan::training(splits.train, train.batches(), static_cast<std::uint64_t>(job.options.run.seed), 0);
  if (plan.num_batches() == 0) return;
  const auto batch = task.new_batch();
  collate_share(task, comm, plan, costliest_batch(task, plan), *batch);
  Optimizer<T> optimizer(task.params(), train);
  StepRunner<T> runner(task, comm, static_cast<std::uint64_t>(job.options.run.seed));
  runner.warm_up(*batch, comm.sum(batch->loss_weight), optimizer);
  const auto bytes = comm.max(static_cast<std::int64_t>(runner.arena().high_water()));
  if (comm.is_root()) {
    fmt::print(out, "{:<28} {} (measured on the costliest batch of the first epoch, per rank)\n", "activations of a step",
               format_bytes(static_cast<double>(bytes)));
  }
}

}  // namespace

template <class T>
void print_plan(Job<T>& job, const Comm& comm, std::ostream& out) {
  const bool built = job.task->open_data(comm, DataUse::training_if_built);  // a model may take its shape from the data
  ParamStore<T>& store = job.task->params();
  if (comm.is_root()) {
    fmt::print(out, "# options as they will be used\n{}\n# parameters\n", job.resolved);
    if (store.tensors().empty())
      fmt::print(out, "the model takes its shape from the data, which is not built yet\n");
    else
      print_parameter_table(store, out);
    const double flat = static_cast<double>(store.values().extent(0)) * sizeof(T);
    const double moments = job.options.train.optimizer == "sgd" ? 1.0 : 2.0;
    fmt::print(out, "\n# data and memory of each of {} rank(s)\n", comm.size());
    fmt::print(out, "{:<28} {} (parameters, gradients, moments)\n", "model and optimiser",
               store.tensors().empty() ? "not known yet" : format_bytes(flat * (2.0 + moments)));
  }
  if (built) {
    print_data(job, comm, out);
  } else if (comm.is_root()) {
    fmt::print(out, "{:<28} no graph cache yet: gnn_hpc build-graphs makes it; sizes and the memory of a step are known then\n", "data");
  }
}

template void print_parameter_table<float>(ParamStore<float>&, std::ostream&);
template void print_parameter_table<double>(ParamStore<double>&, std::ostream&);
template void print_plan<float>(Job<float>&, const Comm&, std::ostream&);
template void print_plan<double>(Job<double>&, const Comm&, std::ostream&);

}  // namespace gnn_hpc
