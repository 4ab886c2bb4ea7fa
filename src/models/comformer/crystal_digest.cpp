// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/crystal_digest.hpp"

#include "base/digest.hpp"

#include <cmath>

namespace gnn_hpc::comformer {

std::uint64_t crystal_digest(std::span<const double, 9> lattice, std::span<const std::uint8_t> z, std::span<const double> frac) {
  constexpr double kStep = 1e-3;
  constexpr std::uint64_t kSteps = 1000;  // of a cell
  std::uint64_t out = z.size();
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = i; j < 3; ++j) {
      double product = 0.0;
      for (std::size_t c = 0; c < 3; ++c) product += lattice[3 * i + c] * lattice[3 * j + c];
      out = digest_with(out, digest_number(product, kStep));
    }
  }
  std::uint64_t atoms = 0;
  for (std::size_t a = 0; a < z.size(); ++a) {
    std::uint64_t h = z[a];
    for (std::size_t c = 0; c < 3; ++c) {
      const double f = frac[3 * a + c];
      h = digest_with(h, digest_number(f - std::floor(f), kStep) % kSteps);  // 0.9999 and 0 are neighbours
    }
    atoms += digest_with(0, h);  // a sum: the order of atoms does not count
  }
  return digest_with(out, atoms);
}

}  // namespace gnn_hpc::comformer
