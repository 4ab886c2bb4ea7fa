// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_subnormals.hpp"

#include "base/error.hpp"
#include "base/subnormals.hpp"
#include "cli/bench.hpp"
#include "graph/sampler.hpp"
#include "nn/operand_count.hpp"
#include "train/optimizer.hpp"
#include "train/schedule.hpp"
#include "train/step_runner.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace gnn_hpc {

namespace {

using Form = OperandCount::Form;

/// The tensor of a flat array of parameters or gradients that an address lies in; nullptr: none.
template <class T>
const TensorInfo* tensor_at(const ParamStore<T>& store, View1<T> flat, const void* address) {
  const T* at = static_cast<const T*>(address);
  if (at < flat.data() || at >= flat.data() + flat.size()) return nullptr;
  const auto offset = static_cast<std::size_t>(at - flat.data());
  for (const TensorInfo& t : store.tensors()) {
    if (offset >= t.offset && offset < t.offset + t.size) return &t;
  }
  return nullptr;
}

template <class T>
std::string name_of_matrix(const ParamStore<T>& store, const OperandCount::Entry& e) {
  const TensorInfo* t = tensor_at(store, e.form == Form::tn ? store.gradients() : store.values(), e.matrix);
  return t != nullptr ? t->name : fmt::format("(another matrix, {} x {})", e.inner, e.columns);
}

const char* kind_of(Form form) { return form == Form::nt ? "forward" : form == Form::nn ? "input_gradient" : "weight_gradient"; }

/// By name and kind: lanes take parts of a matrix, and each is a matrix of its own to the count.
template <class T>
nlohmann::ordered_json products_json(const ParamStore<T>& store, const std::vector<OperandCount::Entry>& entries) {
  std::map<std::pair<std::string, Form>, OperandCount::Entry> sums;
  for (const OperandCount::Entry& e : entries) {
    OperandCount::Entry& sum = sums[{name_of_matrix(store, e), e.form}];
    sum.products += e.products;
    sum.left += e.left;
    sum.left_subnormal += e.left_subnormal;
    sum.right += e.right;
    sum.right_subnormal += e.right_subnormal;
  }
  std::vector<std::pair<std::pair<std::string, Form>, OperandCount::Entry>> rows(sums.begin(), sums.end());
  std::stable_sort(rows.begin(), rows.end(), [](const auto& x, const auto& y) {
    return x.second.left_subnormal + x.second.right_subnormal > y.second.left_subnormal + y.second.right_subnormal;
  });
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const auto& [key, e] : rows) {
    out.push_back({{"matrix", key.first},
                   {"kind", kind_of(key.second)},
                   {"products", e.products},
                   {"left", e.left},
                   {"left_subnormal", e.left_subnormal},
                   {"right", e.right},
                   {"right_subnormal", e.right_subnormal}});
  }
  return out;
}

template <class T>
nlohmann::ordered_json tensors_json(const ParamStore<T>& store) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const TensorInfo& t : store.tensors()) {
    const auto count = [&](View1<T> flat) { return count_subnormals(View2<T>(flat.data() + t.offset, 1, t.size)); };
    const std::int64_t values = count(store.values()), gradients = count(store.gradients());
    if (values + gradients > 0) {
      out.push_back({{"name", t.name}, {"elements", t.size}, {"values_subnormal", values}, {"gradients_subnormal", gradients}});
    }
  }
  return out;
}

}  // namespace

template <class T>
nlohmann::ordered_json bench_subnormals(Job<T>& job, const CommandLine& line, const Comm& comm) {
  if constexpr (!kExecIsHost)
    throw Error(Exit::usage, "bench --what subnormals looks at products on the processor; this program computes on a device");
  Task<T>& task = *job.task;
  task.open_data(comm, DataUse::training);
  load_weights(task, line);
  const std::vector<std::int64_t> samples = first_samples(task, line.batch > 0 ? line.batch : job.options.train.batch_size);
  const auto share = rank_share(
      samples, [&](std::int64_t s) { return task.cost(s); }, comm.rank(), comm.size());
  const auto batch = task.new_batch();
  task.collate(share, *batch);
  Optimizer<T> optimizer(task.params(), job.options.train);
  StepRunner<T> runner(task, comm, static_cast<std::uint64_t>(job.options.run.seed));

  flush_subnormals_on_all_threads(false);
  OperandCount count;
  const StepRate rate{0.0, job.options.train.beta1};
  runner.train(*batch, comm.sum(batch->loss_weight), optimizer, rate, 0, nullptr);
  nlohmann::ordered_json j = bench_head(job, line, comm);
  j["checkpoint"] = line.checkpoint;
  std::int64_t operands = 0, subnormal = 0;
  for (const OperandCount::Entry& e : count.entries()) {
    operands += e.left + e.right;
    subnormal += e.left_subnormal + e.right_subnormal;
  }
  j["operands"] = operands;
  j["operands_subnormal"] = subnormal;
  j["products"] = products_json(task.params(), count.entries());
  j["tensors"] = tensors_json(task.params());
  flush_subnormals_on_all_threads(job.options.run.flush_subnormals);
  return j;
}

template nlohmann::ordered_json bench_subnormals<float>(Job<float>&, const CommandLine&, const Comm&);
template nlohmann::ordered_json bench_subnormals<double>(Job<double>&, const CommandLine&, const Comm&);

}  // namespace gnn_hpc
