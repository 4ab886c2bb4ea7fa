// SPDX-License-Identifier: Apache-2.0
// The hypergraph coupler without the collapse: all experts go through every convolution.
#include "models/hgnn_moe/hgnn_coupler.hpp"

#include "models/hgnn_moe/hgnn_coupler_kernels.hpp"
#include "nn/matmul.hpp"
#include "nn/rows.hpp"

namespace gnn_hpc::hgnn_moe {

using namespace hgnn_kernels;

namespace {

/// B_e^-1, times w_e with `weighted`.
void hyperedge_factors(const Exec& exec, const MixingOperator& o, bool weighted, View1<double> factor) {
  const auto ptr = o.edge_ptr;
  const auto weight = o.weight;
  Kokkos::parallel_for(
      "gnn_hpc::HgnnCoupler::hyperedge_factors", Rows(exec, 0, factor.extent_int(0)),
      KOKKOS_LAMBDA(const int e) { factor(e) = (weighted ? weight(e) : 1.0) / (ptr(e + 1) - ptr(e)); });
}

/// z[r] = mean over experts, or its gradient: dx[r,e] = dz[r]/E.
template <class T>
void mean_rows(const Exec& exec, View2<T> x, View2<T> z) {
  const int width = z.extent_int(1), experts = x.extent_int(1) / width;
  Kokkos::parallel_for(
      "gnn_hpc::HgnnCoupler::mean_rows", Kokkos::TeamPolicy<Exec>(exec, z.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) {
          T sum = 0;
          for (int e = 0; e < experts; ++e) sum += x(r, e * width + c);
          z(r, c) = sum / static_cast<T>(experts);
        });
      });
}
template <class T>
void spread_rows(const Exec& exec, View2<T> dz, View2<T> dx) {
  const int width = dz.extent_int(1), experts = dx.extent_int(1) / width;
  Kokkos::parallel_for(
      "gnn_hpc::HgnnCoupler::spread_rows", Kokkos::TeamPolicy<Exec>(exec, dz.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        for (int e = 0; e < experts; ++e) {
          each_channel(team, width, [&](const int c) { dx(r, e * width + c) = dz(r, c) / static_cast<T>(experts); });
        }
      });
}

/// dw_e += sum over members v of -D_v^-1 q_v + own_e (paper), with q_v = sum over rows of dX_v . (X_v - b) and own_e = sum over rows of
/// dY_e . mean of Z over e.
template <class T>
void incidence_weights(const Exec& exec, const MixingOperator& o, View1<double> q, View1<double> own, View1<T> raw, View1<T> draw) {
  const auto ptr = o.edge_ptr, node = o.edge_node;
  const auto inverse = o.inverse_degree;
  const bool paper = o.paper, softplus = o.softplus;
  Kokkos::parallel_for(
      "gnn_hpc::HgnnCoupler::incidence_weights", Rows(exec, 0, draw.extent_int(0)), KOKKOS_LAMBDA(const int e) {
        double sum = paper ? own(e) : 0.0;
        for (int i = ptr(e); i < ptr(e + 1); ++i) sum -= inverse(node(i)) * q(node(i));
        const double x = static_cast<double>(raw(e));
        draw(e) += static_cast<T>(softplus ? sum / (1.0 + Kokkos::exp(-x)) : sum);
      });
}

/// q[i] += sum over rows of a[r,i] . (b[r,i] - shift), blocks of D columns; shift may be empty.
template <class T>
void diagonal_dots(const Exec& exec, View2<T> a, View2<T> b, View1<T> shift, int width, View1<double> q) {
  const int rows = a.extent_int(0);
  const bool shifted = shift.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::HgnnCoupler::diagonal_dots", Kokkos::TeamPolicy<Exec>(exec, q.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int i = team.league_rank();
        double sum = 0.0;
        for (int r = 0; r < rows; ++r) {
          const T *p = &a(r, i * width), *x = &b(r, i * width);
          sum += static_cast<double>(sum_channels<T>(team, width, [&](const int c) { return p[c] * (x[c] - (shifted ? shift(c) : T(0))); }));
        }
        Kokkos::single(Kokkos::PerTeam(team), [&]() { q(i) += sum; });
      });
}

}  // namespace

template <class T>
void HgnnCoupler<T>::full_forward(Step<T>& step, View2<T> x, View2<T> base, View2<T> y) {
  Arena& arena = step.arena;
  const int n = convolutions();
  const std::size_t rows = x.extent(0), d = static_cast<std::size_t>(width_), all = d * static_cast<std::size_t>(experts_);
  const std::size_t edges = static_cast<std::size_t>(operator_.graph.num_edges);
  const auto flat = [&](View2<T> m) { return reshape(m, rows * static_cast<std::size_t>(experts_), d); };
  Saved& s = saved_;
  s.x = x;
  s.chain.assign(1, x);
  s.products.clear();
  s.edges.clear();
  const auto factor = arena.array<double>(edges);
  hyperedge_factors(step.exec, operator_, false, factor);
  const View1<double> numerator = paper_ ? operator_.weight : View1<double>();
  for (int k = 0; k < n; ++k) {
    const Convolution& conv = convs_[static_cast<std::size_t>(k)];
    const auto z = arena.matrix<T>(rows, all), next = arena.matrix<T>(rows, all);
    Matmul<T>::nt(step.exec, flat(s.chain.back()), conv.weight.value(), flat(z));
    if (form_ == HypergraphForm::dense) {
      mix_dense(step.exec, operator_.matrix, false, z, conv.bias.value1(), next);
    } else {
      const auto edge_rows = arena.matrix<T>(rows, edges * d);
      mix_sparse(step.exec, operator_.edge_ptr, operator_.edge_node, factor, View1<double>(), z, View1<T>(), edge_rows);
      mix_sparse(step.exec, operator_.node_ptr, operator_.node_edge, operator_.inverse_degree, numerator, edge_rows, conv.bias.value1(), next);
      s.edges.push_back(edge_rows);
    }
    s.products.push_back(z);
    s.chain.push_back(next);
  }
  s.s = arena.matrix<T>(rows, d);
  s.u = arena.matrix<T>(rows, d);
  s.hat = arena.matrix<T>(rows, d);
  s.rdev = arena.array<T>(rows);
  s.bias = combiner_.bias.value1();
  mean_rows(step.exec, s.chain.back(), s.s);
  Matmul<T>::nt(step.exec, s.s, combiner_.weight.value(), s.u);
  for_each_chunk(step.exec, 1, [&](int, const ChunkExec& exec, int) { combiner_.forward(exec, s.u, s.bias, s.hat, s.rdev, base, y); });
}

template <class T>
OutputGradient<T> HgnnCoupler<T>::full_backward(Step<T>& step, View2<T> dy) {
  Arena& arena = step.arena;
  const int n = convolutions();
  const std::size_t rows = dy.extent(0), d = static_cast<std::size_t>(width_), experts = static_cast<std::size_t>(experts_), all = d * experts;
  const std::size_t edges = static_cast<std::size_t>(operator_.graph.num_edges);
  const auto flat = [&](View2<T> m) { return reshape(m, rows * experts, d); };
  const Saved& s = saved_;
  OutputGradient<T> out;
  View2<T> dx = arena.matrix<T>(rows, all);
  out.each = dx;
  ArenaFrame frame(arena);
  const auto partial = arena.matrix<double>(1, 3 * d);
  const auto dz = arena.matrix<T>(rows, d);
  for_each_chunk(step.exec, 1,
                 [&](int, const ChunkExec& exec, int) { combiner_.backward(exec, s.u, s.hat, s.rdev, dy, View1<double>(partial.data(), 3 * d)); });
  combiner_.norm.add_partials(step, column_range(partial, 0, 2 * width_));
  add_sums(step.exec, row_elements(partial, 0, 2 * width_, d), combiner_.bias.grad1());
  Matmul<T>::tn(step.exec, s.u, s.s, combiner_.weight.grad());
  Matmul<T>::nn(step.exec, s.u, combiner_.weight.value(), dz);
  spread_rows(step.exec, dz, dx);

  const auto dproduct = arena.matrix<T>(rows, all), dedge = arena.matrix<T>(rows, form_ == HypergraphForm::incidence ? edges * d : 0);
  const auto dmatrix = arena.matrix<double>(experts, experts);
  const auto q = arena.array<double>(experts), own = arena.array<double>(edges), factor = arena.array<double>(edges);
  Kokkos::deep_copy(step.exec, dmatrix, 0.0);
  Kokkos::deep_copy(step.exec, q, 0.0);
  Kokkos::deep_copy(step.exec, own, 0.0);
  hyperedge_factors(step.exec, operator_, paper_, factor);
  for (int k = n - 1; k >= 0; --k) {
    const auto at = static_cast<std::size_t>(k);
    const Convolution& conv = convs_[at];
    RowOps<T>::add_column_sums(step, flat(dx), conv.bias.grad1());
    if (form_ == HypergraphForm::dense) {
      if (learnable_) block_dots(step.exec, dx, s.products[at], width_, dmatrix);
      mix_dense(step.exec, operator_.matrix, true, dx, View1<T>(), dproduct);
    } else {
      if (learnable_) diagonal_dots(step.exec, dx, s.chain[at + 1], conv.bias.value1(), width_, q);
      mix_sparse(step.exec, operator_.edge_ptr, operator_.edge_node, View1<double>(), operator_.inverse_degree, dx, View1<T>(), dedge);
      if (learnable_) diagonal_dots(step.exec, dedge, s.edges[at], View1<T>(), width_, own);  // dw_e of the numerator
      mix_sparse(step.exec, operator_.node_ptr, operator_.node_edge, View1<double>(), factor, dedge, View1<T>(), dproduct);
    }
    Matmul<T>::tn(step.exec, flat(dproduct), flat(s.chain[at]), conv.weight.grad());
    Matmul<T>::nn(step.exec, flat(dproduct), conv.weight.value(), flat(dx));
  }
  if (learnable_ && form_ == HypergraphForm::dense) {
    operator_.backward_weights(step.exec, edge_weights_.value1(), dmatrix, edge_weights_.grad1());
  } else if (learnable_) {
    incidence_weights(step.exec, operator_, q, own, edge_weights_.value1(), edge_weights_.grad1());
  }
  return out;
}

template void HgnnCoupler<float>::full_forward(Step<float>&, View2<float>, View2<float>, View2<float>);
template void HgnnCoupler<double>::full_forward(Step<double>&, View2<double>, View2<double>, View2<double>);
template OutputGradient<float> HgnnCoupler<float>::full_backward(Step<float>&, View2<float>);
template OutputGradient<double> HgnnCoupler<double>::full_backward(Step<double>&, View2<double>);

}  // namespace gnn_hpc::hgnn_moe
