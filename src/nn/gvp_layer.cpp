// SPDX-License-Identifier: Apache-2.0
#include "nn/gvp_layer.hpp"

#include "nn/lane_work.hpp"

namespace gnn_hpc {

namespace {

/// hat = x.s + keep_s update.s, v = x.v + keep_v update.v
template <class T>
void add_update(const ChunkExec& exec, const GvpState<T>& x, const GvpState<T>& update, View2<T> keep_s, View2<T> keep_v, View2<T> s, View2<T> v) {
  const int ns = s.extent_int(1), nv = v.extent_int(1);
  const bool dropped = keep_s.extent(0) > 0, vectors_dropped = keep_v.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::GvpResidual::add", Kokkos::TeamPolicy<ChunkExec>(exec, s.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T *a = &x.s(r, 0), *b = &update.s(r, 0), *keep = dropped ? &keep_s(r, 0) : nullptr;
        T* out = &s(r, 0);
        if (dropped)
          each_channel(team, ns, [&](const int c) { out[c] = a[c] + keep[c] * b[c]; });
        else
          each_channel(team, ns, [&](const int c) { out[c] = a[c] + b[c]; });
        for (int d = 0; d < 3; ++d) {
          const T *av = &x.v(3 * r + d, 0), *bv = &update.v(3 * r + d, 0), *keep_row = vectors_dropped ? &keep_v(r, 0) : nullptr;
          T* out_v = &v(3 * r + d, 0);
          if (vectors_dropped)
            each_channel(team, nv, [&](const int c) { out_v[c] = av[c] + keep_row[c] * bv[c]; });
          else
            each_channel(team, nv, [&](const int c) { out_v[c] = av[c] + bv[c]; });
        }
      });
}

/// dupdate = keep dsum
template <class T>
void drop_gradient(const ChunkExec& exec, const GvpState<T>& dsum, View2<T> keep_s, View2<T> keep_v, const GvpState<T>& dupdate) {
  const int ns = dsum.s.extent_int(1), nv = dsum.v.extent_int(1);
  const bool dropped = keep_s.extent(0) > 0, vectors_dropped = keep_v.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::GvpResidual::drop", Kokkos::TeamPolicy<ChunkExec>(exec, dsum.s.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        each_channel(team, ns, [&](const int c) { dupdate.s(r, c) = dropped ? keep_s(r, c) * dsum.s(r, c) : dsum.s(r, c); });
        for (int d = 0; d < 3; ++d) {
          each_channel(team, nv,
                       [&](const int c) { dupdate.v(3 * r + d, c) = vectors_dropped ? keep_v(r, c) * dsum.v(3 * r + d, c) : dsum.v(3 * r + d, c); });
        }
      });
}

}  // namespace

template <class T>
typename GvpResidual<T>::Saved GvpResidual<T>::Saved::rows(int begin, int end) const {
  const auto part = [&](const View2<T>& x) { return x.extent(0) == 0 ? x : row_range(x, begin, end); };
  return {part(keep_s), part(keep_v), norm.rows(begin, end)};
}

template <class T>
typename GvpResidual<T>::Saved GvpResidual<T>::allocate(Step<T>& step, const RowDropout<T>& dropout, std::size_t rows, int ns, int nv) const {
  return {dropout.factors(step, site + ".sdropout", rows, ns), dropout.factors(step, site + ".vdropout", rows, nv),
          GvpNorm<T>::Saved::allocate(step.arena, rows, ns, nv)};
}

template <class T>
void GvpResidual<T>::forward(const ChunkExec& exec, const Saved& saved, const GvpState<T>& x, const GvpState<T>& update,
                             const GvpState<T>& out) const {
  add_update(exec, x, update, saved.keep_s, saved.keep_v, saved.norm.hat, saved.norm.v);
  norm.forward(exec, saved.norm, out);
}

template <class T>
void GvpResidual<T>::backward(const ChunkExec& exec, int chunk, const Saved& saved, const GvpState<T>& dout, const GvpState<T>& dx,
                              const GvpState<T>& dupdate, const typename GvpNorm<T>::Gradients& gradients) const {
  norm.backward(exec, chunk, saved.norm, dout, dx, gradients);
  drop_gradient(exec, dx, saved.keep_s, saved.keep_v, dupdate);
}

template <class T>
GvpLayer<T>::GvpLayer(ParamStore<T>& store, const std::string& name, int ns, int nv, int es, int ev, bool gated)
    : conv(store, name + ".conv", ns, nv, es, ev, gated) {
  after_conv = {GvpNorm<T>(store, name + ".norm.0", ns), name + ".dropout.0"};
  after_feed_forward = {GvpNorm<T>(store, name + ".norm.1", ns), name + ".dropout.1"};
  expand = Gvp<T>(store, name + ".ff_func.0", {ns, nv, 4 * ns, 2 * nv, true, gated});
  contract = Gvp<T>(store, name + ".ff_func.1", {4 * ns, 2 * nv, ns, nv, false, gated});
}

template <class T>
GvpState<T> GvpLayer<T>::forward(Step<T>& step, const ResidueInput<T>& graph, const RowDropout<T>& dropout, const GvpState<T>& x,
                                 const GvpState<T>& edges, Saved& s) const {
  Arena& arena = step.arena;
  const std::size_t nodes = x.s.extent(0);
  const int ns = conv.ns, nv = conv.nv;
  s.message = conv.forward(step, graph, x, edges, s.conv);
  s.first = after_conv.allocate(step, dropout, nodes, ns, nv);
  s.second = after_feed_forward.allocate(step, dropout, nodes, ns, nv);
  s.middle = GvpState<T>::allocate(arena, nodes, ns, nv);
  s.out = GvpState<T>::allocate(arena, nodes, ns, nv);
  s.expand = expand.allocate(arena, nodes, {});
  s.expand.v = s.middle.v;
  const auto widened = arena.matrix<T>(3 * nodes, static_cast<std::size_t>(2 * nv));
  const auto update = GvpState<T>::allocate(arena, nodes, ns, nv);
  s.contract = contract.allocate(arena, nodes, update.v);
  s.contract.v = widened;
  s.contract.s = update.s;
  s.expand.s = column_range(s.contract.joined, 0, 4 * ns);
  for_each_row_chunk(step.exec, graph.num_nodes, [&](int, const ChunkExec& exec, int begin, int end) {
    const GvpState<T> middle = s.middle.rows(begin, end);
    after_conv.forward(exec, s.first.rows(begin, end), x.rows(begin, end), s.message.rows(begin, end), middle);
    const auto wide = s.expand.rows(begin, end), narrow = s.contract.rows(begin, end);
    Kokkos::deep_copy(exec, column_range(wide.joined, 0, ns), middle.s);
    expand.forward(exec, wide, narrow.v);
    contract.forward(exec, narrow, update.rows(begin, end).v);
    after_feed_forward.forward(exec, s.second.rows(begin, end), middle, update.rows(begin, end), s.out.rows(begin, end));
  });
  return s.out;
}

template <class T>
void GvpLayer<T>::backward(Step<T>& step, const ResidueInput<T>& graph, const Saved& s, const GvpState<T>& dout, const GvpState<T>& dedges) const {
  Arena& arena = step.arena;
  ArenaFrame frame(arena);
  const std::size_t nodes = dout.s.extent(0);
  const int ns = conv.ns, nv = conv.nv;
  const RowChunks chunks(graph.num_nodes);
  const int longest = chunks.longest();
  const auto dmessage = GvpState<T>::allocate(arena, nodes, ns, nv);
  {
    ArenaFrame rows_frame(arena);
    const typename GvpNorm<T>::Gradients first_norm(arena, after_conv.norm, chunks.count), second_norm(arena, after_feed_forward.norm, chunks.count);
    const typename Gvp<T>::Gradients dexpand(step, expand, chunks.count), dcontract(step, contract, chunks.count);
    const typename Gvp<T>::Scratch expand_scratch(arena, expand, longest), contract_scratch(arena, contract, longest);
    const auto columns = [](int n) { return static_cast<std::size_t>(n); };
    const LaneRows<T> ds(arena, longest, columns(ns)), dv(arena, 3 * longest, columns(nv)), dwide(arena, longest, columns(contract.shape.joined()));
    const LaneRows<T> dwide_v(arena, 3 * longest, columns(2 * nv)), djoined(arena, longest, columns(expand.shape.joined()));
    const LaneRows<T> dmiddle_v(arena, 3 * longest, columns(nv));
    for_each_chunk(step.exec, chunks.count, [&](int lane, const ChunkExec& exec, int i) {
      const int begin = chunks.begin(i), end = chunks.end(i), n = end - begin;
      const GvpState<T> dx = dout.rows(begin, end), dupdate{ds(lane, n), dv(lane, 3 * n)};
      after_feed_forward.backward(exec, i, s.second.rows(begin, end), dx, dx, dupdate, second_norm);
      const View2<T> dwidened = dwide(lane, n), dwidened_v = dwide_v(lane, 3 * n), djoin = djoined(lane, n), dmiddle = dmiddle_v(lane, 3 * n);
      contract.backward(exec, lane, i, s.contract.rows(begin, end), dupdate.s, dupdate.v, dwidened, dwidened_v, dcontract, contract_scratch);
      expand.backward(exec, lane, i, s.expand.rows(begin, end), column_range(dwidened, 0, 4 * ns), dwidened_v, djoin, dmiddle, dexpand,
                      expand_scratch);
      add_first_columns(exec, djoin, dx.s);
      add_first_columns(exec, dmiddle, dx.v);
      after_conv.backward(exec, i, s.first.rows(begin, end), dx, dx, dmessage.rows(begin, end), first_norm);
    });
    after_conv.norm.finish(step, first_norm);
    after_feed_forward.norm.finish(step, second_norm);
    dexpand.finish(step);
    dcontract.finish(step);
  }
  conv.backward(step, graph, s.conv, dmessage, dout, dedges);
}

template struct GvpResidual<float>;
template struct GvpResidual<double>;
template struct GvpLayer<float>;
template struct GvpLayer<double>;

}  // namespace gnn_hpc
