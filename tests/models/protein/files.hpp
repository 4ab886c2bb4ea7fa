// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/protein/task.hpp"
#include "support/paths.hpp"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <string>
#include <vector>

namespace gnn_hpc::protein {

/// Residues of chain `letter` as PDB lines: CA on a helix (rise 1.5 angstrom, 100 degrees a residue) or a zigzag strand (3.3), the other atoms beside
/// it. Every seventh residue of odd chains lacks its O if `gaps`. The sequence differs from chain to chain.
inline std::string chain_text(char letter, int number, int residues, bool helix, bool gaps = false) {
  const char* names[] = {"ALA", "GLY", "LEU", "SER", "VAL", "LYS"};
  std::string out;
  int serial = 0;
  for (int r = 0; r < residues; ++r) {
    const double turn = r * 100.0 * 3.14159265358979 / 180.0, wobble = 0.05 * std::sin(1.7 * number + 3.1 * r);
    const double x = helix ? 2.3 * std::cos(turn) : (r % 2 == 0 ? 0.9 : -0.9), y = helix ? 2.3 * std::sin(turn) : 0.02 * r * r / (1.0 + r),
                 z = (helix ? 1.5 : 3.3) * r;
    const double shift[4][3] = {{-0.8, 0.6, -1.0}, {0, 0, 0}, {0.9, 0.5, 1.1}, {1.9, 1.1, 0.8}};
    const char* atoms[] = {"N  ", "CA ", "C  ", "O  "};
    for (int a = 0; a < 4; ++a) {
      if (gaps && number % 2 == 1 && a == 3 && r % 7 == 3) continue;
      out += fmt::format("ATOM  {:5d}  {} {} {}{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00  0.00\n", ++serial, atoms[a],
                         names[(r * (number + 1) + number) % 6], letter, r + 1, x + shift[a][0] + wobble, y + shift[a][1], z + shift[a][2] - wobble);
    }
  }
  return out;
}

/// `count` chains in files of two, with columns path, chain, label (helix, strand), twist (0, 1), rise (a number; missing in every fourth).
inline void write_proteins(const std::string& folder, int count) {
  std::ofstream table(folder + "/chains.csv");
  table << "path,chain,label,twist,rise\n";
  for (int i = 0; i < count; i += 2) {
    const std::string name = fmt::format("pair{}.pdb", i / 2);
    std::ofstream file(folder + "/" + name);
    for (int c = 0; c < 2 && i + c < count; ++c) {
      const int n = i + c;
      const bool helix = n % 3 != 0;
      file << chain_text("AB"[c], n, 6 + n % 5, helix, true) << "TER\n";
      table << fmt::format("{},{},{},{},{}\n", name, "AB"[c], helix ? "helix" : "strand", helix ? 1 : 0,
                           n % 4 == 2 ? "" : fmt::format("{:.3f}", (helix ? 1.5 : 3.3) + 0.01 * n));
    }
    file << "END\n";
  }
}

/// The data set in a folder; every process that opens it needs the same folder or its own copy.
inline ProteinDataOptions data_options(const std::string& folder, int count, bool write) {
  if (write) write_proteins(folder, count);
  ProteinDataOptions o;
  o.paths = {folder + "/chains.csv"};
  o.cache_dir = folder + "/graphs";
  o.threads = 1;
  o.top_k = 4;
  o.train_ratio = 0.6;
  o.validation_ratio = 0.2;
  o.test_ratio = 0.2;
  return o;
}

inline ModelOptions model_options() {
  ModelOptions o;
  o.encoder.node_scalars = 10;
  o.encoder.node_vectors = 3;
  o.encoder.edge_scalars = 6;
  o.encoder.num_layers = 2;
  return o;
}

}  // namespace gnn_hpc::protein
