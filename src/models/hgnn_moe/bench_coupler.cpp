// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/bench_coupler.hpp"

#include "base/error.hpp"
#include "base/median.hpp"
#include "base/signals.hpp"
#include "models/hgnn_moe/coupler.hpp"
#include "models/hgnn_moe/task.hpp"
#include "nn/matmul.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <vector>

namespace gnn_hpc::hgnn_moe {

namespace {

using Clock = std::chrono::steady_clock;

template <class T>
void fill_random(const Exec& exec, View2<T> x, std::uint64_t stream) {
  const RandomKey key{1, stream};
  const int columns = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::bench_coupler::fill", Rows(exec, 0, x.extent_int(0)), KOKKOS_LAMBDA(const int r) {
        for (int c = 0; c < columns; ++c) x(r, c) = static_cast<T>(key.normal(static_cast<std::uint64_t>(r) * columns + c));
      });
}

/// dx_e = factor[e] common, every entry written.
template <class T>
void write_out(const Exec& exec, View2<T> common, View1<T> factor, View2<T> dx) {
  const int width = common.extent_int(1), experts = factor.extent_int(0);
  Kokkos::parallel_for(
      "gnn_hpc::bench_coupler::write_out", Rows(exec, 0, common.extent_int(0)), KOKKOS_LAMBDA(const int r) {
        for (int e = 0; e < experts; ++e) {
          const T f = factor(e);
          const T* from = &common(r, 0);
          T* to = &dx(r, e * width);
          GNN_HPC_SIMD
          for (int c = 0; c < width; ++c) to[c] = f * from[c];
        }
      });
}

}  // namespace

template <class T>
nlohmann::ordered_json bench_coupler(Task<T>& any, const PartBenchRequest& request) {
  auto* const task = dynamic_cast<LanguageTask<T>*>(&any);
  GNN_HPC_REQUIRE(task != nullptr, "system {} has no coupler", any.name());
  const ModelOptions& options = task->model().options();
  const int tokens = request.batch * options.max_seq_length;
  const int columns = options.num_experts * options.embed_dim;
  ParamStore<T> store;
  const auto coupler = make_coupler<T>(store, "coupler", options);
  store.finalize(request.seed);
  const Exec exec;
  const View2<T> x("x", tokens, columns), dy("dy", tokens, options.embed_dim), y("y", tokens, options.embed_dim), dx("dx", tokens, columns);
  fill_random<T>(exec, x, 1);
  fill_random<T>(exec, dy, 2);
  Arena arena;
  const Comm self;
  std::vector<double> forward, backward, written;
  double flops = 0.0;
  for (int i = -std::max(1, request.warmup); i < request.repeat; ++i) {
    throw_if_stop_wanted("bench", "a measurement that was not finished is none");
    arena.reset();
    Step<T> step{exec, arena, Mode::train, RandomKey{1, 2}, self};
    store.zero_gradients(exec);
    reset_matmul_flops();
    exec.fence();
    const auto begin = Clock::now();
    coupler->forward(step, x, View2<T>(), y);
    exec.fence();
    const auto middle = Clock::now();
    const OutputGradient<T> gradient = coupler->backward(step, dy);
    exec.fence();
    const auto handed = Clock::now();
    if (gradient.common.extent(0) > 0) write_out<T>(exec, gradient.common, gradient.factor, dx);
    exec.fence();
    const auto end = Clock::now();
    flops = matmul_flops();
    if (i < 0) continue;
    forward.push_back(std::chrono::duration<double>(middle - begin).count());
    backward.push_back(std::chrono::duration<double>(handed - middle).count());
    written.push_back(std::chrono::duration<double>(end - handed).count());
  }
  std::vector<double> whole(forward.size());
  for (std::size_t i = 0; i < whole.size(); ++i) whole[i] = forward[i] + backward[i] + written[i];
  nlohmann::ordered_json j;
  j["coupler"] = options.coupler_type == CouplerType::hgnn ? "HGNN" : "GNN";
  j["tokens"] = tokens;
  j["experts"] = options.num_experts;
  j["width"] = options.embed_dim;
  j["convolutions"] = options.gnn_layers;
  j["repeat"] = request.repeat;
  j["median_seconds"] = median(whole);
  j["minimum_seconds"] = *std::min_element(whole.begin(), whole.end());
  j["forward_seconds"] = median(forward);
  j["backward_seconds"] = median(backward);
  j["handed_on_seconds"] = median(forward) + median(backward);
  j["gflop"] = flops * 1e-9;
  j["gflop_per_second"] = flops * 1e-9 / median(whole);
  j["arena_bytes"] = arena.high_water();
  return j;
}

template nlohmann::ordered_json bench_coupler<float>(Task<float>&, const PartBenchRequest&);
template nlohmann::ordered_json bench_coupler<double>(Task<double>&, const PartBenchRequest&);

}  // namespace gnn_hpc::hgnn_moe
