// SPDX-License-Identifier: Apache-2.0
#include "models/comformer/crystal_digest.hpp"
#include "models/comformer/crystal_records.hpp"
#include "models/comformer/dataset.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace gnn_hpc::comformer {

namespace {

/// Columns of the samples as they come from the cache; memory of the calling thread.
struct Columns {
  std::vector<double> cell, frac;
  std::vector<std::int32_t> triple, z, u, v;
  std::vector<std::int16_t> image;
  std::vector<std::uint8_t> mult;
};

/// The three lattice vectors: l_s = sum over k of triple[s,k] cell[k].
void write_lattice(const double* cell, const std::int32_t* triple, double* out) {
  for (int s = 0; s < 3; ++s) {
    for (int c = 0; c < 3; ++c) {
      out[3 * s + c] = (triple[3 * s] * cell[c] + triple[3 * s + 1] * cell[3 + c]) + triple[3 * s + 2] * cell[6 + c];
    }
  }
}

template <class T>
void read(const GraphCache& cache, int column, std::span<const std::int64_t> samples, std::vector<T>& out, std::int64_t values) {
  out.resize(static_cast<std::size_t>(values));
  cache.read<T>(column, samples, out);
}

}  // namespace

std::vector<std::uint64_t> CrystalDataset::input_digests() const {
  constexpr std::int64_t kChunk = 4096;  // crystals in memory at once
  std::vector<std::uint64_t> out;
  out.reserve(static_cast<std::size_t>(num_samples()));
  std::vector<double> cell, frac;
  std::vector<std::uint8_t> z;
  std::vector<std::int64_t> local;
  for (const auto& cache : samples_.caches()) {
    for (std::int64_t begin = 0; begin < cache->num_samples(); begin += kChunk) {
      local.resize(static_cast<std::size_t>(std::min(kChunk, cache->num_samples() - begin)));
      std::iota(local.begin(), local.end(), begin);
      std::int64_t atoms = 0;
      for (const auto s : local) atoms += cache->num_nodes(s);
      read(*cache, kLattice, local, cell, 9 * static_cast<std::int64_t>(local.size()));
      read(*cache, kZ, local, z, atoms);
      read(*cache, kFrac, local, frac, 3 * atoms);
      std::size_t first = 0;
      for (std::size_t i = 0; i < local.size(); ++i) {
        const auto n = static_cast<std::size_t>(cache->num_nodes(local[i]));
        out.push_back(crystal_digest(std::span<const double, 9>(&cell[9 * i], 9), std::span<const std::uint8_t>(z).subspan(first, n),
                                     std::span<const double>(frac).subspan(3 * first, 3 * n)));
        first += n;
      }
    }
  }
  return out;
}

void CrystalDataset::collate(std::span<const std::int64_t> samples, HostCrystalBatch& b) const {
  static thread_local Columns columns;
  static thread_local std::vector<std::int64_t> local;
  b.samples.assign(samples.begin(), samples.end());
  b.num_graphs = static_cast<int>(samples.size());
  b.num_targets = static_cast<int>(num_targets());
  b.graph_ptr.assign(1, 0);
  b.node_graph.clear();
  std::int64_t edges = 0;
  for (const auto s : samples) {
    b.graph_ptr.push_back(b.graph_ptr.back() + static_cast<int>(num_nodes(s)));
    b.node_graph.resize(static_cast<std::size_t>(b.graph_ptr.back()), static_cast<int>(b.graph_ptr.size()) - 2);
    edges += num_edges(s);
  }
  b.num_nodes = b.graph_ptr.back();
  b.num_edges = static_cast<int>(edges);
  b.atom_row.resize(static_cast<std::size_t>(b.num_nodes));
  b.src.resize(static_cast<std::size_t>(edges));
  b.dst.resize(static_cast<std::size_t>(edges));
  b.mult.resize(static_cast<std::size_t>(edges));
  b.edge_vec.resize(3 * static_cast<std::size_t>(edges));
  b.lattice.resize(9 * samples.size());

  std::size_t edge = 0, g = 0;
  while (g < samples.size()) {  // one read per column and cache; a batch nearly always comes from one cache
    const auto first = samples_.locate(samples[g]);
    const GraphCache& cache = *samples_.caches()[first.cache];
    local.assign(1, first.local);
    std::int64_t nodes = cache.num_nodes(first.local), count = cache.num_edges(first.local);
    std::size_t end = g + 1;
    for (; end < samples.size(); ++end) {
      const auto p = samples_.locate(samples[end]);
      if (p.cache != first.cache) break;
      local.push_back(p.local);
      nodes += cache.num_nodes(p.local);
      count += cache.num_edges(p.local);
    }
    const auto graphs = static_cast<std::int64_t>(local.size());
    read(cache, kLattice, local, columns.cell, 9 * graphs);
    read(cache, kTriple, local, columns.triple, 9 * graphs);
    read(cache, kZ, local, columns.z, nodes);
    read(cache, kFrac, local, columns.frac, 3 * nodes);
    read(cache, kU, local, columns.u, count);
    read(cache, kV, local, columns.v, count);
    read(cache, kImage, local, columns.image, 3 * count);
    read(cache, kMult, local, columns.mult, count);
    std::size_t node_at = 0, edge_at = 0;
    for (std::size_t i = 0; i < local.size(); ++i, ++g) {
      const std::span<const double, 9> cell(columns.cell.data() + 9 * i, 9);
      write_lattice(cell.data(), columns.triple.data() + 9 * i, b.lattice.data() + 9 * g);
      const int offset = b.graph_ptr[g];
      const auto n = static_cast<std::size_t>(cache.num_nodes(local[i])), m = static_cast<std::size_t>(cache.num_edges(local[i]));
      for (std::size_t k = 0; k < n; ++k) b.atom_row[static_cast<std::size_t>(offset) + k] = columns.z[node_at + k];
      const double* frac = columns.frac.data() + 3 * node_at;
      for (std::size_t k = 0; k < m; ++k, ++edge) {
        const std::int32_t u = columns.u[edge_at + k], v = columns.v[edge_at + k];
        b.src[edge] = offset + u;
        b.dst[edge] = offset + v;
        b.mult[edge] = columns.mult[edge_at + k];
        const auto r = edge_vector(cell, frac + 3 * u, frac + 3 * v, columns.image.data() + 3 * (edge_at + k));
        for (std::size_t c = 0; c < 3; ++c) b.edge_vec[3 * edge + c] = r[c];
      }
      node_at += n;
      edge_at += m;
    }
  }

  b.target.resize(samples.size() * num_targets());
  b.loss_weight = 0.0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto y = labels(samples[i]);
    for (std::size_t k = 0; k < y.size(); ++k) {
      b.target[i * y.size() + k] = std::isnan(y[k]) ? y[k] : scaler_.scale(y[k], k);
      if (!std::isnan(y[k])) b.loss_weight += 1.0;
    }
  }
  finish_batch(b, tables_);
}

}  // namespace gnn_hpc::comformer
