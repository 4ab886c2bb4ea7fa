// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/random.hpp"
#include "models/dmpnn_diffpool/task.hpp"
#include "support/paths.hpp"

#include <fmt/format.h>

#include <fstream>
#include <memory>
#include <string>

namespace gnn_hpc::dmpnn {

/// Made-up repeat units of 3 to about 20 atoms: chains with branches, rings, hetero atoms.
inline std::string repeat_unit(int i) {
  const RandomKey key{static_cast<std::uint64_t>(i), fnv1a64("repeat unit")};
  const char* pieces[] = {"C", "CC", "C(C)", "O", "C(=O)", "C(F)", "c1ccc(cc1)", "N", "C=C", "S"};
  std::string out = "*C";
  const int count = 1 + i % 6;
  for (int p = 0; p < count; ++p) out += pieces[static_cast<int>(10.0 * key.uniform(static_cast<std::uint64_t>(p)))];
  return out + "C*";
}

/// Columns smiles, a, b (missing in every fourth row), label (0, 1), kind (0, 1, 2).
inline std::string molecules_csv(int count, int first = 0) {
  std::string out = "smiles,a,b,label,kind\n";
  for (int i = first; i < first + count; ++i) {
    const RandomKey key{static_cast<std::uint64_t>(i), fnv1a64("labels")};
    const std::string unit = repeat_unit(i);
    out += fmt::format("{},{:.6f},{},{},{}\n", unit, 0.2 * static_cast<double>(unit.size()) + 0.1 * key.normal(0),
                       i % 4 == 2 ? "" : fmt::format("{:.6f}", 300.0 + 40.0 * key.normal(1)), i % 3 == 0 ? 1 : 0, i % 3);
  }
  return out;
}

/// The data set in a folder; every process that opens it needs the same folder or its own copy.
inline DataOptions data_options(const std::string& folder, int count, bool write) {
  const std::string path = folder + "/molecules.csv";
  if (write) std::ofstream(path) << molecules_csv(count);
  DataOptions o;
  o.paths = {path};
  o.targets = {"a", "b"};
  o.ignore = {"label", "kind"};
  o.cache_dir = folder + "/graphs";
  o.threads = 1;
  return o;
}

/// Two pooling levels, small.
inline ModelOptions model_options() {
  ModelOptions o;
  o.encoder = Encoder::diffpool;
  o.hidden_dim = 16;
  o.ffn_hidden = 12;
  o.diffpool_depth = 2;
  return o;
}

}  // namespace gnn_hpc::dmpnn
