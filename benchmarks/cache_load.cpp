// SPDX-License-Identifier: Apache-2.0
// What the graph cache costs: building it, opening it, reading it. Prints one JSON object.
//   cache_load DATA.csv TARGET CACHE_DIR [k] [threads]
// The first run builds (delete CACHE_DIR to build again), every run then opens and reads.
#include "base/error.hpp"
#include "base/log.hpp"
#include "graph/loader.hpp"
#include "graph/sampler.hpp"
#include "models/comformer/dataset.hpp"

#include <sys/resource.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <numeric>

namespace {

using namespace gnn_hpc;

/// The cache of this key, which stands in its name.
std::string cache_file(const std::string& folder, const std::string& key) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".h5" && entry.path().filename().string().find(key) != std::string::npos) return entry.path().string();
  }
  throw Error(Exit::data, "no cache of this data set in " + folder);
}
using Clock = std::chrono::steady_clock;

double since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

/// Graphs read a second, batches of 64 in the given order.
template <class Read>
double rate(std::span<const std::int64_t> order, Read read) {
  const auto begin = Clock::now();
  std::size_t done = 0;
  while (done < order.size() && since(begin) < 20.0) {
    const std::size_t n = std::min<std::size_t>(64, order.size() - done);
    read(order.subspan(done, n));
    done += n;
  }
  return static_cast<double>(done) / since(begin);
}

/// Every column of the samples, nothing computed from it.
void read_columns(const GraphCache& cache, std::span<const std::int64_t> samples) {
  static std::vector<double> f64;
  static std::vector<std::int32_t> i32;
  std::int64_t nodes = 0, edges = 0;
  for (const auto s : samples) {
    nodes += cache.num_nodes(s);
    edges += cache.num_edges(s);
  }
  for (std::size_t c = 0; c < cache.schema().columns.size(); ++c) {
    const auto& column = cache.schema().columns[c];
    if (column.resident) continue;
    const auto rows = column.domain == Domain::graph ? static_cast<std::int64_t>(samples.size()) : column.domain == Domain::node ? nodes : edges;
    const auto values = static_cast<std::size_t>(rows * column.width);
    if (column.type == DType::f64) {
      f64.resize(values);
      cache.read<double>(static_cast<int>(c), samples, f64);
    } else {
      i32.resize(values);
      cache.read<std::int32_t>(static_cast<int>(c), samples, i32);
    }
  }
}

int run(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: cache_load DATA.csv TARGET CACHE_DIR [k] [threads]\n");
    return 2;
  }
  comformer::DataOptions data;
  data.source.paths = {argv[1]};
  data.source.targets = {argv[2]};
  data.cache_dir = argv[3];
  data.threads = argc > 5 ? std::atoi(argv[5]) : 0;
  CrystalGraphOptions graph;
  graph.max_neighbors = argc > 4 ? std::atoi(argv[4]) : 25;
  nlohmann::ordered_json out;

  const auto files = [&] {
    std::error_code none;
    return std::distance(std::filesystem::directory_iterator(data.cache_dir, none), std::filesystem::directory_iterator());
  };
  const auto before = std::filesystem::exists(data.cache_dir) ? files() : 0;
  auto begin = Clock::now();
  comformer::CrystalDataset dataset(data, graph, {});
  dataset.open(Comm::self(), DataUse::training);
  const double open_seconds = since(begin);
  comformer::HostCrystalBatch batch;
  const auto first = BatchPlan::training(dataset.splits().train, 64, 123, 0);
  dataset.collate(first.batch(0), batch);
  const bool built = files() != before;
  out[built ? "build_seconds" : "open_seconds"] = open_seconds;
  out[built ? "build_and_first_batch_seconds" : "first_batch_seconds"] = since(begin);
  out["peak_MiB_after_first_batch"] = peak_mib();

  const GraphCache cache(cache_file(data.cache_dir, dataset.digest()));
  out["samples"] = cache.num_samples();
  out["skipped"] = cache.skipped().size();
  out["nodes"] = cache.total_nodes();
  out["edges"] = cache.total_edges();
  out["file_MiB"] = static_cast<double>(std::filesystem::file_size(cache.path())) / 1048576.0;
  out["bytes_per_edge"] = static_cast<double>(std::filesystem::file_size(cache.path())) / static_cast<double>(cache.total_edges());

  std::vector<std::int64_t> all(static_cast<std::size_t>(cache.num_samples()));
  std::iota(all.begin(), all.end(), std::int64_t{0});
  const auto mixed = shuffled(all, 5, 0);
  const auto read = [&](std::span<const std::int64_t> s) { read_columns(cache, s); };
  out["graphs_per_s_shuffled_first_touch"] = rate(mixed, read);
  out["graphs_per_s_shuffled"] = rate(mixed, read);
  out["graphs_per_s_sequential"] = rate(all, read);
  out["graphs_per_s_collated_shuffled"] = rate(mixed, [&](std::span<const std::int64_t> s) { dataset.collate(s, batch); });
  comformer::CrystalDataset tabulated(data, graph, {1024, 1024});
  tabulated.open(Comm::self(), DataUse::training);
  out["graphs_per_s_collated_tables"] = rate(mixed, [&](std::span<const std::int64_t> s) { tabulated.collate(s, batch); });
  begin = Clock::now();
  cache.verify_all();
  out["verify_all_seconds"] = since(begin);
  out["peak_MiB"] = peak_mib();
  std::printf("%s\n", out.dump(2).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const Kokkos::ScopeGuard kokkos(argc, argv);
  setup_log({}, 0, stderr);
  try {
    return run(argc, argv);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.code());
  }
}
