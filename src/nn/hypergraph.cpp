// SPDX-License-Identifier: Apache-2.0
#include "nn/hypergraph.hpp"

#include "base/error.hpp"

#include <utility>

namespace gnn_hpc {

namespace {

View1<int> on_device(const std::vector<int>& values, const std::string& label) {
  View1<int> out(Kokkos::view_alloc(Kokkos::WithoutInitializing, label), values.size());
  const auto host = Kokkos::create_mirror_view(out);
  for (std::size_t i = 0; i < values.size(); ++i) host(i) = values[i];
  Kokkos::deep_copy(out, host);
  return out;
}

KOKKOS_INLINE_FUNCTION double sigmoid_of(double x) { return 1.0 / (1.0 + Kokkos::exp(-x)); }
/// log(1 + e^x) without overflow; the published function, x itself above 20.
KOKKOS_INLINE_FUNCTION double softplus_of(double x) { return x > 20.0 ? x : (x > 0.0 ? x : 0.0) + Kokkos::log1p(Kokkos::exp(x > 0.0 ? -x : x)); }

/// One work item: E is a handful.
template <class T>
void compute_operator(const Exec& exec, const MixingOperator& o, View1<T> raw) {
  const auto edge_ptr = o.edge_ptr, edge_node = o.edge_node;
  const auto matrix = o.matrix, power = o.power;
  const auto inverse = o.inverse_degree, power_sum = o.power_sum, weight = o.weight;
  const int nodes = o.graph.num_nodes, edges = o.graph.num_edges, n = o.convolutions;
  const bool paper = o.paper, softplus = o.softplus, given = raw.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::MixingOperator::update", Rows(exec, 0, 1), KOKKOS_LAMBDA(const int) {
        for (int e = 0; e < edges; ++e) {
          const double x = given ? static_cast<double>(raw(e)) : 1.0;
          weight(e) = given && softplus ? softplus_of(x) : x;
        }
        for (int v = 0; v < nodes; ++v) {
          inverse(v) = 0.0;
          for (int u = 0; u < nodes; ++u) matrix(v, u) = 0.0;
        }
        for (int e = 0; e < edges; ++e) {
          const int begin = edge_ptr(e), end = edge_ptr(e + 1);
          const double share = (paper ? weight(e) : 1.0) / (end - begin);
          for (int i = begin; i < end; ++i) {
            inverse(edge_node(i)) += weight(e);
            for (int k = begin; k < end; ++k) matrix(edge_node(i), edge_node(k)) += share;
          }
        }
        for (int v = 0; v < nodes; ++v) {
          inverse(v) = inverse(v) == 0.0 ? 0.0 : 1.0 / inverse(v);
          for (int u = 0; u < nodes; ++u) matrix(v, u) *= inverse(v);
        }
        for (int v = 0; v < nodes; ++v) power(0, v) = 1.0 / nodes;
        for (int k = 0; k <= n; ++k) {
          double sum = 0.0;
          for (int v = 0; v < nodes; ++v) sum += power(k, v);
          power_sum(k) = sum;
          if (k == n) break;
          for (int u = 0; u < nodes; ++u) {
            double x = 0.0;
            for (int v = 0; v < nodes; ++v) x += power(k, v) * matrix(v, u);
            power(k + 1, u) = x;
          }
        }
      });
}

template <class T>
void weight_gradient(const Exec& exec, const MixingOperator& o, View1<T> raw, View2<double> dmatrix, View1<T> draw) {
  const auto edge_ptr = o.edge_ptr, edge_node = o.edge_node;
  const auto matrix = o.matrix;
  const auto inverse = o.inverse_degree;
  const int nodes = o.graph.num_nodes, edges = o.graph.num_edges;
  const bool paper = o.paper, softplus = o.softplus;
  Kokkos::parallel_for(
      "gnn_hpc::MixingOperator::backward_weights", Rows(exec, 0, edges), KOKKOS_LAMBDA(const int e) {
        const int begin = edge_ptr(e), end = edge_ptr(e + 1);
        double sum = 0.0;
        for (int i = begin; i < end; ++i) {
          const int v = edge_node(i);
          // dD_v = -D_v^-2 sum_u dM_vu S_vu with S_vu = D_v M_vu
          double through_degree = 0.0;
          for (int u = 0; u < nodes; ++u) through_degree -= dmatrix(v, u) * matrix(v, u);
          sum += inverse(v) * through_degree;
          if (paper) {
            double inner = 0.0;
            for (int k = begin; k < end; ++k) inner += dmatrix(v, edge_node(k));
            sum += inverse(v) * inner / (end - begin);
          }
        }
        draw(e) += static_cast<T>(softplus ? sum * sigmoid_of(static_cast<double>(raw(e))) : sum);
      });
}

}  // namespace

Hypergraph Hypergraph::all_sets(int num_nodes, int size) {
  Hypergraph g;
  g.num_nodes = num_nodes;
  g.edge_ptr.push_back(0);
  const auto close = [&] { g.edge_ptr.push_back(static_cast<int>(g.edge_node.size())); };
  if (size == 0) {
    for (int v = 0; v < num_nodes; ++v) g.edge_node.push_back(v);
    if (num_nodes > 0) close();
  } else {
    GNN_HPC_REQUIRE(size == 2 || size == 3, "hyperedges of {} nodes", size);
    for (int i = 0; i < num_nodes; ++i) {
      for (int j = i + 1; j < num_nodes; ++j) {
        if (size == 2) {
          g.edge_node.insert(g.edge_node.end(), {i, j});
          close();
        }
        for (int k = j + 1; size == 3 && k < num_nodes; ++k) {
          g.edge_node.insert(g.edge_node.end(), {i, j, k});
          close();
        }
      }
    }
  }
  g.num_edges = static_cast<int>(g.edge_ptr.size()) - 1;
  std::vector<std::vector<int>> of_node(static_cast<std::size_t>(num_nodes));
  for (int e = 0; e < g.num_edges; ++e) {
    for (int i = g.edge_ptr[static_cast<std::size_t>(e)]; i < g.edge_ptr[static_cast<std::size_t>(e) + 1]; ++i) {
      of_node[static_cast<std::size_t>(g.edge_node[static_cast<std::size_t>(i)])].push_back(e);
    }
  }
  g.node_ptr.push_back(0);
  for (const auto& list : of_node) {
    g.node_edge.insert(g.node_edge.end(), list.begin(), list.end());
    g.node_ptr.push_back(static_cast<int>(g.node_edge.size()));
  }
  return g;
}

void MixingOperator::init(Hypergraph hypergraph, int n, bool paper_norm, bool use_softplus) {
  graph = std::move(hypergraph);
  convolutions = n;
  paper = paper_norm;
  softplus = use_softplus;
  edge_ptr = on_device(graph.edge_ptr, "gnn_hpc::MixingOperator::edge_ptr");
  edge_node = on_device(graph.edge_node, "gnn_hpc::MixingOperator::edge_node");
  node_ptr = on_device(graph.node_ptr, "gnn_hpc::MixingOperator::node_ptr");
  node_edge = on_device(graph.node_edge, "gnn_hpc::MixingOperator::node_edge");
  const int nodes = graph.num_nodes;
  matrix = View2<double>("gnn_hpc::MixingOperator::matrix", nodes, nodes);
  inverse_degree = View1<double>("gnn_hpc::MixingOperator::inverse_degree", nodes);
  power = View2<double>("gnn_hpc::MixingOperator::power", n + 1, nodes);
  power_sum = View1<double>("gnn_hpc::MixingOperator::power_sum", n + 1);
  weight = View1<double>("gnn_hpc::MixingOperator::weight", graph.num_edges);
}

template <class T>
void MixingOperator::update(const Exec& exec, View1<T> raw) const {
  GNN_HPC_REQUIRE(raw.extent(0) == 0 || raw.extent_int(0) == graph.num_edges, "{} weights for {} hyperedges", raw.extent(0), graph.num_edges);
  compute_operator(exec, *this, raw);
}

template <class T>
void MixingOperator::backward_weights(const Exec& exec, View1<T> raw, View2<double> dmatrix, View1<T> draw) const {
  weight_gradient(exec, *this, raw, dmatrix, draw);
}

void MixingOperator::backward_powers(const Exec& exec, View1<double> dv, View1<double> da, View2<double> dmatrix) const {
  const auto m = matrix, v = power;
  const int nodes = graph.num_nodes, n = convolutions;
  Kokkos::parallel_for(
      "gnn_hpc::MixingOperator::backward_powers", Rows(exec, 0, 1), KOKKOS_LAMBDA(const int) {
        for (int i = 0; i < nodes; ++i) {
          for (int k = 0; k < nodes; ++k) dmatrix(i, k) = 0.0;
        }
        // v_{k+1} = v_k M and a_{n-k} = v_k . 1:  dM += v_k' dv_{k+1};  dv_k = dv_{k+1} M' + da_{n-k} 1
        for (int k = n - 1; k >= 0; --k) {
          const double constant = da(n - k);
          for (int i = 0; i < nodes; ++i) {
            for (int u = 0; u < nodes; ++u) dmatrix(i, u) += v(k, i) * dv(u);
          }
          for (int i = 0; i < nodes; ++i) {
            double x = constant;
            for (int u = 0; u < nodes; ++u) x += m(i, u) * dv(u);
            dv(nodes + i) = x;
          }
          for (int i = 0; i < nodes; ++i) dv(i) = dv(nodes + i);
        }
      });
}

template void MixingOperator::update<float>(const Exec&, View1<float>) const;
template void MixingOperator::update<double>(const Exec&, View1<double>) const;
template void MixingOperator::backward_weights<float>(const Exec&, View1<float>, View2<double>, View1<float>) const;
template void MixingOperator::backward_weights<double>(const Exec&, View1<double>, View2<double>, View1<double>) const;

}  // namespace gnn_hpc
