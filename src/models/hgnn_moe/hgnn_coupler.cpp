// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/hgnn_coupler.hpp"

#include "base/error.hpp"
#include "models/hgnn_moe/hgnn_coupler_kernels.hpp"
#include "nn/matmul.hpp"
#include "nn/rows.hpp"

#include <cmath>
#include <limits>

namespace gnn_hpc::hgnn_moe {

using namespace hgnn_kernels;

namespace {

constexpr int kPieceRows = kExecIsHost ? 512 : INT_MAX;

int set_size(HyperedgeStrategy strategy) {
  return strategy == HyperedgeStrategy::all_pairs ? 2 : strategy == HyperedgeStrategy::all_triplets ? 3 : 0;
}

template <class T>
View2<T> as_row(const View1<T>& x) {
  return View2<T>(x.data(), 1, x.extent(0));
}

}  // namespace

template <class T>
HgnnCoupler<T>::HgnnCoupler(ParamStore<T>& store, const std::string& name, const ModelOptions& o, int experts, bool ghost, bool used)
    : experts_(experts),
      width_(o.embed_dim),
      form_(ghost ? HypergraphForm::collapsed : o.form),
      strategy_(o.strategy),
      paper_(o.norm == HypergraphNorm::paper),
      softplus_(o.weight_transform == WeightTransform::softplus),
      layers_(o.gnn_layers) {
  set_present(experts);
  const int edges = operator_.graph.num_edges;
  const auto d = static_cast<std::size_t>(width_);
  const bool convolve = used && edges > 0;
  for (int k = 0; k < layers_; ++k) {
    const std::string prefix = name + ".hgnn_layers_module." + std::to_string(k) + (ghost ? "" : ".conv");
    Convolution c;
    c.bias = store.add(prefix + ".bias", {d}, Init::constant(0.0), convolve);
    c.weight = store.add(prefix + ".lin.weight", {d, d}, Init::uniform(std::sqrt(3.0 / width_)), convolve);
    convs_.push_back(c);
  }
  if (o.learnable_edge_weights && edges > 0) {
    learnable_ = !ghost;
    edge_weights_ = store.add(name + ".hyperedge_weights", {static_cast<std::size_t>(edges)}, Init::normal(1.0), used && learnable_ && layers_ > 0);
  }
  combiner_ = Combiner<T>(store, name + ".combiner", width_);
}

template <class T>
void HgnnCoupler<T>::set_present(int experts) {
  if (operator_.graph.num_nodes == experts && operator_.edge_ptr.extent(0) > 0) return;
  experts_ = experts;
  Hypergraph graph = Hypergraph::all_sets(experts, set_size(strategy_));
  const int n = graph.num_edges > 0 ? layers_ : 0;  // without hyperedges the convolutions are skipped
  operator_.init(std::move(graph), n, paper_, softplus_);
}

template <class T>
View1<T> HgnnCoupler<T>::raw_weights() const {
  return learnable_ ? edge_weights_.value1() : View1<T>();
}

template <class T>
void HgnnCoupler<T>::forward(Step<T>& step, View2<T> x, View2<T> base, View2<T> y) {
  GNN_HPC_REQUIRE(x.extent_int(1) == experts_ * width_ && y.extent_int(1) == width_ && x.extent(0) == y.extent(0),
                  "coupler of {} experts: {}x{} into {}x{}", experts_, x.extent(0), x.extent(1), y.extent(0), y.extent(1));
  operator_.update(step.exec, raw_weights());
  if (collapsed()) {
    collapsed_forward(step, x, base, y);
  } else {
    full_forward(step, x, base, y);
  }
}

template <class T>
OutputGradient<T> HgnnCoupler<T>::backward(Step<T>& step, View2<T> dy) {
  return collapsed() ? collapsed_backward(step, dy) : full_backward(step, dy);
}

/// C_n .. C_0, and the bias that all b_l become behind them.
template <class T>
void HgnnCoupler<T>::fold_maps(Step<T>& step) {
  const int n = convolutions();
  const auto d = static_cast<std::size_t>(width_);
  Saved& s = saved_;
  s.maps.assign(static_cast<std::size_t>(n) + 1, combiner_.weight.value());
  s.bias = step.arena.template array<T>(d);
  Kokkos::deep_copy(step.exec, s.bias, combiner_.bias.value1());
  for (int l = n; l >= 1; --l) {
    const auto at = static_cast<std::size_t>(l);
    add_mapped_bias(step.exec, operator_.power_sum, n - l, s.maps[at], convs_[at - 1].bias.value1(), s.bias);
    s.maps[at - 1] = step.arena.template matrix<T>(d, d);
    Matmul<T>::nn(step.exec, s.maps[at], convs_[at - 1].weight.value(), s.maps[at - 1]);
  }
}

template <class T>
void HgnnCoupler<T>::collapsed_forward(Step<T>& step, View2<T> x, View2<T> base, View2<T> y) {
  Arena& arena = step.arena;
  const int n = convolutions(), rows = x.extent_int(0);
  const auto count = static_cast<std::size_t>(rows), d = static_cast<std::size_t>(width_);
  Saved& s = saved_;
  s.x = x;
  s.s = arena.matrix<T>(count, d);
  s.u = arena.matrix<T>(count, d);
  s.hat = arena.matrix<T>(count, d);
  s.rdev = arena.array<T>(count);
  s.factor = arena.array<T>(static_cast<std::size_t>(experts_));
  copy_vector(step.exec, operator_.power, n, s.factor);
  s.folded = n > 0 && rows >= 2 * width_;  // below, D products of D rows would cost more than they save
  s.chain.assign(static_cast<std::size_t>(n) + 1, s.s);
  if (s.folded) {
    fold_maps(step);
  } else {
    s.bias = combiner_.bias.value1();
    for (int l = 1; l <= n; ++l) s.chain[static_cast<std::size_t>(l)] = arena.matrix<T>(count, d);
  }
  const RowPieces pieces(rows, kPieceRows);
  for_each_chunk(step.exec, pieces.count, [&](int, const ChunkExec& exec, int i) {
    const int begin = pieces.begin(i), end = pieces.end(i);
    const auto at = [&](View2<T> m) { return m.extent(1) > 0 ? row_range(m, begin, end) : m; };
    weighted_sum(exec, at(x), s.factor, at(s.s));
    if (s.folded) {
      Matmul<T>::nt(exec, at(s.s), s.maps[0], at(s.u));
    } else {
      for (int l = 1; l <= n; ++l) {
        const auto k = static_cast<std::size_t>(l);
        Matmul<T>::nt(exec, at(s.chain[k - 1]), convs_[k - 1].weight.value(), at(s.chain[k]));
        add_scaled_bias(exec, operator_.power_sum, n - l, convs_[k - 1].bias.value1(), at(s.chain[k]));
      }
      Matmul<T>::nt(exec, at(s.chain[static_cast<std::size_t>(n)]), combiner_.weight.value(), at(s.u));
    }
    combiner_.forward(exec, at(s.u), s.bias, at(s.hat), elements(s.rdev, begin, end), at(base), at(y));
  });
}

template <class T>
OutputGradient<T> HgnnCoupler<T>::collapsed_backward(Step<T>& step, View2<T> dy) {
  Arena& arena = step.arena;
  const int n = convolutions(), rows = dy.extent_int(0);
  const auto count = static_cast<std::size_t>(rows), d = static_cast<std::size_t>(width_), experts = static_cast<std::size_t>(experts_);
  Saved& s = saved_;
  OutputGradient<T> out;
  out.common = arena.matrix<T>(count, d);
  out.factor = s.factor;
  ArenaFrame frame(arena);
  const RowPieces pieces(rows, kPieceRows);
  const bool weights = learnable_ && n > 0;
  const auto partial = arena.matrix<double>(static_cast<std::size_t>(pieces.count), 3 * d);
  const auto dots = arena.matrix<double>(static_cast<std::size_t>(pieces.count), experts);
  // Without folding the gradients dp_1 .. dp_n are kept for the weights; dp_0 = ds.
  std::vector<View2<T>> dchain(static_cast<std::size_t>(n) + 1, out.common);
  for (int l = 1; !s.folded && l <= n; ++l) dchain[static_cast<std::size_t>(l)] = arena.matrix<T>(count, d);
  for_each_chunk(step.exec, pieces.count, [&](int, const ChunkExec& exec, int i) {
    const int begin = pieces.begin(i), end = pieces.end(i);
    const auto at = [&](View2<T> m) { return row_range(m, begin, end); };
    combiner_.backward(exec, at(s.u), at(s.hat), elements(s.rdev, begin, end), at(dy), row_elements(partial, i, 0, 3 * d));
    if (s.folded) {
      Matmul<T>::nn(exec, at(s.u), s.maps[0], at(out.common));
    } else {
      Matmul<T>::nn(exec, at(s.u), combiner_.weight.value(), at(dchain[static_cast<std::size_t>(n)]));
      for (int l = n; l >= 1; --l) {
        const auto k = static_cast<std::size_t>(l);
        Matmul<T>::nn(exec, at(dchain[k]), convs_[k - 1].weight.value(), at(dchain[k - 1]));
      }
    }
    if (weights) expert_dots(exec, at(out.common), at(s.x), row_elements(dots, i, 0, experts));
  });
  combiner_.norm.add_partials(step, column_range(partial, 0, 2 * width_));
  const auto sum = arena.array<double>(d);
  const auto c = arena.array<T>(d);
  sum_partials(step, column_range(partial, 2 * width_, 3 * width_), sum);
  add_sums(step.exec, sum, combiner_.bias.grad1());
  store_sums<T>(step.exec, sum, c);
  const auto da = arena.array<double>(static_cast<std::size_t>(n) + 1);
  if (s.folded) {
    folded_gradients(step, c, da);
  } else {
    Matmul<T>::tn(step.exec, s.u, s.chain[static_cast<std::size_t>(n)], combiner_.weight.grad());
    chain_gradients(step, dchain, da);
  }
  if (weights) {
    const auto dv = arena.array<double>(2 * experts);
    const auto dmatrix = arena.matrix<double>(experts, experts);
    sum_partials(step, dots, View1<double>(dv.data(), experts));
    operator_.backward_powers(step.exec, dv, da, dmatrix);
    operator_.backward_weights(step.exec, edge_weights_.value1(), dmatrix, edge_weights_.grad1());
  }
  return out;
}

template <class T>
void HgnnCoupler<T>::folded_gradients(Step<T>& step, View1<T> c, View1<double> da) const {
  Arena& arena = step.arena;
  const int n = convolutions();
  const auto d = static_cast<std::size_t>(width_);
  const Saved& s = saved_;
  View2<T> dmap = arena.matrix<T>(d, d), next = arena.matrix<T>(d, d);
  const auto t = arena.array<T>(d);
  Matmul<T>::tn(step.exec, s.u, s.s, dmap, T(0));
  for (int l = 1; l <= n; ++l) {
    const auto k = static_cast<std::size_t>(l);
    const Convolution& conv = convs_[k - 1];
    Matmul<T>::tn(step.exec, s.maps[k], dmap, conv.weight.grad());
    Matmul<T>::nn(step.exec, as_row(c), s.maps[k], as_row(t));
    bias_gradient(step.exec, operator_.power_sum, n - l, t, conv.bias.value1(), conv.bias.grad1(), da, l);
    Matmul<T>::nt(step.exec, dmap, conv.weight.value(), next);
    add_outer(step.exec, operator_.power_sum, n - l, c, conv.bias.value1(), next);
    std::swap(dmap, next);
  }
  RowOps<T>::add(step.exec, dmap, combiner_.weight.grad());
}

template <class T>
void HgnnCoupler<T>::chain_gradients(Step<T>& step, const std::vector<View2<T>>& dchain, View1<double> da) const {
  Arena& arena = step.arena;
  const int n = convolutions();
  const auto sum = arena.array<double>(static_cast<std::size_t>(width_));
  const auto t = arena.array<T>(static_cast<std::size_t>(width_));
  for (int l = 1; l <= n; ++l) {
    const auto k = static_cast<std::size_t>(l);
    const Convolution& conv = convs_[k - 1];
    Matmul<T>::tn(step.exec, dchain[k], saved_.chain[k - 1], conv.weight.grad());
    RowOps<T>::column_sums(step, dchain[k], sum);
    store_sums<T>(step.exec, sum, t);
    bias_gradient(step.exec, operator_.power_sum, n - l, t, conv.bias.value1(), conv.bias.grad1(), da, l);
  }
}

template <class T>
std::vector<CouplerTap> HgnnCoupler<T>::taps(Step<T>& step) const {
  std::vector<CouplerTap> out;
  step.exec.fence("gnn_hpc::HgnnCoupler::taps");
  const auto d = static_cast<std::size_t>(width_), experts = static_cast<std::size_t>(experts_);
  const int n = convolutions();
  if (operator_.graph.num_edges > 0) out.push_back({"mixing_matrix", {experts, experts}, host_values(operator_.matrix)});
  View2<T> pooled = saved_.s;
  if (!collapsed()) {
    for (int k = 0; k < n; ++k) {
      const auto& x = saved_.chain[static_cast<std::size_t>(k) + 1];
      out.push_back({"conv" + std::to_string(k), {x.extent(0), experts, d}, host_values(x)});
    }
  } else if (!saved_.folded) {
    pooled = saved_.chain[static_cast<std::size_t>(n)];
  } else {  // the chain that folding spares
    for (int l = 1; l <= n; ++l) {
      const auto k = static_cast<std::size_t>(l);
      const auto next = step.arena.template matrix<T>(pooled.extent(0), d);
      Matmul<T>::nt(step.exec, pooled, convs_[k - 1].weight.value(), next);
      for_each_chunk(step.exec, 1,
                     [&](int, const ChunkExec& exec, int) { add_scaled_bias(exec, operator_.power_sum, n - l, convs_[k - 1].bias.value1(), next); });
      pooled = next;
    }
  }
  step.exec.fence("gnn_hpc::HgnnCoupler::taps");
  out.push_back({"pooled", {pooled.extent(0), d}, host_values(pooled)});
  return out;
}

template <class T>
std::vector<CouplerTap> HgnnCoupler<T>::report() const {
  if (!learnable_) return {};
  const auto w = edge_weights_.value1();
  return {{"hyperedge_weights", {w.extent(0)}, host_values(as_row(w))}};
}

template <class T>
double HgnnCoupler<T>::smallest_degree(const Exec& exec) const {
  double smallest = std::numeric_limits<double>::infinity();
  if (!learnable_ || convolutions() == 0) return smallest;
  exec.fence("gnn_hpc::HgnnCoupler::smallest_degree");
  const Hypergraph& g = operator_.graph;
  const std::vector<double> raw = host_values(as_row(edge_weights_.value1()));
  for (int v = 0; v < g.num_nodes; ++v) {
    double degree = 0.0;
    for (int i = g.node_ptr[static_cast<std::size_t>(v)]; i < g.node_ptr[static_cast<std::size_t>(v) + 1]; ++i) {
      const double x = raw[static_cast<std::size_t>(g.node_edge[static_cast<std::size_t>(i)])];
      degree += softplus_ ? (x > 20.0 ? x : std::log1p(std::exp(x))) : x;
    }
    smallest = std::fmin(smallest, std::fabs(degree));
  }
  return smallest;
}

template class HgnnCoupler<float>;
template class HgnnCoupler<double>;

}  // namespace gnn_hpc::hgnn_moe
