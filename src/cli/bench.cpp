// SPDX-License-Identifier: Apache-2.0
#include "cli/bench.hpp"

#include "base/device_work.hpp"
#include "base/error.hpp"
#include "base/median.hpp"
#include "base/signals.hpp"
#include "base/together.hpp"
#include "cli/bench_subnormals.hpp"
#include "cli/machine.hpp"
#include "graph/loader.hpp"
#include "graph/sampler.hpp"
#include "io/atomic_file.hpp"
#include "models/systems.hpp"
#include "nn/matmul.hpp"
#include "train/batch_feed.hpp"
#include "train/capabilities.hpp"
#include "train/checkpoint.hpp"
#include "train/optimizer.hpp"
#include "train/predict.hpp"
#include "train/run_folder.hpp"
#include "train/schedule.hpp"
#include "train/step_runner.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <optional>

#include <sys/resource.h>
#include <unistd.h>

namespace gnn_hpc {

namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// Largest resident set of this process so far, bytes.
std::int64_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace

template <class T>
nlohmann::ordered_json bench_head(const Job<T>& job, const CommandLine& line, const Comm& comm) {
  nlohmann::ordered_json j;
  j["command"] = "bench";
  j["what"] = line.what;
  j["input"] = line.input;
  j["system"] = job.options.system;
  j["precision"] = std::is_same_v<T, float> ? "float" : "double";
  j["ranks"] = comm.size();
  return j;
}

template <class T>
void load_weights(Task<T>& task, const CommandLine& line) {
  if (!line.checkpoint.empty()) load_checkpoint<T>(checkpoint_for_prediction(line.checkpoint), task.params(), nullptr);
}

template <class T>
nlohmann::ordered_json bench_step(Job<T>& job, const CommandLine& line, const Comm& comm) {
  Task<T>& task = *job.task;
  task.open_data(comm, DataUse::training);
  load_weights(task, line);
  const int batch_size = line.batch > 0 ? line.batch : job.options.train.batch_size;
  const std::vector<std::int64_t> samples = first_samples(task, batch_size);
  const auto share = rank_share(
      samples, [&](std::int64_t s) { return task.cost(s); }, comm.rank(), comm.size());
  const auto batch = task.new_batch();
  task.collate(share, *batch);
  const double divisor = comm.sum(batch->loss_weight);

  Optimizer<T> optimizer(task.params(), job.options.train);
  StepRunner<T> runner(task, comm, static_cast<std::uint64_t>(job.options.run.seed));
  // A rate of zero: the weights stay those of the beginning, so that every repetition does the same work on ordinary numbers.
  const StepRate rate{0.0, job.options.train.beta1};
  const auto step = [&](int i, PhaseSeconds* times) { return runner.train(*batch, divisor, optimizer, rate, i, times); };

  StepResult result = step(0, nullptr);
  const auto stop_here = [&] { stop_together(comm, "bench", "a measurement that was not finished is none"); };
  for (int i = 1; i < line.warmup; ++i) {
    stop_here();
    step(i, nullptr);
  }
  reset_matmul_flops();
  std::optional<DeviceWork> device;
  if (!kExecIsHost) device.emplace();
  step(0, nullptr);
  nlohmann::ordered_json asked;
  if (device) {
    const DeviceWork::Counts counts = device->counts();
    asked = {{"launches", counts.launches},
             {"products", matmul_products()},
             {"fences", counts.fences},
             {"copies", counts.copies},
             {"copied_bytes", counts.copied_bytes}};
    device.reset();
  }
  const double flops = comm.sum(matmul_flops());

  std::vector<double> whole;
  for (int i = 0; i < line.repeat; ++i) {
    stop_here();
    comm.barrier();
    const auto begin = Clock::now();
    step(i, nullptr);
    whole.push_back(seconds_since(begin));
  }
  std::array<std::vector<double>, 7> phases;
  for (int i = 0; i < line.repeat; ++i) {
    stop_here();
    comm.barrier();
    const auto begin = Clock::now();
    task.collate(share, *batch);
    phases[0].push_back(seconds_since(begin));
    PhaseSeconds t;
    step(i, &t);
    const std::array<double, 6> measured{t.upload, t.forward, t.loss, t.backward, t.reduce, t.update};
    for (std::size_t p = 0; p < measured.size(); ++p) phases[p + 1].push_back(measured[p]);
  }

  std::array<std::int64_t, 3> size{result.size.graphs, result.size.nodes, result.size.edges};
  comm.sum(std::span<std::int64_t>(size));
  double seconds = median(whole);  // the slowest rank's
  comm.max(std::span<double>(&seconds, 1));
  nlohmann::ordered_json j = bench_head(job, line, comm);
  j["graphs"] = size[0];
  j["nodes"] = size[1];
  j["edges"] = size[2];
  j["parameters"] = task.params().num_parameters();
  j["repeat"] = line.repeat;
  j["warmup"] = line.warmup;
  j["median_seconds"] = seconds;
  j["minimum_seconds"] = *std::min_element(whole.begin(), whole.end());
  j["items_per_second"] = static_cast<double>(size[0]) / seconds;
  j["edges_per_second"] = static_cast<double>(size[2]) / seconds;
  j["gflop"] = flops * 1e-9;
  j["gflop_per_second"] = flops * 1e-9 / seconds;
  const auto* work = offered<WorkCount>(task);
  if (const double model = work != nullptr ? comm.sum(work->flops(*batch)) : 0.0; model > 0.0) {  // by the model's formula: nothing counted twice
    j["model_gflop"] = model * 1e-9;
    j["model_gflop_per_second"] = model * 1e-9 / seconds;
    j[fmt::format("{}_per_second", work->token_name())] = comm.sum(work->tokens(*batch)) / seconds;
  }
  static constexpr const char* kPhases[] = {"collate", "upload", "forward", "loss", "backward", "allreduce", "optimizer"};
  for (std::size_t p = 0; p < phases.size(); ++p) j["phases_ms"][kPhases[p]] = 1e3 * median(phases[p]);
  if (!asked.is_null()) j["asked_of_device"] = asked;
  j["arena_bytes"] = comm.max(static_cast<std::int64_t>(runner.arena().high_water()));
  j["peak_memory_bytes"] = comm.max(peak_memory());
  j["loss"] = result.loss;
  return j;
}

template <class T>
nlohmann::ordered_json bench_load(Job<T>& job, const CommandLine& line, const Comm& comm) {
  Task<T>& task = *job.task;
  const auto begin = Clock::now();
  task.open_data(comm, DataUse::training);
  const double open_seconds = seconds_since(begin);
  const int batch_size = line.batch > 0 ? line.batch : job.options.train.batch_size;
  BatchRule rule = job.options.train.batches();
  rule.batch_size = batch_size;
  const BatchPlan plan = BatchPlan::training(task.splits().train, rule, static_cast<std::uint64_t>(job.options.run.seed), 0);
  Loader<HostBatch> loader(
      plan.num_batches(), [&] { return task.new_batch(); }, [&](std::int64_t b, HostBatch& out) { collate_share(task, comm, plan, b, out); });
  std::vector<double> seconds;
  double first = 0.0, all = 0.0;
  std::int64_t loaded = 0;
  for (auto last = Clock::now(); const HostBatch* batch = loader.next();) {
    throw_if_stop_wanted("bench", "a measurement that was not finished is none");
    if (seconds.empty()) first = seconds_since(begin);
    seconds.push_back(seconds_since(last));
    loaded += static_cast<std::int64_t>(batch->samples.size());
    all = seconds_since(begin);
    last = Clock::now();
  }
  loaded = comm.sum(loaded);
  nlohmann::ordered_json j = bench_head(job, line, comm);
  j["batches"] = plan.num_batches();
  j["graphs"] = loaded;
  j["open_seconds"] = open_seconds;
  j["first_batch_seconds"] = first;
  j["median_seconds"] = median(seconds);
  j["items_per_second"] = static_cast<double>(loaded) / std::max(1e-9, all - first + median(seconds));
  j["peak_memory_bytes"] = comm.max(peak_memory());
  return j;
}

namespace {

/// Reads, builds and writes the graphs into an empty folder, `repeat` times.
template <class T>
nlohmann::ordered_json bench_graph(const std::string& text, const CommandLine& line, const Comm& comm) {
  namespace fs = std::filesystem;
  std::string folder;
  on_root(comm, [&] {
    std::string pattern = (fs::temp_directory_path() / "gnn_hpc_bench_XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw Error(Exit::data, "cannot make a folder " + pattern);
    folder = pattern;
  });
  struct Removal {  // also where the build is stopped
    const std::string& folder;
    const bool mine;
    ~Removal() {
      std::error_code ignored;
      if (mine) fs::remove_all(folder, ignored);
    }
  } const removal{folder, comm.is_root()};
  comm.broadcast(folder);
  std::vector<double> seconds;
  nlohmann::ordered_json j;
  std::int64_t graphs = 0, bytes = 0;
  for (int i = 0; i < line.repeat; ++i) {
    std::vector<std::string> overrides = line.overrides;
    overrides.push_back(fmt::format("data.cache_dir={}/{}", folder, i));
    Job<T> job = make_job<T>(text, line.input, overrides);
    comm.barrier();
    const auto begin = Clock::now();
    job.task->open_data(comm, DataUse::training);
    comm.barrier();
    seconds.push_back(seconds_since(begin));
    const Splits& splits = job.task->splits();
    graphs = static_cast<std::int64_t>(splits.train.size() + splits.validation.size() + splits.test.size());
    if (i == 0) j = bench_head(job, line, comm);
    job.task.reset();
    on_root(comm, [&] {
      bytes = 0;
      for (const auto& entry : fs::directory_iterator(fmt::format("{}/{}", folder, i))) {
        if (entry.is_regular_file()) bytes += static_cast<std::int64_t>(entry.file_size());
      }
      fs::remove_all(fmt::format("{}/{}", folder, i));
    });
  }
  j["graphs"] = graphs;
  j["repeat"] = line.repeat;
  j["median_seconds"] = median(seconds);
  j["minimum_seconds"] = *std::min_element(seconds.begin(), seconds.end());
  j["items_per_second"] = static_cast<double>(graphs) / median(seconds);
  j["file_bytes"] = bytes;
  j["peak_memory_bytes"] = comm.max(peak_memory());
  return j;
}

/// The part of that name, of whatever system; null: there is none.
const PartBench* find_part(const std::string& name) {
  for (const System* system : systems()) {
    for (const PartBench& part : system->part_benches) {
      if (name == part.name) return &part;
    }
  }
  return nullptr;
}

template <class T>
nlohmann::ordered_json bench_part(Job<T>& job, const CommandLine& line, const Comm& comm, const PartBench& part) {
  const System& system = find_system(job.options.system);
  if (std::none_of(system.part_benches.begin(), system.part_benches.end(), [&](const PartBench& p) { return p.name == part.name; })) {
    throw Error(Exit::usage,
                fmt::format("bench --what {}: system {} has no such part; gnn_hpc info --systems shows which has", part.name, system.name));
  }
  PartBenchRequest request;
  request.batch = line.batch > 0 ? line.batch : job.options.train.batch_size;
  request.repeat = line.repeat;
  request.warmup = line.warmup;
  request.seed = static_cast<std::uint64_t>(job.options.run.seed);
  nlohmann::ordered_json j = bench_head(job, line, comm);
  if constexpr (std::is_same_v<T, float>)
    j.update(part.run_float(*job.task, request));
  else
    j.update(part.run_double(*job.task, request));
  return j;
}

template <class T>
nlohmann::ordered_json bench_any(const std::string& text, const CommandLine& line, const Comm& comm) {
  if (line.what == "graph") return bench_graph<T>(text, line, comm);
  Job<T> job = make_job<T>(text, line.input, line.overrides);
  if (const PartBench* part = find_part(line.what)) return bench_part(job, line, comm, *part);
  if (line.what == "subnormals") return bench_subnormals(job, line, comm);
  return line.what == "load" ? bench_load(job, line, comm) : bench_step(job, line, comm);
}

}  // namespace

int bench_command(const CommandLine& line, const Comm& comm) {
  const std::string text = read_input(line.input, comm);
  const bool in_double = peek_options(text, line.input, line.overrides).run.precision == "double";
  nlohmann::ordered_json j = in_double ? bench_any<double>(text, line, comm) : bench_any<float>(text, line, comm);
  const LaunchLayout layout = current_layout(comm);
  on_root(comm, [&] {
    const MachineRates rates = measure_rates();
    j["machine"] = machine_json(layout);
    j["machine"]["gemm_float_gflop_per_second"] = rates.gemm_float;
    j["machine"]["gemm_double_gflop_per_second"] = rates.gemm_double;
    j["machine"]["triad_gbyte_per_second"] = rates.triad;
    const char* done = j.contains("model_gflop_per_second") ? "model_gflop_per_second" : "gflop_per_second";
    if (j.contains(done)) j["share_of_gemm_rate"] = j[done].get<double>() / ((in_double ? rates.gemm_double : rates.gemm_float) * comm.size());
    const std::string shown = j.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    std::cout << shown << std::flush;
    if (!line.output.empty()) write_file_atomically(line.output, shown);
  });
  return 0;
}

template nlohmann::ordered_json bench_head<float>(const Job<float>&, const CommandLine&, const Comm&);
template nlohmann::ordered_json bench_head<double>(const Job<double>&, const CommandLine&, const Comm&);
template void load_weights<float>(Task<float>&, const CommandLine&);
template void load_weights<double>(Task<double>&, const CommandLine&);
template nlohmann::ordered_json bench_step<float>(Job<float>&, const CommandLine&, const Comm&);
template nlohmann::ordered_json bench_step<double>(Job<double>&, const CommandLine&, const Comm&);
template nlohmann::ordered_json bench_load<float>(Job<float>&, const CommandLine&, const Comm&);
template nlohmann::ordered_json bench_load<double>(Job<double>&, const CommandLine&, const Comm&);

}  // namespace gnn_hpc
