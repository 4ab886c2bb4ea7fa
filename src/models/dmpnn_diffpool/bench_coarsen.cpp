// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/bench_coarsen.hpp"

#include "base/error.hpp"
#include "base/median.hpp"
#include "base/signals.hpp"
#include "models/dmpnn_diffpool/task.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <vector>

namespace gnn_hpc::dmpnn {

namespace {

using Clock = std::chrono::steady_clock;
}  // namespace

template <class T>
nlohmann::ordered_json bench_coarsen(Task<T>& any, const PartBenchRequest& request) {
  auto* const task = dynamic_cast<DmpnnTask<T>*>(&any);
  if (task == nullptr || task->options().levels() == 0) {
    throw Error(Exit::usage, "bench --what coarsen needs model.encoder=diffpool");
  }
  const Comm self = Comm::self();
  task->open_data(self, DataUse::training);
  const auto samples = first_samples(any, request.batch);
  const auto batch = task->new_batch();
  task->collate(samples, *batch);

  const Exec exec;
  Arena arena;
  Step<T> step{exec, arena, Mode::train, RandomKey{request.seed, 0}, self};
  const BatchSize size = task->upload(*batch, step);
  task->forward(step);
  exec.fence();
  const DiffPool<T>& pool = task->model().pooling();
  const auto& saved = task->model().saved().levels.front();
  const View2<T> features = saved.encoder.edges;

  std::vector<double> assign, coarsen, backward;
  int pairs = 0;
  for (int i = -std::max(1, request.warmup); i < request.repeat; ++i) {
    throw_if_stop_wanted("bench", "a measurement that was not finished is none");
    ArenaFrame frame(arena);
    const auto begin = Clock::now();
    const Assignment s = pool.assign(step, saved.level, saved.logits, saved.assignment.slots);
    exec.fence();
    const auto assigned = Clock::now();
    const CoarseEdges<T> edges = pool.coarsen(step, saved.level, s, features);
    exec.fence();
    const auto coarse = Clock::now();
    const auto gradient = arena.matrix<T>(edges.feature.extent(0), edges.feature.extent(1));
    Kokkos::deep_copy(exec, gradient, T(1));
    exec.fence();
    const auto ready = Clock::now();
    pool.coarsen_backward(step, saved.level, s, edges, features, gradient, View2<T>());
    exec.fence();
    const auto end = Clock::now();
    pairs = edges.num_pairs;
    if (i < 0) continue;
    assign.push_back(std::chrono::duration<double>(assigned - begin).count());
    coarsen.push_back(std::chrono::duration<double>(coarse - assigned).count());
    backward.push_back(std::chrono::duration<double>(end - ready).count());
  }

  nlohmann::ordered_json j;
  j["graphs"] = size.graphs;
  j["nodes"] = size.nodes;
  j["edges"] = size.edges;
  j["topk"] = task->options().diffpool_topk;
  j["clusters"] = saved.level.num_clusters;
  j["coarse_edges"] = pairs;
  j["repeat"] = request.repeat;
  j["median_seconds"] = median(coarsen);
  j["minimum_seconds"] = *std::min_element(coarsen.begin(), coarsen.end());
  j["assign_seconds"] = median(assign);
  j["backward_seconds"] = median(backward);
  return j;
}

template nlohmann::ordered_json bench_coarsen<float>(Task<float>&, const PartBenchRequest&);
template nlohmann::ordered_json bench_coarsen<double>(Task<double>&, const PartBenchRequest&);

}  // namespace gnn_hpc::dmpnn
