// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/random.hpp"
#include "nn/gather.hpp"
#include "support/views.hpp"

#include <memory>
#include <utility>
#include <vector>

namespace gnn_hpc::test {

/// Small graphs, one after the other. Edges come in pairs, the reverse of e is e xor 1.
struct TestGraphs {
  std::vector<int> node_ptr{0}, src, dst;
  int nodes() const { return node_ptr.back(); }
  int edges() const { return static_cast<int>(src.size()); }
  int graphs() const { return static_cast<int>(node_ptr.size()) - 1; }
};

/// A graph of |n| nodes for every entry: a tree with some rings closed; n < 0: nodes without edges.
inline TestGraphs random_graphs(const std::vector<int>& sizes, std::uint64_t seed) {
  TestGraphs g;
  const RandomKey key{seed, fnv1a64("random_graphs")};
  std::uint64_t at = 0;
  const auto below = [&](int n) { return static_cast<int>(key.uniform(at++) * n) % n; };
  for (const int size : sizes) {
    const int n = std::abs(size), first = g.nodes();
    std::vector<std::pair<int, int>> pairs;
    const auto join = [&](int u, int v) {
      for (const auto& p : pairs) {
        if (p == std::pair(u, v) || p == std::pair(v, u)) return;
      }
      if (u != v) pairs.emplace_back(u, v);
    };
    for (int v = 1; v < size; ++v) join(v, v - 1 - below(std::min(v, 3)));
    for (int i = 0; i < size / 4; ++i) join(below(n), below(n));
    for (const auto& [u, v] : pairs) {
      g.src.insert(g.src.end(), {first + u, first + v});
      g.dst.insert(g.dst.end(), {first + v, first + u});
    }
    g.node_ptr.push_back(first + n);
  }
  return g;
}

inline View1<int> device_ints(const std::vector<int>& values) { return array_of<int>({values.begin(), values.end()}); }

/// Device copies of sums, which live as long as this.
class Gathers {
 public:
  Gather<double> upload(const HostGather& host) {
    storage_.push_back(std::make_unique<GatherStorage<double>>());
    const auto out = storage_.back()->upload(Exec(), host);
    Exec().fence();
    return out;
  }
  /// Sums over the items of each group.
  Gather<double> groups(const std::vector<int>& group, int count) {
    HostGather g;
    transpose(group, count, g);
    return upload(g);
  }

 private:
  std::vector<std::unique_ptr<GatherStorage<double>>> storage_;
};

}  // namespace gnn_hpc::test
