// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/step.hpp"

#include <cstdint>
#include <map>
#include <string>

namespace gnn_hpc {

/// Dropout of rows that belong to graphs. Factors 0 and 1/(1 - p) are a function of (seed, step, layer, graph's key, place in the graph,
/// channel), or those that a golden file gives.
template <class T>
struct RowDropout {
  double rate = 0.0;
  View1<std::uint64_t> graph_key;                          ///< [G]
  View1<int> graph_ptr, node_graph;                        ///< rows of each graph, graph of each row; empty: a row is a graph
  const std::map<std::string, View2<T>>* given = nullptr;  ///< 0 and 1 by layer, where a file has them; layers it lacks drop nothing

  /// The factors [rows, channels] of a layer, in the step's arena; empty where nothing is dropped.
  View2<T> factors(Step<T>& step, const std::string& layer, std::size_t rows, int channels) const;
};

/// x = keep relu(x) in place; an empty `keep` drops nothing.
template <class T>
void relu_drop(const Exec& exec, View2<T> keep, View2<T> x);
/// dy of the value y = keep relu(x) becomes that of x: 0 where nothing came through.
template <class T>
void relu_drop_backward(const Exec& exec, View2<T> keep, View2<T> y, View2<T> dy);

}  // namespace gnn_hpc
