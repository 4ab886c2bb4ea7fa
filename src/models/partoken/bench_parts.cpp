// SPDX-License-Identifier: Apache-2.0
#include "models/partoken/bench_parts.hpp"

#include "base/error.hpp"
#include "base/median.hpp"
#include "base/signals.hpp"
#include "graph/residue_graph.hpp"
#include "models/partoken/task.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <map>
#include <vector>

namespace gnn_hpc::partoken {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point a, Clock::time_point b) { return std::chrono::duration<double>(b - a).count(); }

/// A walk of steps of 3.8 angstrom with the other atoms of the backbone beside it.
std::vector<double> walk(int residues, std::uint64_t seed) {
  const RandomKey key{seed, fnv1a64("bench_partitioner")};
  std::vector<double> out;
  double at[3] = {};
  for (int i = 0; i < residues; ++i) {
    const auto draw = [&](int n) { return key.normal(static_cast<std::uint64_t>(16 * i + n)); };
    for (int c = 0; c < 3; ++c) at[c] += 2.2 * draw(c);
    for (int a = 0; a < 4; ++a) {
      for (int c = 0; c < 3; ++c) out.push_back(at[c] + (a == 1 ? 0.0 : 0.8 * draw(4 + 3 * a + c)));
    }
  }
  return out;
}

ResidueBatch walks(int chains, int shortest, int longest, int top_k) {
  ResidueBatch b;
  b.graph_ptr = {0};
  b.in_ptr = {0};
  b.num_graphs = chains;
  for (int g = 0; g < chains; ++g) {
    const int residues = chains > 1 ? shortest + (longest - shortest) * g / (chains - 1) : longest;
    const ResidueGraph graph = build_residue_graph(walk(residues, static_cast<std::uint64_t>(g)), top_k);
    const int first = b.graph_ptr.back(), edges = static_cast<int>(b.src.size());
    for (std::size_t i = 1; i < graph.in_ptr.size(); ++i) b.in_ptr.push_back(edges + graph.in_ptr[i]);
    for (const int j : graph.src) b.src.push_back(first + j);
    b.node_s.insert(b.node_s.end(), graph.node_s.begin(), graph.node_s.end());
    b.node_v.insert(b.node_v.end(), graph.node_v.begin(), graph.node_v.end());
    b.position.insert(b.position.end(), graph.position.begin(), graph.position.end());
    b.code.insert(b.code.end(), static_cast<std::size_t>(residues), 0);
    b.graph_ptr.push_back(first + residues);
  }
  b.num_nodes = b.graph_ptr.back();
  b.num_edges = static_cast<int>(b.src.size());
  b.finish();
  return b;
}

template <class T>
void fill_positive(const Exec& exec, View2<T> x) {
  const RandomKey key{1, 2};
  const int columns = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::bench_partitioner::fill", RowMajor2(exec, {0, 0}, {x.extent_int(0), columns}), KOKKOS_LAMBDA(const int r, const int c) {
        const T value = static_cast<T>(key.normal(static_cast<std::uint64_t>(r) * columns + c));
        x(r, c) = value > T(0) ? value : T(0);
      });
}

/// Medians of the passes of one way of asking for neighbours.
template <class T>
nlohmann::ordered_json time_partitioner(PartitionerOptions options, bool dense, const ResidueInput<T>& graph, const PartBenchRequest& request) {
  options.dense = dense;
  ParamStore<T> store;
  const Partitioner<T> partitioner(store, options);
  store.finalize(request.seed);
  const Exec exec;
  const auto nodes = static_cast<std::size_t>(graph.num_nodes), width = static_cast<std::size_t>(options.width);
  const View2<T> x("x", nodes, width), dx("dx", nodes, width);
  const View2<T> dclusters("dclusters", static_cast<std::size_t>(graph.num_graphs * options.max_clusters), width);
  fill_positive(exec, x);
  fill_positive(exec, dclusters);
  Arena arena;
  const Comm self;
  typename Partitioner<T>::Saved saved;
  std::vector<double> forward, backward;
  for (int i = -std::max(1, request.warmup); i < request.repeat; ++i) {
    throw_if_stop_wanted("bench", "a measurement that was not finished is none");
    arena.reset();
    Step<T> step{exec, arena, Mode::train, RandomKey{1, 2}, self};
    exec.fence();
    const auto begin = Clock::now();
    partitioner.forward(step, graph, x, nullptr, saved);
    exec.fence();
    const auto middle = Clock::now();
    partitioner.backward(step, graph, saved, dclusters, 0.005, dx);
    exec.fence();
    if (i < 0) continue;
    forward.push_back(seconds_between(begin, middle));
    backward.push_back(seconds_between(middle, Clock::now()));
  }
  return {{"forward_seconds", median(forward)}, {"backward_seconds", median(backward)}, {"arena_bytes", arena.high_water()}};
}

template <class T>
nlohmann::ordered_json time_both(const PartitionerOptions& options, const ResidueInput<T>& graph, const PartBenchRequest& request) {
  nlohmann::ordered_json j{{"chains", graph.num_graphs}, {"residues", graph.num_nodes}, {"edges", graph.num_edges}};
  j["sparse"] = time_partitioner(options, false, graph, request);
  j["dense"] = time_partitioner(options, true, graph, request);
  return j;
}

template <class T>
PartokenTask<T>& partoken_task(Task<T>& any) {
  auto* const task = dynamic_cast<PartokenTask<T>*>(&any);
  GNN_HPC_REQUIRE(task != nullptr, "system {} has no partitioner", any.name());
  if (task->params().tensors().empty()) task->open_data(Comm::self(), DataUse::training);
  return *task;
}

/// The first chains of the input on the device.
template <class T>
Step<T> upload_first(PartokenTask<T>& task, const PartBenchRequest& request, const Exec& exec, Arena& arena, const Comm& self) {
  const auto batch = task.new_batch();
  task.collate(first_samples<T>(task, request.batch), *batch);
  Step<T> step{exec, arena, Mode::train, RandomKey{1, 2}, self};
  task.upload(*batch, step);
  return step;
}

}  // namespace

template <class T>
nlohmann::ordered_json bench_partitioner(Task<T>& any, const PartBenchRequest& request) {
  PartokenTask<T>& task = partoken_task(any);
  const PartitionerOptions& options = task.model_options().partitioner;
  const int top_k = task.dataset().options().top_k;
  const Exec exec;
  Arena arena;
  const Comm self;
  nlohmann::ordered_json j;
  for (const auto& [name, chains, shortest, longest] :
       {std::tuple{"2 x 50", 2, 50, 50}, std::tuple{"2 x 200", 2, 200, 200}, std::tuple{"64 x 249..359", 64, 249, 359}}) {
    ResidueInput<T> graph;
    std::vector<std::uint64_t> keys(static_cast<std::size_t>(chains));
    for (std::size_t g = 0; g < keys.size(); ++g) keys[g] = g;
    graph.upload(walks(chains, shortest, longest, top_k), keys, exec);
    j["made_up"][name] = time_both(options, graph, request);
  }
  upload_first(task, request, exec, arena, self);
  j["input"] = time_both(options, task.input(), request);
  return j;
}

template <class T>
nlohmann::ordered_json bench_components(Task<T>& any, const PartBenchRequest& request) {
  PartokenTask<T>& task = partoken_task(any);
  const Exec exec;
  Arena arena;
  const Comm self;
  PartClock clock;
  task.model().measure_parts(&clock);
  Step<T> step = upload_first(task, request, exec, arena, self);
  std::vector<std::string> order;
  std::map<std::string, std::vector<double>> times;
  for (int i = -std::max(1, request.warmup); i < request.repeat; ++i) {
    throw_if_stop_wanted("bench", "a measurement that was not finished is none");
    arena.reset();
    clock.begin(exec);
    task.forward(step);
    for (const auto& [part, seconds] : clock.take()) {
      if (i < 0) continue;
      if (times.count(part) == 0) order.push_back(part);
      times[part].push_back(seconds);
    }
  }
  task.model().measure_parts(nullptr);
  nlohmann::ordered_json j{{"chains", task.input().num_graphs}, {"residues", task.input().num_nodes}, {"edges", task.input().num_edges}};
  double all = 0.0;
  for (const std::string& part : order) all += median(times[part]);
  for (const std::string& part : order) {
    const double seconds = median(times[part]);
    j["forward"][part] = {{"seconds", seconds}, {"percent", 100.0 * seconds / all}};
  }
  j["forward_seconds"] = all;
  j["seconds_per_chain"] = all / std::max(1, task.input().num_graphs);
  return j;
}

template nlohmann::ordered_json bench_partitioner<float>(Task<float>&, const PartBenchRequest&);
template nlohmann::ordered_json bench_partitioner<double>(Task<double>&, const PartBenchRequest&);
template nlohmann::ordered_json bench_components<float>(Task<float>&, const PartBenchRequest&);
template nlohmann::ordered_json bench_components<double>(Task<double>&, const PartBenchRequest&);

}  // namespace gnn_hpc::partoken
