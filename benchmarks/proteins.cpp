// SPDX-License-Identifier: Apache-2.0
// Rates of the protein pipeline on one core: PDB text -> chain -> residue graph.
//   proteins [TOP_K, default 30] [REPEATS, default 7]
// Made-up chains (a random walk of residues 3.8 angstrom apart, all backbone atoms); medians of processor time.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "graph/residue_graph.hpp"
#include "io/protein.hpp"
#include "median_seconds.hpp"

namespace {

using namespace gnn_hpc;

/// A walk that is drawn back to the centre, so that the density is that of a folded chain; side chains of four atoms beside the backbone.
std::string pdb_text(int residues) {
  std::mt19937 engine(static_cast<unsigned>(residues));
  std::normal_distribution<double> normal;
  double x[3] = {0, 0, 0};
  std::string out;
  const double radius = 2.2 * std::cbrt(residues);
  for (int r = 0; r < residues; ++r) {
    double step[3], length = 0;
    for (int c = 0; c < 3; ++c) {
      step[c] = normal(engine) - 0.5 * x[c] / radius;
      length += step[c] * step[c];
    }
    for (int c = 0; c < 3; ++c) x[c] += 3.8 * step[c] / std::sqrt(length);
    for (const char* atom : {" N  ", " CA ", " C  ", " O  ", " CB ", " CG ", " CD ", " CE "}) {
      out += fmt::format("ATOM  {:5d} {} LYS A{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00 20.00           C\n", r % 100000, atom, r % 10000,
                         x[0] + 0.5 * normal(engine), x[1] + 0.5 * normal(engine), x[2] + 0.5 * normal(engine));
    }
  }
  return out;
}

void run(int residues, int top_k, int repeats) {
  const std::string text = pdb_text(residues);
  Protein protein;
  ResidueGraph graph;
  const int times = std::max(1, 3000 / residues);
  const double parse = median_seconds(repeats, [&] {
    for (int t = 0; t < times; ++t) protein = parse_protein(text, "made-up.pdb");
  });
  const double build = median_seconds(repeats, [&] {
    for (int t = 0; t < times; ++t) graph = build_residue_graph(protein.chains[0].coords, top_k);
  });
  fmt::print("{:6d} residues, top_k {}: read {:9.3f} ms, graph {:9.3f} ms, together {:7.0f} chains/s ({} edges)\n", residues, top_k,
             1e3 * parse / times, 1e3 * build / times, times / (parse + build), graph.num_edges());
}

}  // namespace

int main(int argc, char** argv) {
  const int top_k = argc > 1 ? std::max(1, std::atoi(argv[1])) : 30;
  const int repeats = argc > 2 ? std::max(1, std::atoi(argv[2])) : 7;
  for (const int residues : {100, 300, 1000, 3000, 9999}) run(residues, top_k, repeats);
}
