// SPDX-License-Identifier: Apache-2.0
#include "nn/gvp_conv.hpp"

#include "nn/gvp_conv_kernels.hpp"
#include "nn/lane_work.hpp"
#include "nn/matmul.hpp"
#include "nn/rows.hpp"

namespace gnn_hpc {

using namespace gvp_conv_kernels;

namespace {

std::size_t size(int n) { return static_cast<std::size_t>(n); }

/// A block of rows a lane for the activations of one perceptron.
template <class T>
struct LaneSaved {
  GvpShape shape;
  LaneRows<T> joined, hidden, u, gate, q;
  /// @param columns of `joined`
  LaneSaved(Arena& arena, const Gvp<T>& gvp, int rows, int columns)
      : shape(gvp.shape),
        joined(arena, rows, size(columns)),
        hidden(arena, 3 * rows, size(shape.hidden())),
        u(arena, gvp.has_gate() ? 3 * rows : 0, size(shape.vo)),
        gate(arena, gvp.has_gate() ? rows : 0, size(shape.vo)),
        q(arena, shape.gated ? rows : 0, size(shape.so)) {}
  typename Gvp<T>::Saved operator()(int lane, int n) const {
    typename Gvp<T>::Saved out;
    out.joined = joined(lane, n);
    out.hidden = hidden(lane, 3 * n);
    if (shape.activated || shape.gated) {
      out.u = u(lane, 3 * n);
      out.gate = gate(lane, n);
    }
    if (shape.gated) out.q = q(lane, n);
    return out;
  }
};

/// The sums over edges that leave a node: a copy a lane on a CPU, the transposed lists on a device.
template <class T>
class SourceSums {
 public:
  SourceSums(Step<T>& step, View2<T> s, View2<T> hidden) : s_(s), hidden_(hidden) {
    if constexpr (!kExecIsHost) return;
    Kokkos::deep_copy(step.exec, s, T(0));
    Kokkos::deep_copy(step.exec, hidden, T(0));
    lanes_s_.emplace(step, s);
    lanes_hidden_.emplace(step, hidden);
  }
  void add(const ChunkExec& exec, int lane, const ResidueInput<T>& graph, const ResidueChunk& chunk, View2<T> ds, View2<T> dhidden) const {
    if constexpr (kExecIsHost)
      scatter_sources(exec, graph, chunk, ds, dhidden, (*lanes_s_)(lane), (*lanes_hidden_)(lane));
    else
      gather_sources(exec, graph, ds, dhidden, s_, hidden_);
  }
  void finish(Step<T>& step) const {
    if constexpr (!kExecIsHost) return;
    lanes_s_->finish(step);
    lanes_hidden_->finish(step);
  }

 private:
  View2<T> s_, hidden_;
  std::optional<LaneSums<T>> lanes_s_, lanes_hidden_;
};

}  // namespace

template <class T>
struct GvpConv<T>::Tiles {
  const GvpConv& conv;
  LaneSaved<T> one, two, three;
  LaneRows<T> v1, v2, message_s, message_v;

  Tiles(Arena& arena, const GvpConv& c, int edges)
      : conv(c),
        one(arena, c.first, edges, c.es + c.first.shape.hidden()),
        two(arena, c.second, edges, c.second.shape.joined()),
        three(arena, c.third, edges, c.third.shape.joined()),
        v1(arena, 3 * edges, size(c.nv)),
        v2(arena, 3 * edges, size(c.nv)),
        message_s(arena, c.gated() ? edges : 0, size(c.ns)),
        message_v(arena, c.gated() ? 3 * edges : 0, size(c.nv)) {}

  Tile operator()(int lane, int n) const {
    Tile t{one(lane, n), two(lane, n), three(lane, n), {}};
    t.one.s = column_range(t.two.joined, 0, conv.ns);
    t.two.s = column_range(t.three.joined, 0, conv.ns);
    t.two.v = v1(lane, 3 * n);
    t.three.v = v2(lane, 3 * n);
    if (conv.gated()) {
      t.message = {message_s(lane, n), message_v(lane, 3 * n)};
      t.three.s = t.message.s;
    }
    return t;
  }
};

template <class T>
GvpConv<T>::GvpConv(ParamStore<T>& store, const std::string& name, int scalars, int vectors, int edge_scalars, int edge_vectors, bool gated)
    : ns(scalars), nv(vectors), es(edge_scalars), ev(edge_vectors) {
  first = Gvp<T>(store, name + ".message_func.0", {2 * ns + es, 2 * nv + ev, ns, nv, true, gated});
  second = Gvp<T>(store, name + ".message_func.1", {ns, nv, ns, nv, true, gated});
  third = Gvp<T>(store, name + ".message_func.2", {ns, nv, ns, nv, false, gated});
}

template <class T>
typename GvpConv<T>::Terms GvpConv<T>::terms(Step<T>& step, const GvpState<T>& x) const {
  const std::size_t nodes = x.s.extent(0);
  const int h = first.shape.hidden();
  const View2<T> ws = first.ws.weight.value(), wh = first.wh.value();
  Terms t;
  t.weight = step.arena.template matrix<T>(size(ns), size(es + h));
  t.edge_hidden = step.arena.template matrix<T>(size(ev), size(h));
  t.from = step.arena.template matrix<T>(nodes, size(ns));
  t.to = step.arena.template matrix<T>(nodes, size(ns));
  t.hidden_from = step.arena.template matrix<T>(3 * nodes, size(h));
  t.hidden_to = step.arena.template matrix<T>(3 * nodes, size(h));
  pack_weights(step.exec, ws, wh, ns, nv, t.weight, t.edge_hidden);
  lanes_nt<T>(step.exec, {{x.s, column_range(ws, 0, ns), t.from},
                          {x.s, column_range(ws, ns + es, 2 * ns + es), t.to},
                          {x.v, column_range(wh, 0, nv), t.hidden_from},
                          {x.v, column_range(wh, nv + ev, 2 * nv + ev), t.hidden_to}});
  RowOps<T>::add_bias(step.exec, t.to, first.ws.bias.value1());
  return t;
}

template <class T>
void GvpConv<T>::run_tile(const ChunkExec& exec, const ResidueInput<T>& graph, const ResidueChunk& chunk, const Terms& terms, const Saved& saved,
                          bool again, const Tile& tile) const {
  start_edges(exec, graph, chunk, terms, saved.edges, tile.one);
  Matmul<T>::nt(exec, tile.one.joined, terms.weight, tile.one.s, T(1));
  Matmul<T>::nt(exec, tile.one.hidden, first.wv.value(), tile.one.u);
  first.activate(exec, tile.one, View1<T>(), tile.two.v);
  if (gated()) {
    second.forward(exec, tile.two, tile.three.v);
    third.forward(exec, tile.three, tile.message.v);
    return;
  }
  const View2<std::uint8_t> open = row_range(saved.open, chunk.edge_begin, chunk.edge_end);
  if (again) {
    second.forward_vectors(exec, tile.two, tile.three.v);
    load_open(exec, open, tile.two.s);
  } else {
    second.forward(exec, tile.two, tile.three.v);
    store_open(exec, tile.two.s, open);
  }
  Matmul<T>::nt(exec, tile.three.v, third.wh.value(), tile.three.hidden);
  vector_norms(exec, tile.three.hidden, tile.three.joined, ns);
}

template <class T>
GvpState<T> GvpConv<T>::forward(Step<T>& step, const ResidueInput<T>& graph, const GvpState<T>& x, const GvpState<T>& edges, Saved& s) const {
  Arena& arena = step.arena;
  const std::size_t nodes = size(graph.num_nodes);
  s.x = x;
  s.edges = edges;
  const auto out = GvpState<T>::allocate(arena, nodes, ns, nv);
  if (!gated()) {
    s.mean = arena.matrix<T>(nodes, size(third.shape.joined()));
    s.mean_hidden = arena.matrix<T>(3 * nodes, size(third.shape.hidden()));
    s.open = arena.matrix<std::uint8_t>(size(graph.num_edges), size(ns));
  }
  {
    ArenaFrame frame(arena);
    const Terms t = terms(step, x);
    const Tiles tiles(arena, *this, graph.max_chunk_edges);
    for_each_chunk(step.exec, graph.num_chunks(), [&](int lane, const ChunkExec& exec, int i) {
      const ResidueChunk& chunk = graph.chunks[size(i)];
      const Tile tile = tiles(lane, chunk.num_edges());
      if (chunk.num_edges() > 0) run_tile(exec, graph, chunk, t, s, /*again=*/false, tile);
      if (gated())
        mean_over_edges(exec, graph, chunk, tile.message.s, tile.message.v, out.s, out.v);
      else
        mean_over_edges(exec, graph, chunk, tile.three.joined, tile.three.hidden, s.mean, s.mean_hidden);
    });
  }
  if (!gated()) {
    lanes_nt<T>(step.exec, {{s.mean, third.ws.weight.value(), out.s}, {s.mean_hidden, third.wv.value(), out.v}});
    add_bias_where_edges(step.exec, graph.in_ptr, third.ws.bias.value1(), out.s);
  }
  return out;
}

template <class T>
void GvpConv<T>::backward(Step<T>& step, const ResidueInput<T>& graph, const Saved& s, const GvpState<T>& dout, const GvpState<T>& dx,
                          const GvpState<T>& dedges) const {
  Arena& arena = step.arena;
  ArenaFrame frame(arena);
  const std::size_t nodes = size(graph.num_nodes);
  const int h = first.shape.hidden(), me = graph.max_chunk_edges, chunks = graph.num_chunks();
  const auto matrix = [&](std::size_t rows, int columns) { return arena.matrix<T>(rows, size(columns)); };
  WeightGradients<T> weights;

  GvpState<T> dmean = dout;  // what an edge receives, times the degree
  if (!gated()) {
    clear_where_no_edges(step.exec, graph.in_ptr, dout.s);
    dmean = {matrix(nodes, third.shape.joined()), matrix(3 * nodes, third.shape.hidden())};
    lanes_nn<T>(step.exec, {{dout.s, third.ws.weight.value(), dmean.s}, {dout.v, third.wv.value(), dmean.v}});
    weights.push(dout.s, s.mean, third.ws.weight.grad(), third.ws.bias.grad1());
    weights.push(dout.v, s.mean_hidden, third.wv.grad());
  }

  const Terms t = terms(step, s.x);
  const View2<T> dweight = matrix(size(ns), es + h), dedge_hidden = matrix(size(ev), h);
  Kokkos::deep_copy(step.exec, dweight, T(0));
  Kokkos::deep_copy(step.exec, dedge_hidden, T(0));
  const View2<T> dfrom = matrix(nodes, ns), dto = matrix(nodes, ns), dhidden_from = matrix(3 * nodes, h), dhidden_to = matrix(3 * nodes, h);
  const SourceSums<T> sources(step, dfrom, dhidden_from);
  const LaneSums<T> dweight_sum(step, dweight), dedge_hidden_sum(step, dedge_hidden), third_wh(step, third.wh.grad());
  const typename Gvp<T>::Gradients first_sums(step, first, chunks, /*inputs=*/false), second_sums(step, second, chunks);
  std::optional<typename Gvp<T>::Gradients> third_sums;
  if (gated()) third_sums.emplace(step, third, chunks);
  {
    ArenaFrame tile_frame(arena);
    const Tiles tiles(arena, *this, me);
    const typename Gvp<T>::Scratch scratch(arena, second, me);  // of the three, one at a time
    const LaneRows<T> dj3(arena, me, size(third.shape.joined())), dh3(arena, 3 * me, size(third.shape.hidden()));
    const LaneRows<T> ds3(arena, gated() ? me : 0, size(ns)), dv3(arena, gated() ? 3 * me : 0, size(nv));
    const LaneRows<T> dv2(arena, 3 * me, size(nv)), dj2(arena, me, size(second.shape.joined())), dv1(arena, 3 * me, size(nv));
    const LaneRows<T> dj1(arena, me, size(es + h)), dh1(arena, 3 * me, size(h));
    for_each_chunk(step.exec, chunks, [&](int lane, const ChunkExec& exec, int i) {
      const ResidueChunk& chunk = graph.chunks[size(i)];
      const int n = chunk.num_edges();
      const Tile tile = tiles(lane, n);
      const View2<T> djoined3 = dj3(lane, n), dvectors2 = dv2(lane, 3 * n), djoined2 = dj2(lane, n), dvectors1 = dv1(lane, 3 * n);
      const View2<T> djoined1 = dj1(lane, n), dhidden1 = dh1(lane, 3 * n);
      if (n > 0) run_tile(exec, graph, chunk, t, s, /*again=*/true, tile);
      if (gated()) {
        const View2<T> ds = ds3(lane, n), dv = dv3(lane, 3 * n);
        spread_to_edges(exec, graph, chunk, dmean.s, dmean.v, ds, dv);
        third.backward(exec, lane, i, tile.three, ds, dv, djoined3, dvectors2, *third_sums, scratch);
      } else {
        const View2<T> dhidden3 = dh3(lane, 3 * n);
        spread_to_edges(exec, graph, chunk, dmean.s, dmean.v, djoined3, dhidden3);
        vector_norms_backward(exec, tile.three.hidden, tile.three.joined, djoined3, ns, dhidden3, true);
        Matmul<T>::tn(exec, dhidden3, tile.three.v, third_wh(lane));
        Matmul<T>::nn(exec, dhidden3, third.wh.value(), dvectors2);
      }
      second.backward(exec, lane, i, tile.two, column_range(djoined3, 0, ns), dvectors2, djoined2, dvectors1, second_sums, scratch);

      const View2<T> da = column_range(djoined2, 0, ns);
      first.activate_backward(exec, lane, i, tile.one, da, dvectors1, first_sums, scratch);
      Matmul<T>::tn(exec, da, tile.one.joined, dweight_sum(lane));
      Matmul<T>::nn(exec, da, t.weight, djoined1);
      Matmul<T>::tn(exec, dvectors1, tile.one.hidden, (*first_sums.wv)(lane));
      Matmul<T>::nn(exec, dvectors1, first.wv.value(), dhidden1);
      vector_norms_backward(exec, tile.one.hidden, tile.one.joined, djoined1, es, dhidden1, true);
      const GvpState<T> edge_rows = s.edges.rows(chunk.edge_begin, chunk.edge_end), dedge_rows = dedges.rows(chunk.edge_begin, chunk.edge_end);
      Matmul<T>::tn(exec, edge_rows.v, dhidden1, dedge_hidden_sum(lane));
      Matmul<T>::nt(exec, dhidden1, t.edge_hidden, dedge_rows.v, T(1));
      add_first_columns(exec, djoined1, dedge_rows.s);
      gather_targets(exec, graph, chunk, da, dhidden1, dto, dhidden_to);
      sources.add(exec, lane, graph, chunk, da, dhidden1);
    });
    for (const auto* sum : {&dweight_sum, &dedge_hidden_sum, &third_wh}) sum->finish(step);
    sources.finish(step);
    first_sums.finish(step);
    second_sums.finish(step);
    if (third_sums) third_sums->finish(step);
  }
  const View2<T> ws = first.ws.weight.value(), wh = first.wh.value(), dws = first.ws.weight.grad(), dwh = first.wh.grad();
  unpack_gradients(step.exec, dweight, dedge_hidden, ns, nv, dws, dwh);
  lanes_nn<T>(step.exec, {{dfrom, column_range(ws, 0, ns), dx.s, T(1)},
                          {dto, column_range(ws, ns + es, 2 * ns + es), dx.s, T(1)},
                          {dhidden_from, column_range(wh, 0, nv), dx.v, T(1)},
                          {dhidden_to, column_range(wh, nv + ev, 2 * nv + ev), dx.v, T(1)}});
  weights.push(dfrom, s.x.s, column_range(dws, 0, ns));
  weights.push(dto, s.x.s, column_range(dws, ns + es, 2 * ns + es), first.ws.bias.grad1());
  weights.push(dhidden_from, s.x.v, column_range(dwh, 0, nv));
  weights.push(dhidden_to, s.x.v, column_range(dwh, nv + ev, 2 * nv + ev));
  weights.add(step);
}

template struct GvpConv<float>;
template struct GvpConv<double>;

}  // namespace gnn_hpc
