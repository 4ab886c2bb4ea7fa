// SPDX-License-Identifier: Apache-2.0
// Rates of the crystal pipeline on one core, stage by stage: reading records, understanding them, building graphs.
//   graph_build [FOLDER of the CSV files, default ../shared/data/crystals] [REPEATS, default 7]
// Then graphs of made-up cells of 5 to 20,000 atoms (0.05 atoms a cubic angstrom, k 12).
// One thread; medians over the repeats of its processor time, so that other programs on the machine disturb little. Published rates
// (one process) stand beside the graphs for comparison.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "graph/periodic_knn.hpp"
#include "io/crystal_source.hpp"
#include "median_seconds.hpp"

namespace {

using namespace gnn_hpc;

struct Case {
  const char *file, *target;
  int k;
  double published;  // graphs/s, cutoff 8; 0 = not measured
};

void run(const std::string& folder, int repeats, const Case& c) {
  const CrystalSourceOptions options{.paths = {folder + "/" + c.file}, .targets = {c.target}};
  if (!std::filesystem::exists(options.paths[0])) {
    fmt::print("{}: not there\n", options.paths[0]);
    return;
  }
  std::vector<RawRecord> records;
  const double read = median_seconds(repeats, [&] {
    const auto source = CrystalSource::open(options);
    records.clear();
    RawRecord record;
    while (source->next(record)) records.push_back(record);
  });
  const auto source = CrystalSource::open(options);
  std::vector<Crystal> crystals;
  const double parse = median_seconds(repeats, [&] {
    crystals.clear();
    for (const RawRecord& record : records) {
      auto parsed = source->parse(record);
      if (auto* crystal = std::get_if<Crystal>(&parsed)) crystals.push_back(std::move(*crystal));
    }
  });
  CrystalGraphWorkspace workspace;
  CrystalGraph graph;
  std::int64_t edges = 0, duplicated = 0;
  const double build = median_seconds(repeats, [&] {
    edges = duplicated = 0;
    for (const Crystal& crystal : crystals) {
      build_crystal_graph(crystal.lattice, crystal.frac, {.max_neighbors = c.k, .cutoff = 8}, workspace, graph);
      edges += graph.num_edges();
      for (const auto mult : graph.mult) duplicated += mult;
    }
  });
  const double n = static_cast<double>(crystals.size());
  fmt::print("{:24s} k {:2d}  {:5.0f} crystals  read {:8.0f}/s  parse {:7.0f}/s  graphs {:7.0f}/s", c.file, c.k, n,
             static_cast<double>(records.size()) / read, static_cast<double>(records.size()) / parse, n / build);
  if (c.published > 0) fmt::print(" = {:5.0f} x published {:.0f}/s", n / build / c.published, c.published);
  fmt::print("  ({} unique edges, {} with multiplicity)\n", edges, duplicated);
}

/// A skewed cell with atoms near the points of a cubic grid.
void run_cell(int atoms, int repeats) {
  std::mt19937 engine(static_cast<unsigned>(atoms));
  std::uniform_real_distribution<double> shift(0.0, 0.25);
  const int side = static_cast<int>(std::ceil(std::cbrt(atoms)));
  const double a = std::cbrt(atoms / 0.05);
  std::vector<double> frac;
  for (int p = 0; p < atoms; ++p) {
    for (const int x : {p / (side * side), p / side % side, p % side}) frac.push_back((x + shift(engine)) / side);
  }
  const std::array<double, 9> lattice{a, 0.03 * a, 0, -0.1 * a, a, 0.02 * a, 0.05 * a, 0.1 * a, a};
  CrystalGraphWorkspace workspace;
  CrystalGraph graph;
  const int cells = std::max(1, 20000 / atoms);
  const double seconds = median_seconds(repeats, [&] {
    for (int c = 0; c < cells; ++c) build_crystal_graph(lattice, frac, {.max_neighbors = 12}, workspace, graph);
  });
  fmt::print("{:6d} atoms  {:9.0f} cells/s  {:.2f} us an atom  ({} unique edges)\n", atoms, cells / seconds, 1e6 * seconds / cells / atoms,
             graph.num_edges());
}

}  // namespace

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "../shared/data/crystals";
  const int repeats = argc > 2 ? std::max(1, std::atoi(argv[2])) : 7;
  try {
    for (const Case& c : {Case{"perov_5_val.csv.gz", "heat_all", 12, 181}, Case{"perov_5_val.csv.gz", "heat_all", 25, 169},
                          Case{"carbon_24_val.csv.gz", "energy_per_atom", 12, 64}, Case{"carbon_24_val.csv.gz", "energy_per_atom", 25, 58},
                          Case{"mp20_subset_train.csv.gz", "formation_energy_per_atom", 25, 0}}) {
      run(folder, repeats, c);
    }
    for (const int atoms : {5, 40, 80, 160, 320, 1080, 2560, 5000, 20000}) run_cell(atoms, repeats);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
