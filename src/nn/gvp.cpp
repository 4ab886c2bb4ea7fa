// SPDX-License-Identifier: Apache-2.0
#include "nn/gvp.hpp"

#include "nn/activation.hpp"
#include "nn/dropout.hpp"
#include "nn/matmul.hpp"

namespace gnn_hpc {

namespace {

/// s = relu(s + bias), or s + bias; an empty bias is 0.
template <class T>
void add_bias_relu(const ChunkExec& exec, View2<T> s, View1<T> bias, bool relu) {
  const int width = s.extent_int(1);
  const bool biased = bias.extent(0) > 0;
  Kokkos::parallel_for(
      "gnn_hpc::Gvp::scalars", Kokkos::TeamPolicy<ChunkExec>(exec, s.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        T* row = &s(team.league_rank(), 0);
        const T* b = bias.data();
        if (biased) {
          each_channel(team, width, [&](const int c) {
            const T a = row[c] + b[c];
            row[c] = relu && !(a > T(0)) ? T(0) : a;
          });
        } else if (relu) {
          each_channel(team, width, [&](const int c) { row[c] = row[c] > T(0) ? row[c] : T(0); });
        }
      });
}

/// gate = sig(|u|~), v = u gate.
template <class T>
void norm_gate(const ChunkExec& exec, View2<T> u, View2<T> gate, View2<T> v) {
  const int width = u.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Gvp::norm_gate", Kokkos::TeamPolicy<ChunkExec>(exec, gate.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T *x = &u(3 * r, 0), *y = &u(3 * r + 1, 0), *z = &u(3 * r + 2, 0);
        T *g = &gate(r, 0), *vx = &v(3 * r, 0), *vy = &v(3 * r + 1, 0), *vz = &v(3 * r + 2, 0);
        each_channel(team, width, [&](const int c) {
          const T square = x[c] * x[c] + y[c] * y[c] + z[c] * z[c];
          const T open = sigmoid(clamped_norm(square));
          g[c] = open;
          vx[c] = x[c] * open;
          vy[c] = y[c] * open;
          vz[c] = z[c] * open;
        });
      });
}

/// q = sig(a), or a.
template <class T>
void gate_input(const ChunkExec& exec, View2<T> a, bool activated, View2<T> q) {
  const int width = a.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Gvp::gate_input", Kokkos::TeamPolicy<ChunkExec>(exec, a.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) { q(r, c) = activated ? sigmoid(a(r, c)) : a(r, c); });
      });
}

/// gate = sig(gate + bias), v = u gate.
template <class T>
void scalar_gate(const ChunkExec& exec, View2<T> u, View1<T> bias, View2<T> gate, View2<T> v) {
  const int width = u.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Gvp::scalar_gate", Kokkos::TeamPolicy<ChunkExec>(exec, gate.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) {
          const T open = sigmoid(gate(r, c) + bias(c));
          gate(r, c) = open;
          for (int x = 0; x < 3; ++x) v(3 * r + x, c) = u(3 * r + x, c) * open;
        });
      });
}

/// dv -> dU of the gate from the norms.
template <class T>
void norm_gate_backward(const ChunkExec& exec, View2<T> u, View2<T> gate, View2<T> dv) {
  const int width = u.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Gvp::norm_gate_backward", Kokkos::TeamPolicy<ChunkExec>(exec, gate.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T *x = &u(3 * r, 0), *y = &u(3 * r + 1, 0), *z = &u(3 * r + 2, 0), *g = &gate(r, 0);
        T *dx = &dv(3 * r, 0), *dy = &dv(3 * r + 1, 0), *dz = &dv(3 * r + 2, 0);
        each_channel(team, width, [&](const int c) {
          const T square = x[c] * x[c] + y[c] * y[c] + z[c] * z[c];
          const T inverse = square >= T(kGvpEpsilon) ? T(1) / Kokkos::sqrt(square) : T(0);
          const T along = (dx[c] * x[c] + dy[c] * y[c] + dz[c] * z[c]) * g[c] * (T(1) - g[c]) * inverse;
          dx[c] = g[c] * dx[c] + along * x[c];
          dy[c] = g[c] * dy[c] + along * y[c];
          dz[c] = g[c] * dz[c] + along * z[c];
        });
      });
}

/// t = (dv.u) g (1 - g), dv -> dU of the gate from the scalars.
template <class T>
void scalar_gate_backward(const ChunkExec& exec, View2<T> u, View2<T> gate, View2<T> dv, View2<T> t) {
  const int width = u.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Gvp::scalar_gate_backward", Kokkos::TeamPolicy<ChunkExec>(exec, gate.extent_int(0), team_size()),
      KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) {
          const T g = gate(r, c);
          T along = 0;
          for (int x = 0; x < 3; ++x) {
            along += dv(3 * r + x, c) * u(3 * r + x, c);
            dv(3 * r + x, c) *= g;
          }
          t(r, c) = along * g * (T(1) - g);
        });
      });
}

/// da += dq q (1 - q), or dq.
template <class T>
void gate_input_backward(const ChunkExec& exec, View2<T> q, View2<T> dq, bool activated, View2<T> da) {
  const int width = q.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Gvp::gate_input_backward", Kokkos::TeamPolicy<ChunkExec>(exec, q.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        each_channel(team, width, [&](const int c) { da(r, c) += dq(r, c) * (activated ? q(r, c) * (T(1) - q(r, c)) : T(1)); });
      });
}

std::size_t size(int n) { return static_cast<std::size_t>(n); }

}  // namespace

template <class T>
void vector_norms(const ChunkExec& exec, View2<T> hidden, View2<T> joined, int first) {
  const int width = hidden.extent_int(1);
  Kokkos::parallel_for(
      "gnn_hpc::Gvp::norms", Kokkos::TeamPolicy<ChunkExec>(exec, joined.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T *x = &hidden(3 * r, 0), *y = &hidden(3 * r + 1, 0), *z = &hidden(3 * r + 2, 0);
        T* n = &joined(r, first);
        each_channel(team, width, [&](const int k) {
          const T square = x[k] * x[k] + y[k] * y[k] + z[k] * z[k];
          n[k] = clamped_norm(square);
        });
      });
}

template <class T>
void vector_norms_backward(const ChunkExec& exec, View2<T> hidden, View2<T> joined, View2<T> djoined, int first, View2<T> dhidden, bool accumulate) {
  const int width = hidden.extent_int(1);
  const T keep = accumulate ? T(1) : T(0);
  Kokkos::parallel_for(
      "gnn_hpc::Gvp::norms_backward", Kokkos::TeamPolicy<ChunkExec>(exec, joined.extent_int(0), team_size()), KOKKOS_LAMBDA(const ChunkTeam& team) {
        const int r = team.league_rank();
        const T *x = &hidden(3 * r, 0), *y = &hidden(3 * r + 1, 0), *z = &hidden(3 * r + 2, 0), *n = &joined(r, first), *dn = &djoined(r, first);
        T *dx = &dhidden(3 * r, 0), *dy = &dhidden(3 * r + 1, 0), *dz = &dhidden(3 * r + 2, 0);
        each_channel(team, width, [&](const int k) {
          const T square = x[k] * x[k] + y[k] * y[k] + z[k] * z[k];
          const T factor = square >= T(kGvpEpsilon) ? dn[k] / n[k] : T(0);
          dx[k] = (keep != T(0) ? dx[k] : T(0)) + factor * x[k];
          dy[k] = (keep != T(0) ? dy[k] : T(0)) + factor * y[k];
          dz[k] = (keep != T(0) ? dz[k] : T(0)) + factor * z[k];
        });
      });
}

template <class T>
Gvp<T>::Gvp(ParamStore<T>& store, const std::string& name, const GvpShape& o) : shape(o) {
  GNN_HPC_REQUIRE(o.si > 0 && o.vi > 0 && o.so > 0 && o.vo >= 0, "{}: ({}, {}) -> ({}, {})", name, o.si, o.vi, o.so, o.vo);
  wh = Linear<T>(store, name + ".wh", o.vi, o.hidden(), false).weight;
  ws = Linear<T>(store, name + ".ws", o.joined(), o.so);
  if (o.vo == 0) return;
  wv = Linear<T>(store, name + ".wv", o.hidden(), o.vo, false).weight;
  if (o.gated) wsv = Linear<T>(store, name + ".wsv", o.so, o.vo);
}

template <class T>
typename Gvp<T>::Saved Gvp<T>::Saved::rows(int begin, int end) const {
  const auto part = [&](const View2<T>& x, int factor) { return x.extent(0) == 0 ? x : row_range(x, factor * begin, factor * end); };
  return {part(joined, 1), part(v, 3), part(hidden, 3), part(u, 3), part(gate, 1), part(q, 1), part(s, 1)};
}

template <class T>
typename Gvp<T>::Saved Gvp<T>::allocate(Arena& arena, std::size_t rows, View2<T> output) const {
  Saved out;
  out.joined = arena.matrix<T>(rows, size(shape.joined()));
  out.hidden = arena.matrix<T>(3 * rows, size(shape.hidden()));
  if (shape.vo == 0) return out;
  out.u = has_gate() ? arena.matrix<T>(3 * rows, size(shape.vo)) : output;
  if (has_gate()) out.gate = arena.matrix<T>(rows, size(shape.vo));
  if (shape.gated) out.q = arena.matrix<T>(rows, size(shape.so));
  return out;
}

template <class T>
void Gvp<T>::activate(const ChunkExec& exec, const Saved& saved, View1<T> bias, View2<T> v_out) const {
  if (shape.vo > 0 && shape.gated) {
    add_bias_relu(exec, saved.s, bias, false);
    gate_input(exec, saved.s, shape.activated, saved.q);
    Matmul<T>::nt(exec, saved.q, wsv.weight.value(), saved.gate);
    scalar_gate(exec, saved.u, wsv.bias.value1(), saved.gate, v_out);
    if (shape.activated) add_bias_relu(exec, saved.s, View1<T>(), true);
    return;
  }
  add_bias_relu(exec, saved.s, bias, shape.activated);
  if (has_gate()) norm_gate(exec, saved.u, saved.gate, v_out);
}

template <class T>
void Gvp<T>::map_vectors(const ChunkExec& exec, const Saved& saved) const {
  Matmul<T>::nt(exec, saved.v, wh.value(), saved.hidden);
  vector_norms(exec, saved.hidden, saved.joined, shape.si);
  if (shape.vo > 0) Matmul<T>::nt(exec, saved.hidden, wv.value(), saved.u);
}

template <class T>
void Gvp<T>::forward(const ChunkExec& exec, const Saved& saved, View2<T> v_out) const {
  map_vectors(exec, saved);
  Matmul<T>::nt(exec, saved.joined, ws.weight.value(), saved.s);
  activate(exec, saved, ws.bias.value1(), v_out);
}

template <class T>
void Gvp<T>::forward_vectors(const ChunkExec& exec, const Saved& saved, View2<T> v_out) const {
  GNN_HPC_REQUIRE(!shape.gated && shape.vo > 0, "vectors of ({}, {}) -> ({}, {}) alone", shape.si, shape.vi, shape.so, shape.vo);
  map_vectors(exec, saved);
  if (has_gate()) norm_gate(exec, saved.u, saved.gate, v_out);
}

template <class T>
Gvp<T>::Gradients::Gradients(Step<T>& step, const Gvp& gvp, int chunks, bool inputs) {
  if (inputs) {
    ws.emplace(step, gvp.ws.weight.grad());
    wh.emplace(step, gvp.wh.grad());
    bias.emplace(step, chunks, gvp.ws.bias.grad1());
  }
  if (gvp.shape.vo == 0) return;
  wv.emplace(step, gvp.wv.grad());
  if (!gvp.shape.gated) return;
  wsv.emplace(step, gvp.wsv.weight.grad());
  gate_bias.emplace(step, chunks, gvp.wsv.bias.grad1());
}

template <class T>
void Gvp<T>::Gradients::finish(Step<T>& step) const {
  for (const auto* sum : {&ws, &wh, &wv, &wsv}) {
    if (*sum) (*sum)->finish(step);
  }
  for (const auto* sum : {&bias, &gate_bias}) {
    if (*sum) (*sum)->finish(step);
  }
}

template <class T>
Gvp<T>::Scratch::Scratch(Arena& arena, const Gvp& gvp, int rows)
    : dhidden(arena, 3 * rows, size(gvp.shape.hidden())),
      t(arena, gvp.shape.gated ? rows : 0, size(gvp.shape.vo)),
      dq(arena, gvp.shape.gated ? rows : 0, size(gvp.shape.so)) {}

template <class T>
void Gvp<T>::activate_backward(const ChunkExec& exec, int lane, int chunk, const Saved& saved, View2<T> ds, View2<T> dv, const Gradients& gradients,
                               const Scratch& scratch) const {
  if (shape.activated) relu_rows_backward(exec, saved.s, ds, T(1), 0, ds.extent_int(0));
  if (!has_gate()) return;
  if (!shape.gated) {
    norm_gate_backward(exec, saved.u, saved.gate, dv);
    return;
  }
  const int rows = ds.extent_int(0);
  const View2<T> t = scratch.t(lane, rows), dq = scratch.dq(lane, rows);
  scalar_gate_backward(exec, saved.u, saved.gate, dv, t);
  Matmul<T>::tn(exec, t, saved.q, (*gradients.wsv)(lane));
  gradients.gate_bias->add(exec, chunk, t);
  Matmul<T>::nn(exec, t, wsv.weight.value(), dq);
  gate_input_backward(exec, saved.q, dq, shape.activated, ds);
}

template <class T>
void Gvp<T>::backward(const ChunkExec& exec, int lane, int chunk, const Saved& saved, View2<T> ds, View2<T> dv, View2<T> djoined, View2<T> dv_in,
                      const Gradients& gradients, const Scratch& scratch) const {
  activate_backward(exec, lane, chunk, saved, ds, dv, gradients, scratch);
  Matmul<T>::tn(exec, ds, saved.joined, (*gradients.ws)(lane));
  gradients.bias->add(exec, chunk, ds);
  Matmul<T>::nn(exec, ds, ws.weight.value(), djoined);
  const View2<T> dhidden = scratch.dhidden(lane, 3 * ds.extent_int(0));
  if (shape.vo > 0) {
    Matmul<T>::tn(exec, dv, saved.hidden, (*gradients.wv)(lane));
    Matmul<T>::nn(exec, dv, wv.value(), dhidden);
  }
  vector_norms_backward(exec, saved.hidden, saved.joined, djoined, shape.si, dhidden, shape.vo > 0);
  Matmul<T>::tn(exec, dhidden, saved.v, (*gradients.wh)(lane));
  Matmul<T>::nn(exec, dhidden, wh.value(), dv_in);
}

template struct Gvp<float>;
template struct Gvp<double>;
template void vector_norms(const ChunkExec&, View2<float>, View2<float>, int);
template void vector_norms(const ChunkExec&, View2<double>, View2<double>, int);
template void vector_norms_backward(const ChunkExec&, View2<float>, View2<float>, View2<float>, int, View2<float>, bool);
template void vector_norms_backward(const ChunkExec&, View2<double>, View2<double>, View2<double>, int, View2<double>, bool);

}  // namespace gnn_hpc
