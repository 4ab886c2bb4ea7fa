// SPDX-License-Identifier: Apache-2.0
#include "models/hgnn_moe/gnn_coupler.hpp"

#include "base/error.hpp"
#include "models/hgnn_moe/gnn_coupler_kernels.hpp"
#include "nn/matmul.hpp"
#include "nn/rows.hpp"

#include <cmath>
#include <limits>

namespace gnn_hpc::hgnn_moe {

using namespace gnn_kernels;

namespace {

constexpr int kPieceRows = kExecIsHost ? 128 : INT_MAX;  // tokens; products have E times as many rows

template <class T>
View2<T> as_row(const View1<T>& x) {
  return View2<T>(x.data(), 1, x.extent(0));
}

/// out = a + b
template <class T>
void add_vectors(const Exec& exec, View1<T> a, View1<T> b, View1<T> out) {
  Kokkos::parallel_for(
      "gnn_hpc::GnnCoupler::add_vectors", Rows(exec, 0, out.extent_int(0)), KOKKOS_LAMBDA(const int c) { out(c) = a(c) + b(c); });
}

/// dc0 += the receivers' half of [E] pairs (receive, send).
template <class T>
void add_receiver_sums(const Exec& exec, View1<double> sums, View1<T> dbias) {
  const int experts = sums.extent_int(0) / 2;
  Kokkos::parallel_for(
      "gnn_hpc::GnnCoupler::add_receiver_sums", Rows(exec, 0, 1), KOKKOS_LAMBDA(const int) {
        double sum = 0.0;
        for (int e = 0; e < experts; ++e) sum += sums(2 * e);
        dbias(0) += static_cast<T>(sum);
      });
}

}  // namespace

template <class T>
GnnCoupler<T>::GnnCoupler(ParamStore<T>& store, const std::string& name, const ModelOptions& o) : experts_(o.num_experts), width_(o.embed_dim) {
  const auto d = static_cast<std::size_t>(width_), e = static_cast<std::size_t>(experts_);
  const Init normal = Init::normal(0.02), zero = Init::constant(0.0);
  const bool neighbours = experts_ > 1;
  for (int k = 0; k < o.gnn_layers; ++k) {
    const std::string prefix = name + ".gnn_layers_module." + std::to_string(k);
    Convolution c;
    c.adjacency = store.add(prefix + ".adjacency_logits", {e, e}, Init::normal(1.0), neighbours);
    c.neighbor_weight = store.add(prefix + ".neighbor_transform.weight", {d, d}, normal, neighbours);
    c.neighbor_bias = store.add(prefix + ".neighbor_transform.bias", {d}, zero, neighbours);
    c.self_weight = store.add(prefix + ".self_transform.weight", {d, d}, normal);
    c.self_bias = store.add(prefix + ".self_transform.bias", {d}, zero);
    c.message_weight = store.add(prefix + ".message_weight.weight", {1, 2 * d}, normal, neighbours);
    c.message_bias = store.add(prefix + ".message_weight.bias", {1}, zero, neighbours);
    convs_.push_back(c);
  }
  combiner_ = Combiner<T>(store, name + ".combiner", width_);
}

/// [Wn | Ws] and bn + bs of every layer.
template <class T>
void GnnCoupler<T>::join_weights(Step<T>& step) {
  const auto d = static_cast<std::size_t>(width_);
  Saved& s = saved_;
  s.weight.clear();
  s.bias.clear();
  for (const Convolution& c : convs_) {
    if (experts_ == 1) {
      s.weight.push_back(c.self_weight.value());
      s.bias.push_back(c.self_bias.value1());
      continue;
    }
    const auto weight = step.arena.template matrix<T>(d, 2 * d);
    const auto bias = step.arena.template array<T>(d);
    Kokkos::deep_copy(step.exec, column_range(weight, 0, width_), c.neighbor_weight.value());
    Kokkos::deep_copy(step.exec, column_range(weight, width_, 2 * width_), c.self_weight.value());
    add_vectors(step.exec, c.neighbor_bias.value1(), c.self_bias.value1(), bias);
    s.weight.push_back(weight);
    s.bias.push_back(bias);
  }
}

template <class T>
void GnnCoupler<T>::forward(Step<T>& step, View2<T> x, View2<T> base, View2<T> y) {
  GNN_HPC_REQUIRE(x.extent_int(1) == experts_ * width_ && y.extent_int(1) == width_ && x.extent(0) == y.extent(0),
                  "coupler of {} experts: {}x{} into {}x{}", experts_, x.extent(0), x.extent(1), y.extent(0), y.extent(1));
  Arena& arena = step.arena;
  const int rows = x.extent_int(0), n = static_cast<int>(convs_.size());
  const auto count = static_cast<std::size_t>(rows), d = static_cast<std::size_t>(width_), experts = static_cast<std::size_t>(experts_);
  join_weights(step);
  Saved& s = saved_;
  s.x.assign(1, x);
  s.u.clear();
  for (int k = 0; k < n; ++k) {
    if (k > 0) s.x.push_back(arena.matrix<T>(count, experts * d));
    s.u.push_back(arena.matrix<T>(count * experts, d));
  }
  s.pooled = arena.matrix<T>(count, d);
  s.v = arena.matrix<T>(count, d);
  s.hat = arena.matrix<T>(count, d);
  s.rdev = arena.array<T>(count);
  ArenaFrame frame(arena);
  const RowPieces pieces(rows, kPieceRows);
  const int joined_width = static_cast<int>(experts_ > 1 ? 2 * d : d);
  const LaneRows<T> joined_rows(arena, pieces.piece * experts_, static_cast<std::size_t>(joined_width)), dot_rows(arena, pieces.piece, 2 * experts),
      last_rows(arena, pieces.piece, experts * d);
  for_each_chunk(step.exec, pieces.count, [&](int lane, const ChunkExec& exec, int i) {
    const int begin = pieces.begin(i), end = pieces.end(i), tokens = end - begin;
    const auto at = [&](View2<T> m) { return m.extent(1) > 0 ? row_range(m, begin, end) : m; };
    const auto joined = joined_rows(lane, tokens * experts_), dots = dot_rows(lane, tokens);
    View2<T> in = at(x);
    for (int k = 0; k < n; ++k) {
      const auto l = static_cast<std::size_t>(k);
      const GateParams<T> gate{convs_[l].adjacency.value(), convs_[l].message_weight.value1(), convs_[l].message_bias.value1()};
      const auto u = row_range(s.u[l], begin * experts_, end * experts_);
      const auto next = k + 1 < n ? at(s.x[l + 1]) : last_rows(lane, tokens);
      if (experts_ > 1) gate_dots(exec, in, gate, experts_, dots);
      messages(exec, in, dots, gate, experts_, joined);
      Matmul<T>::nt(exec, joined, s.weight[l], u);
      residual_gelu(exec, in, u, s.bias[l], experts_, next);
      in = next;
    }
    mean_rows(exec, in, at(s.pooled));
    Matmul<T>::nt(exec, at(s.pooled), combiner_.weight.value(), at(s.v));
    combiner_.forward(exec, at(s.v), combiner_.bias.value1(), at(s.hat), elements(s.rdev, begin, end), at(base), at(y));
  });
}

template <class T>
OutputGradient<T> GnnCoupler<T>::backward(Step<T>& step, View2<T> dy) {
  Arena& arena = step.arena;
  const int rows = dy.extent_int(0), n = static_cast<int>(convs_.size()), pairs = experts_ * experts_;
  const auto count = static_cast<std::size_t>(rows), d = static_cast<std::size_t>(width_), experts = static_cast<std::size_t>(experts_);
  const auto layers = static_cast<std::size_t>(n);
  Saved& s = saved_;
  OutputGradient<T> out;
  out.each = arena.matrix<T>(count, experts * d);
  ArenaFrame frame(arena);
  const RowPieces pieces(rows, kPieceRows);
  const auto chunks = static_cast<std::size_t>(pieces.count);
  const std::size_t joined_width = experts_ > 1 ? 2 * d : d;
  const LaneRows<T> joined_rows(arena, pieces.piece * experts_, joined_width), djoined_rows(arena, pieces.piece * experts_, joined_width),
      dot_rows(arena, pieces.piece, 2 * experts), q_rows(arena, pieces.piece, experts * experts),
      dadjacency_rows(arena, pieces.piece, experts * experts), sum_rows(arena, pieces.piece, 2 * experts), dz_rows(arena, pieces.piece, d);
  // Sums over rows, layer by layer: du [D], adjacency [E E], messages [2D], sum of q (through `sums`) [2E].
  const int layer_sums = width_ + pairs + 2 * width_ + 2 * experts_;
  const auto combiner_sums = arena.matrix<double>(chunks, 3 * d);
  const auto conv_sums = arena.matrix<double>(chunks, layers * static_cast<std::size_t>(layer_sums));
  const auto dweight = arena.matrix<T>(layers * d, joined_width);
  Kokkos::deep_copy(step.exec, dweight, T(0));
  const LaneSums<T> dweight_sum(step, dweight), dcombiner(step, combiner_.weight.grad());
  for_each_chunk(step.exec, pieces.count, [&](int lane, const ChunkExec& exec, int i) {
    const int begin = pieces.begin(i), end = pieces.end(i), tokens = end - begin;
    const auto at = [&](View2<T> m) { return row_range(m, begin, end); };
    const auto joined = joined_rows(lane, tokens * experts_), djoined = djoined_rows(lane, tokens * experts_), dots = dot_rows(lane, tokens);
    const auto q = q_rows(lane, tokens), dadjacency = dadjacency_rows(lane, tokens), sums = sum_rows(lane, tokens);
    const auto dz = dz_rows(lane, tokens), dx = at(out.each);
    combiner_.backward(exec, at(s.v), at(s.hat), elements(s.rdev, begin, end), at(dy), row_elements(combiner_sums, i, 0, 3 * d));
    Matmul<T>::tn(exec, at(s.v), at(s.pooled), dcombiner(lane));
    Matmul<T>::nn(exec, at(s.v), combiner_.weight.value(), dz);
    spread_rows(exec, dz, dx);
    for (int k = n - 1; k >= 0; --k) {
      const auto l = static_cast<std::size_t>(k);
      const GateParams<T> gate{convs_[l].adjacency.value(), convs_[l].message_weight.value1(), convs_[l].message_bias.value1()};
      const auto u = row_range(s.u[l], begin * experts_, end * experts_), in = at(s.x[l]);
      const auto sums_at = [&](int first, int columns) { return row_elements(conv_sums, i, k * layer_sums + first, columns); };
      gelu_gradient(exec, dx, experts_, u);  // u is now its own gradient
      if (experts_ > 1) gate_dots(exec, in, gate, experts_, dots);
      messages(exec, in, dots, gate, experts_, joined);
      Matmul<T>::tn(exec, u, joined, row_range(dweight_sum(lane), k * width_, (k + 1) * width_));
      Matmul<T>::nn(exec, u, s.weight[l], djoined);
      column_sums(exec, u, sums_at(0, d));
      if (experts_ > 1) {
        gate_gradient(exec, in, dots, djoined, gate, experts_, q, dadjacency);
        column_sums(exec, dadjacency, sums_at(width_, pairs));
      }
      input_gradient(exec, djoined, dots, q, gate, experts_, sums, dx);
      if (experts_ > 1) {
        message_sums(exec, in, sums, experts_, sums_at(width_ + pairs, 2 * width_));
        column_sums(exec, sums, sums_at(3 * width_ + pairs, 2 * experts_));
      }
    }
  });
  dweight_sum.finish(step);
  dcombiner.finish(step);
  const auto combiner_total = arena.array<double>(d);
  combiner_.norm.add_partials(step, column_range(combiner_sums, 0, 2 * width_));
  sum_partials(step, column_range(combiner_sums, 2 * width_, 3 * width_), combiner_total);
  add_sums(step.exec, combiner_total, combiner_.bias.grad1());
  const auto total = arena.array<double>(static_cast<std::size_t>(layer_sums));
  for (int k = 0; k < n; ++k) {
    const auto l = static_cast<std::size_t>(k);
    sum_partials(step, column_range(conv_sums, k * layer_sums, (k + 1) * layer_sums), total);
    add_layer_gradients(step, convs_[l], row_range(dweight, k * width_, (k + 1) * width_), total);
  }
  return out;
}

template <class T>
void GnnCoupler<T>::add_layer_gradients(Step<T>& step, const Convolution& c, View2<T> dweight, View1<double> total) const {
  const Exec& exec = step.exec;
  const auto part = [&](int begin, int end) { return elements(total, begin, end); };
  add_sums(exec, part(0, width_), c.self_bias.grad1());
  if (experts_ == 1) {
    RowOps<T>::add(exec, dweight, c.self_weight.grad());
    return;
  }
  const int pairs = experts_ * experts_, after = width_ + pairs;
  RowOps<T>::add(exec, column_range(dweight, 0, width_), c.neighbor_weight.grad());
  RowOps<T>::add(exec, column_range(dweight, width_, 2 * width_), c.self_weight.grad());
  add_sums(exec, part(0, width_), c.neighbor_bias.grad1());
  add_sums(exec, part(width_, after), c.adjacency.grad1());
  add_sums(exec, part(after, after + 2 * width_), c.message_weight.grad1());
  add_receiver_sums(exec, part(after + 2 * width_, after + 2 * width_ + 2 * experts_), c.message_bias.grad1());
}

template <class T>
std::vector<CouplerTap> GnnCoupler<T>::taps(Step<T>& step) const {
  std::vector<CouplerTap> out;
  step.exec.fence("gnn_hpc::GnnCoupler::taps");
  const std::size_t rows = saved_.pooled.extent(0), d = static_cast<std::size_t>(width_), experts = static_cast<std::size_t>(experts_);
  for (std::size_t k = 0; k < convs_.size(); ++k) {
    const std::string prefix = "conv" + std::to_string(k) + ".";
    const std::vector<double> x = host_values(saved_.x[k]), u = host_values(saved_.u[k]);
    const std::vector<double> adjacency = host_values(convs_[k].adjacency.value()), w = host_values(convs_[k].message_weight.value());
    const double bias = host_values(as_row(convs_[k].message_bias.value1()))[0];
    CouplerTap gate{prefix + "gate", {rows, experts, experts}, std::vector<double>(rows * experts * experts, 0.0)};
    CouplerTap message{prefix + "message", {rows, experts, d}, std::vector<double>(rows * experts * d, 0.0)};
    CouplerTap update{prefix + "update", {rows, experts, d}, {}};
    for (const double v : u) update.values.push_back(gelu(v));
    const auto dot = [&](std::size_t row, std::size_t half) {
      double sum = 0.0;
      for (std::size_t c = 0; c < d; ++c) sum += x[row * d + c] * w[half * d + c];
      return sum;
    };
    for (std::size_t r = 0; r < rows * experts; ++r) {
      const std::size_t i = r % experts, first = r - i;
      for (std::size_t j = 0; j < experts; ++j) {
        if (j == i) continue;
        const double a = sigmoid(adjacency[i * experts + j]) * sigmoid(dot(r, 0) + dot(first + j, 1) + bias);
        gate.values[r * experts + j] = a;
        for (std::size_t c = 0; c < d; ++c) message.values[r * d + c] += a * x[(first + j) * d + c];
      }
    }
    out.insert(out.end(), {gate, message, update});
  }
  out.push_back({"pooled", {rows, d}, host_values(saved_.pooled)});
  return out;
}

template <class T>
std::vector<CouplerTap> GnnCoupler<T>::report() const {
  std::vector<CouplerTap> out;
  for (std::size_t k = 0; k < convs_.size() && experts_ > 1; ++k) {
    const auto logits = convs_[k].adjacency.value();
    CouplerTap tap{"adjacency_" + std::to_string(k), {logits.extent(0), logits.extent(1)}, host_values(logits)};
    for (double& v : tap.values) v = sigmoid(v);
    out.push_back(std::move(tap));
  }
  return out;
}

template <class T>
double GnnCoupler<T>::smallest_degree(const Exec&) const {
  return std::numeric_limits<double>::infinity();
}

template class GnnCoupler<float>;
template class GnnCoupler<double>;

}  // namespace gnn_hpc::hgnn_moe
