// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "graph/residue_batch.hpp"
#include "graph/residue_graph.hpp"
#include "support/views.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace gnn_hpc::test {

using Rotation = std::array<double, 9>;
inline constexpr Rotation kNoRotation{1, 0, 0, 0, 1, 0, 0, 0, 1};

/// A random chain with four atoms a residue, [n,4,3]; each residue whose number is a multiple of `gap` lacks its CA (0: none).
inline std::vector<double> random_chain(int n, std::uint64_t seed, int gap = 0) {
  const auto steps = random_values(static_cast<std::size_t>(3 * n), seed), jitter = random_values(static_cast<std::size_t>(12 * n), seed + 1);
  std::vector<double> out;
  double at[3] = {};
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    for (std::size_t c = 0; c < 3; ++c) at[c] += 2.2 * steps[3 * i + c];
    for (std::size_t a = 0; a < 4; ++a) {
      const bool missing = gap > 0 && i % static_cast<std::size_t>(gap) == 0 && a == 1;
      for (std::size_t c = 0; c < 3; ++c) {
        out.push_back(missing ? std::numeric_limits<double>::quiet_NaN() : at[c] + (a == 1 ? 0.0 : 0.8 * jitter[12 * i + 3 * a + c]));
      }
    }
  }
  return out;
}

/// R x + shift for every atom.
inline std::vector<double> moved(const std::vector<double>& coords, const Rotation& r, double shift = 0.0) {
  std::vector<double> out(coords.size());
  for (std::size_t i = 0; i < coords.size(); i += 3) {
    for (std::size_t a = 0; a < 3; ++a) {
      out[i + a] = r[3 * a] * coords[i] + r[3 * a + 1] * coords[i + 1] + r[3 * a + 2] * coords[i + 2] + shift;
    }
  }
  return out;
}

/// The graphs of chains side by side, features computed from positions.
inline ResidueBatch residue_batch(const std::vector<std::vector<double>>& chains, int top_k) {
  ResidueBatch b;
  b.graph_ptr = {0};
  b.in_ptr = {0};
  for (const auto& coords : chains) {
    const ResidueGraph g = build_residue_graph(coords, top_k);
    const int first = b.graph_ptr.back(), edges = static_cast<int>(b.src.size());
    for (std::size_t i = 1; i < g.in_ptr.size(); ++i) b.in_ptr.push_back(edges + g.in_ptr[i]);
    for (const int j : g.src) b.src.push_back(first + j);
    b.node_s.insert(b.node_s.end(), g.node_s.begin(), g.node_s.end());
    b.node_v.insert(b.node_v.end(), g.node_v.begin(), g.node_v.end());
    b.position.insert(b.position.end(), g.position.begin(), g.position.end());
    for (int i = 0; i < g.num_nodes; ++i) b.code.push_back((7 * i + 3) % 20);
    b.graph_ptr.push_back(first + g.num_nodes);
    ++b.num_graphs;
  }
  b.num_nodes = b.graph_ptr.back();
  b.num_edges = static_cast<int>(b.src.size());
  b.finish();
  return b;
}

inline std::vector<std::uint64_t> keys_of(const ResidueBatch& b) {
  std::vector<std::uint64_t> out;
  for (int g = 0; g < b.num_graphs; ++g) out.push_back(static_cast<std::uint64_t>(g));
  return out;
}

}  // namespace gnn_hpc::test
