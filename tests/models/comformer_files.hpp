// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/random.hpp"
#include "models/comformer/dataset_options.hpp"
#include "support/paths.hpp"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <string>

namespace gnn_hpc::comformer {

/// `count` made-up crystals of 1 to 4 atoms as extended XYZ, with two targets `a` and `b`; b is missing in every fourth.
inline std::string extxyz_of(int count) {
  const char* symbols[] = {"Na", "Cl", "Ti", "O", "Sr", "Zn"};
  std::string out;
  for (int i = 0; i < count; ++i) {
    const RandomKey key{static_cast<std::uint64_t>(i), fnv1a64("extxyz")};
    const int atoms = 1 + i % 4;
    const double edge = 2.8 * std::cbrt(atoms) + 0.3 * key.uniform(0);
    out += fmt::format("{}\nLattice=\"{} 0 0 {} {} 0 0 {} {}\" Properties=species:S:1:pos:R:3 id=c{} a={:.6f}", atoms, edge, 0.3 * edge * key.uniform(1),
                       edge, 0.3 * edge * key.uniform(2), 1.1 * edge, i, edge + 0.1 * atoms);
    if (i % 4 != 2) out += fmt::format(" b={:.6f}", key.normal(3));
    out += " pbc=\"T T T\"\n";
    for (int n = 0; n < atoms; ++n) {
      const auto at = static_cast<std::uint64_t>(10 + 3 * n);
      out += fmt::format("{} {:.6f} {:.6f} {:.6f}\n", symbols[(i + n) % 6], edge * key.uniform(at), edge * key.uniform(at + 1), edge * key.uniform(at + 2));
    }
  }
  return out;
}

/// The data set in a folder; every process that opens it needs the same folder or its own copy.
inline DataOptions data_options(const std::string& folder, int count, bool write) {
  const std::string path = folder + "/crystals.extxyz";
  if (write) std::ofstream(path) << extxyz_of(count);
  DataOptions o;
  o.source.paths = {path};
  o.source.targets = {"a", "b"};
  o.cache_dir = folder + "/graphs";
  o.threads = 1;
  return o;
}

}  // namespace gnn_hpc::comformer
