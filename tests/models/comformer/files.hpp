// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/random.hpp"
#include "io/poscar.hpp"
#include "io/structure_check.hpp"
#include "models/comformer/dataset_options.hpp"
#include "support/paths.hpp"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <string>
#include <vector>

namespace gnn_hpc::comformer {

/// `count` made-up crystals of 1 to 4 atoms as extended XYZ, with two targets `a` and `b`; b is missing in every fourth.
inline std::string extxyz_of(int count) {
  const char* symbols[] = {"Na", "Cl", "Ti", "O", "Sr", "Zn"};
  std::string out;
  for (int i = 0; i < count; ++i) {
    const RandomKey key{static_cast<std::uint64_t>(i), fnv1a64("extxyz")};
    const int atoms = 1 + i % 4;
    const double edge = 2.8 * std::cbrt(atoms) + 0.3 * key.uniform(0);
    const double b = 0.3 * edge * key.uniform(1), c = 0.3 * edge * key.uniform(2);
    out += fmt::format("{}\nLattice=\"{} 0 0 {} {} 0 0 {} {}\" Properties=species:S:1:pos:R:3 id=c{} a={:.6f}", atoms, edge, b, edge, c, 1.1 * edge,
                       i, edge + 0.1 * atoms);
    if (i % 4 != 2) out += fmt::format(" b={:.6f}", key.normal(3));
    out += " pbc=\"T T T\"\n";
    Crystal crystal;
    crystal.lattice = {edge, 0, 0, b, edge, 0, 0, c, 1.1 * edge};
    crystal.z.assign(static_cast<std::size_t>(atoms), 11);
    std::vector<double> at(3 * crystal.z.size());
    for (std::uint64_t draw = 10;; draw += 1000) {  // again until no two atoms are on top of each other
      for (std::size_t k = 0; k < at.size(); ++k) at[k] = edge * key.uniform(draw + k);
      crystal.frac.resize(at.size());
      for (std::size_t n = 0; n < crystal.z.size(); ++n) multiply(&at[3 * n], inverse_lattice(crystal.lattice), &crystal.frac[3 * n]);
      if (!closest_pair(crystal, 1.01 * kClosestAtoms)) break;
    }
    for (int n = 0; n < atoms; ++n) out += fmt::format("{} {:.6f} {:.6f} {:.6f}\n", symbols[(i + n) % 6], at[3 * n], at[3 * n + 1], at[3 * n + 2]);
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
