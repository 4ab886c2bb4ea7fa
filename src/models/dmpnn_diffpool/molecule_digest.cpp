// SPDX-License-Identifier: Apache-2.0
#include "models/dmpnn_diffpool/molecule_digest.hpp"

#include "base/digest.hpp"
#include "models/dmpnn_diffpool/molecule_features.hpp"

#include <algorithm>
#include <bit>

namespace gnn_hpc::dmpnn {

namespace {

/// One digest a row of the table, columns [skip_begin, skip_end) left out.
std::vector<std::uint64_t> rows_of(const FeatureTable& table, int skip_begin, int skip_end) {
  std::vector<std::uint64_t> out;
  for (int r = 0; r < table.rows(); ++r) {
    std::uint64_t h = 0;
    for (int c = 0; c < table.width; ++c) {
      if (c >= skip_begin && c < skip_end) continue;
      h = digest_with(h, std::bit_cast<std::uint64_t>(table.values[static_cast<std::size_t>(r * table.width + c)]));
    }
    out.push_back(h);
  }
  return out;
}

}  // namespace

MoleculeDigests::MoleculeDigests(const FeatureTable& atoms, const FeatureTable& bonds)
    : atom_(rows_of(atoms, kChiralityBegin, kChiralityEnd)), bond_(rows_of(bonds, 0, 0)) {}

std::uint64_t MoleculeDigests::of(const MoleculeView& m) {
  const std::size_t n = m.atom_type.size(), edges = m.src.size();
  colour_.resize(n);
  for (std::size_t v = 0; v < n; ++v) {
    colour_[v] = atom_[static_cast<std::size_t>(m.atom_type[v])];
    if (!m.atom_weight.empty()) colour_[v] = digest_with(colour_[v], std::bit_cast<std::uint64_t>(m.atom_weight[v]));
  }
  const auto count_distinct = [&] {
    distinct_ = colour_;
    std::sort(distinct_.begin(), distinct_.end());
    return static_cast<std::size_t>(std::unique(distinct_.begin(), distinct_.end()) - distinct_.begin());
  };
  // When a round tells no more atoms apart, one more fixes which colours meet which; further ones add nothing.
  std::size_t before = 0, now = count_distinct();
  for (bool last = false; !last && n > 0;) {
    last = now == before;
    next_.assign(n, 0);
    for (std::size_t e = 0; e < edges; ++e) {
      std::uint64_t h = digest_with(bond_[static_cast<std::size_t>(m.bond_type[e])], colour_[static_cast<std::size_t>(m.src[e])]);
      if (!m.edge_weight.empty()) h = digest_with(h, std::bit_cast<std::uint64_t>(m.edge_weight[e]));
      next_[static_cast<std::size_t>(m.dst[e])] += h;  // a sum: the order of neighbours does not count
    }
    for (std::size_t v = 0; v < n; ++v) colour_[v] = digest_with(colour_[v], next_[v]);
    before = now;
    now = count_distinct();
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t c : colour_) sum += digest_with(0, c);
  return digest_with(digest_with(n, sum), std::bit_cast<std::uint64_t>(m.degree_of_polymerisation));
}

}  // namespace gnn_hpc::dmpnn
