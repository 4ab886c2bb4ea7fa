// SPDX-License-Identifier: Apache-2.0
#include "nn/bond_message.hpp"

#include "nn/dropout.hpp"
#include "nn/gather_row.hpp"
#include "nn/matmul.hpp"

namespace gnn_hpc {

namespace {

/// h0 = A[node] + B[edge], h = relu(h0) for rows [begin, end).
template <class T>
void first_states(const ChunkExec& exec, const MessagePlan<T>& plan, View2<T> a, View2<T> b, View2<T> h0, View2<T> h, int begin, int end) {
  const auto node = plan.h0_node, edge = plan.h0_edge;
  const int width = h0.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::BondMessage::h0", Kokkos::TeamPolicy<ChunkExec>(exec, end - begin, team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = begin + team.league_rank();
        const T *x = &a(node.extent(0) == 0 ? r : node(r), 0), *e = &b(edge.extent(0) == 0 ? r : edge(r), 0);
        T *pre = &h0(r, 0), *out = &h(r, 0);
        each_channel(team, width, [&](const int c) {
          const T v = x[c] + e[c];
          pre[c] = v;
          out[c] = v > T(0) ? v : T(0);
        });
      });
}

/// h = dropout(relu(base[row] + sum of gathered rows)) for rows [begin, end).
template <class T>
void next_states(const ChunkExec& exec, const Gather<T>& gather, View2<T> x, View2<T> base, View1<int> base_row, const Dropout<T>& dropout,
                 View2<T> h, int begin, int end) {
  const int width = h.extent_int(1);
  const RowSum<T> sum(gather, x);
  Kokkos::parallel_for(
      "gnn_hpc::BondMessage::states", Kokkos::TeamPolicy<ChunkExec>(exec, end - begin, team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = begin + team.league_rank();
        T* y = &h(r, 0);
        sum(team, width, r, y);
        relu_row(team, width, y, &base(base_row.extent(0) == 0 ? r : base_row(r), 0));
        dropout.apply(team, width, r, y);
      });
}

/// y = dropout(relu(y + base[row])) for rows [begin, end).
template <class T>
void finish_states(const ChunkExec& exec, View2<T> base, View1<int> base_row, const Dropout<T>& dropout, View2<T> y, int begin, int end) {
  const int width = y.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::BondMessage::z", Kokkos::TeamPolicy<ChunkExec>(exec, end - begin, team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = begin + team.league_rank();
        relu_row(team, width, &y(r, 0), &base(base_row.extent(0) == 0 ? r : base_row(r), 0));
        dropout.apply(team, width, r, &y(r, 0));
      });
}

template <class T>
void add_bias_rows(const Exec& exec, View2<T> x, View1<T> bias) {
  const int width = x.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::BondMessage::bias", Kokkos::TeamPolicy<Exec>(exec, x.extent_int(0), team_size()), KOKKOS_LAMBDA(const Team& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) { x(r, c) += bias(c); });
      });
}

/// Gathered rows with all lanes.
template <class T>
void gather_all(const Exec& exec, const Gather<T>& gather, View2<T> x, View2<T> y, bool accumulate = false) {
  constexpr std::size_t kLong = 32;  // items a row on average
  if constexpr (!kExecIsHost) {
    if (gather.ptr.extent(0) > 0 && gather.item.extent(0) >= kLong * y.extent(0) && y.extent(0) > 0) {
      gather_long_rows(exec, gather, x, y, accumulate);
      return;
    }
  }
  for_each_row_chunk(exec, y.extent_int(0),
                     [&](int, const ChunkExec& space, const int begin, const int end) { gather_rows(space, gather, x, y, begin, end, accumulate); });
}

template <class T>
bool identity(const Gather<T>& gather) {
  return gather.ptr.extent(0) == 0 && gather.item.extent(0) == 0;
}

}  // namespace

template <class T>
BondMessage<T>::BondMessage(ParamStore<T>& store, const std::string& name, int d_v, int d_e, int d_h, int steps, double p)
    : w_i(store, name + ".W_i", d_v + d_e, d_h, false),
      w_h(store, name + ".W_h", d_h, d_h, false),
      w_o(store, name + ".W_o", d_v + d_h, d_h),
      node_width(d_v),
      edge_width(d_e),
      width(d_h),
      depth(steps),
      dropout(p),
      stream(fnv1a64(name)) {}

template <class T>
bool BondMessage<T>::transform_first(const MessagePlan<T>& plan) const {
  const int last_rows = plan.steps.empty() ? plan.num_h0 : plan.steps.back().num_rows;
  return last_rows <= plan.num_rows_z;
}

template <class T>
View2<T> BondMessage<T>::forward(Step<T>& step, const MessagePlan<T>& plan, View2<T> nodes, View2<T> edges, Saved& s) const {
  GNN_HPC_REQUIRE(static_cast<int>(plan.steps.size()) + 1 == depth && nodes.extent_int(1) == node_width && edges.extent_int(1) == edge_width,
                  "{} states for depth {}, features of {} and {} columns for {} and {}", plan.steps.size() + 1, depth, nodes.extent(1),
                  edges.extent(1), node_width, edge_width);
  Arena& arena = step.arena;
  const Exec& exec = step.exec;
  const auto c = static_cast<std::size_t>(width);
  const bool first = transform_first(plan);
  s.nodes = nodes;
  s.edges = edges;
  s.h0 = arena.matrix<T>(plan.num_h0, c);
  s.h.resize(static_cast<std::size_t>(depth));
  s.h[0] = arena.matrix<T>(plan.num_h0, c);
  for (std::size_t t = 1; t < s.h.size(); ++t) s.h[t] = arena.matrix<T>(plan.steps[t - 1].num_rows, c);
  s.m = first ? View2<T>() : arena.matrix<T>(plan.num_rows_z, c);
  s.z = arena.matrix<T>(plan.num_rows_z, c);

  ArenaFrame frame(arena);
  const auto a = arena.matrix<T>(nodes.extent(0), c), b = arena.matrix<T>(edges.extent(0), c), o = arena.matrix<T>(nodes.extent(0), c);
  const auto wi = w_i.weight.value(), wh = w_h.weight.value(), wo = w_o.weight.value();
  const auto wo_state = column_range(wo, node_width, node_width + width);
  lanes_nt<T>(exec, {{nodes, column_range(wi, 0, node_width), a},
                     {edges, column_range(wi, node_width, node_width + edge_width), b},
                     {nodes, column_range(wo, 0, node_width), o}});
  add_bias_rows(exec, o, w_o.bias.value1());

  // x: the states times the next weight, R rows and the rows of sums behind them.
  const auto next_input = [&](const std::size_t t) {
    const int rows = s.h[t].extent_int(0), sums = t < plan.steps.size() ? plan.steps[t].in.sums.num_rows : 0;
    return arena.matrix<T>(static_cast<std::size_t>(rows + sums), c);
  };
  const auto multiply = [&](const ChunkExec& space, const std::size_t t, View2<T> x, const int begin, const int end) {
    const bool last = t + 1 == s.h.size();
    if (last && !first) return;
    Matmul<T>::nt(space, row_range(s.h[t], begin, end), last ? wo_state : wh, row_range(x, begin, end));
  };
  View2<T> x = next_input(0);
  for_each_row_chunk(exec, plan.num_h0, [&](int, const ChunkExec& space, const int begin, const int end) {
    first_states(space, plan, a, b, s.h0, s.h[0], begin, end);
    multiply(space, 0, x, begin, end);
  });
  for (std::size_t t = 1; t < s.h.size(); ++t) {
    const auto& layer = plan.steps[t - 1];
    const int before = s.h[t - 1].extent_int(0);
    if (layer.in.sums.num_rows > 0) gather_all(exec, layer.in.sums, x, row_range(x, before, before + layer.in.sums.num_rows));
    const View2<T> y = next_input(t);
    const Dropout<T> drop(step, stream + t, dropout, plan.edge_key);
    for_each_row_chunk(exec, layer.num_rows, [&](int, const ChunkExec& space, const int begin, const int end) {
      next_states(space, layer.in.rows, x, s.h0, layer.residual, drop, s.h[t], begin, end);
      multiply(space, t, y, begin, end);
    });
    x = y;
  }
  const Dropout<T> drop(step, stream, dropout, plan.z_key);
  for_each_row_chunk(exec, plan.num_rows_z, [&](int, const ChunkExec& space, const int begin, const int end) {
    if (first) {
      next_states(space, plan.z_in, x, o, plan.z_node, drop, s.z, begin, end);
      return;
    }
    gather_rows(space, plan.z_in, s.h.back(), s.m, begin, end);
    Matmul<T>::nt(space, row_range(s.m, begin, end), wo_state, row_range(s.z, begin, end));
    finish_states(space, o, plan.z_node, drop, s.z, begin, end);
  });
  return s.z;
}

template <class T>
void BondMessage<T>::backward(Step<T>& step, const MessagePlan<T>& plan, const Saved& s, View2<T> dz, View2<T> dnodes, View2<T> dedges,
                              WeightGradients<T>& weights) const {
  Arena& arena = step.arena;
  const Exec& exec = step.exec;
  const auto c = static_cast<std::size_t>(width);
  const bool first = transform_first(plan);
  const T scale = dropout_scale(step, dropout);
  const auto wi = w_i.weight.value(), wh = w_h.weight.value(), wo = w_o.weight.value();
  const auto wo_state = column_range(wo, node_width, node_width + width);
  const auto dwi = w_i.weight.grad(), dwo = w_o.weight.grad();
  const auto dwo_state = column_range(dwo, node_width, node_width + width);
  const std::size_t last = s.h.size() - 1;

  const auto dm = first ? View2<T>() : arena.matrix<T>(plan.num_rows_z, c);
  for_each_row_chunk(exec, plan.num_rows_z, [&](int, const ChunkExec& space, const int begin, const int end) {
    relu_rows_backward(space, s.z, dz, scale, begin, end);
    if (!first) Matmul<T>::nn(space, row_range(dz, begin, end), wo_state, row_range(dm, begin, end));
  });
  // Gradients of the states before relu, the rows of sums of the transposed exchange behind them.
  const auto rows_of_gradient = [&](const std::size_t t) { return s.h[t].extent_int(0) + (t > 0 ? plan.steps[t - 1].out.sums.num_rows : 0); };
  std::vector<View2<T>> dpre(s.h.size());
  dpre[last] = arena.matrix<T>(rows_of_gradient(last), c);
  const auto dq = first ? arena.matrix<T>(s.h[last].extent(0), c) : View2<T>();
  const auto relu_scale = [&](const std::size_t t) { return t > 0 ? scale : T(1); };  // no dropout on the first states
  for_each_row_chunk(exec, s.h[last].extent_int(0), [&](int, const ChunkExec& space, const int begin, const int end) {
    if (first) {
      gather_rows(space, plan.z_out, dz, dq, begin, end);
      Matmul<T>::nn(space, row_range(dq, begin, end), wo_state, row_range(dpre[last], begin, end));
    } else {
      gather_rows(space, plan.z_out, dm, dpre[last], begin, end);
    }
    relu_rows_backward(space, s.h[last], dpre[last], relu_scale(last), begin, end);
  });
  for (std::size_t t = last; t > 0; --t) {
    const auto& layer = plan.steps[t - 1];
    const int rows = layer.num_rows;
    if (layer.out.sums.num_rows > 0) gather_all(exec, layer.out.sums, dpre[t], row_range(dpre[t], rows, rows + layer.out.sums.num_rows));
    const auto dx = arena.matrix<T>(s.h[t - 1].extent(0), c);
    dpre[t - 1] = arena.matrix<T>(rows_of_gradient(t - 1), c);
    for_each_row_chunk(exec, s.h[t - 1].extent_int(0), [&](int, const ChunkExec& space, const int begin, const int end) {
      gather_rows(space, layer.out.rows, dpre[t], dx, begin, end);
      Matmul<T>::nn(space, row_range(dx, begin, end), wh, row_range(dpre[t - 1], begin, end));
      relu_rows_backward(space, s.h[t - 1], dpre[t - 1], relu_scale(t - 1), begin, end);
    });
    weights.push(dx, s.h[t - 1], w_h.weight.grad());
  }
  const View2<T> dh0 = row_range(dpre[0], 0, plan.num_h0);
  for_each_row_chunk(exec, plan.num_h0, [&](int, const ChunkExec& space, const int begin, const int end) {
    for (std::size_t t = 1; t < s.h.size(); ++t) gather_rows(space, plan.steps[t - 1].residual_out, dpre[t], dh0, begin, end, true);
  });

  const auto da = arena.matrix<T>(s.nodes.extent(0), c);
  const auto db = identity(plan.by_edge) ? dh0 : arena.matrix<T>(s.edges.extent(0), c);
  const auto dout = identity(plan.z_by_node) ? dz : arena.matrix<T>(s.nodes.extent(0), c);
  gather_all(exec, plan.by_node, dh0, da);
  if (!identity(plan.by_edge)) gather_all(exec, plan.by_edge, dh0, db);
  if (!identity(plan.z_by_node)) gather_all(exec, plan.z_by_node, dz, dout);
  weights.push(da, s.nodes, column_range(dwi, 0, node_width));
  weights.push(db, s.edges, column_range(dwi, node_width, node_width + edge_width));
  weights.push(dout, s.nodes, column_range(dwo, 0, node_width), w_o.bias.grad1());
  if (first)
    weights.push(dq, s.h[last], dwo_state);
  else
    weights.push(dz, s.m, dwo_state);
  if (dnodes.extent(0) > 0) {
    lanes_nn<T>(exec, {{da, column_range(wi, 0, node_width), dnodes}, {dout, column_range(wo, 0, node_width), dnodes, T(1)}});
  }
  if (dedges.extent(0) > 0) lanes_nn<T>(exec, {{db, column_range(wi, node_width, node_width + edge_width), dedges}});
}

template struct BondMessage<float>;
template struct BondMessage<double>;

}  // namespace gnn_hpc
