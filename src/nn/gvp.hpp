// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/chunk_sums.hpp"
#include "nn/linear.hpp"

#include <algorithm>
#include <optional>
#include <string>

namespace gnn_hpc {

/// Clamp under the root of a norm: |v|~ = sqrt(max(v.v, eps)), whose gradient passes where v.v >= eps.
inline constexpr double kGvpEpsilon = 1e-8;
/// |v|~ from v.v.
template <class T>
KOKKOS_INLINE_FUNCTION T clamped_norm(T square) {
  return Kokkos::sqrt(square > T(kGvpEpsilon) ? square : T(kGvpEpsilon));
}

/// Scalars and vectors of R rows. Vectors lie [R,3,C] in memory: the x of all channels of a row, then y, then z, so that a map of channels is
/// one product with 3R rows.
template <class T>
struct GvpState {
  View2<T> s;  ///< [R,ns]
  View2<T> v;  ///< [3R,nv]

  static GvpState allocate(Arena& arena, std::size_t rows, int ns, int nv) {
    return {arena.matrix<T>(rows, static_cast<std::size_t>(ns)), arena.matrix<T>(3 * rows, static_cast<std::size_t>(nv))};
  }
  GvpState rows(int begin, int end) const { return {row_range(s, begin, end), row_range(v, 3 * begin, 3 * end)}; }
};

/// Widths of a perceptron (scalars and vectors, in and out) and its nonlinearity.
struct GvpShape {
  int si = 0, vi = 0, so = 0, vo = 0;
  bool activated = true;  ///< relu of the scalars, a gate on the vectors
  bool gated = false;     ///< the gate comes from the scalars instead of the vectors' norms
  int hidden() const { return std::max(vi, vo); }
  int joined() const { return si + hidden(); }
};

/// Geometric vector perceptron (Jing et al., "Learning from Protein Structure with Geometric Vector Perceptrons", ICLR 2021; vector gate: Jing et
/// al. 2021b; specification spec/gvp.md, section 3), (s,V) -> (s',V') equivariant under rotations:
///   H = wh V,  n = |H|~,  a = ws [s ; n] + b,  U = wv H
///   s' = relu(a) if activated, else a
///   V' = U sig(|U|~) if activated, U sig(wsv q + bg) with q = sig(a) (activated) or a if gated, else U
/// Backward, from ds', dV':  da = ds' [s' > 0];  g the gate, dg = dV'.U:  dU = g dV' + [U.U >= eps] dg g (1-g) U/|U|~, or, if gated, dU = g dV',
/// t = dg g (1-g), da += (wsv' t) q (1-q) (or wsv' t);  [ds ; dn] = ws' da,  dH = wv' dU + [H.H >= eps] dn H/n,  dV = wh' dH.
/// Works on the rows of one chunk; products of rows go to the space of the chunk.
template <class T>
struct Gvp {
  GvpShape shape;
  Param<T> wh, wv;  ///< [h,vi], [vo,h]
  Linear<T> ws;     ///< [so, si + h], bias [so]
  Linear<T> wsv;    ///< [vo,so], bias [vo]; gated only

  Gvp() = default;
  /// Registers `name.wh.weight`, `name.ws.*`, and where there are vectors to give, `name.wv.weight`, `name.wsv.*`.
  Gvp(ParamStore<T>& store, const std::string& name, const GvpShape& shape);

  /// What `forward` leaves for `backward`.
  struct Saved {
    View2<T> joined;  ///< [R, si + h] scalars, which the caller writes before, then norms
    View2<T> v;       ///< [3R,vi] the caller's
    View2<T> hidden;  ///< [3R,h]
    View2<T> u;       ///< [3R,vo] vectors before the gate; the output itself where there is none
    View2<T> gate;    ///< [R,vo]
    View2<T> q;       ///< [R,so] if gated
    View2<T> s;       ///< [R,so] scalars out; may be columns of another array
    Saved rows(int begin, int end) const;
  };
  /// Arrays of `rows` rows, without `s` and `v`. @param output where V' goes if there is no gate, else ignored
  Saved allocate(Arena& arena, std::size_t rows, View2<T> output) const;
  bool has_gate() const { return shape.vo > 0 && (shape.activated || shape.gated); }

  /// From `joined` (scalars) and `v` to `s` and, where vectors are given, `v_out` [3R,vo].
  void forward(const ChunkExec& exec, const Saved& saved, View2<T> v_out) const;
  /// The vectors alone, where they do not depend on the scalars: hidden, norms and v_out.
  void forward_vectors(const ChunkExec& exec, const Saved& saved, View2<T> v_out) const;

  /// Sums of the parameters' gradients over chunks. Without `inputs` those of ws and wh are the caller's.
  struct Gradients {
    std::optional<LaneSums<T>> ws, wh, wv, wsv;
    std::optional<ChunkSums<T>> bias, gate_bias;
    Gradients(Step<T>& step, const Gvp& gvp, int chunks, bool inputs = true);
    void finish(Step<T>& step) const;
  };
  /// Memory of a chunk's backward pass.
  struct Scratch {
    LaneRows<T> dhidden, t, dq;
    Scratch(Arena& arena, const Gvp& gvp, int rows);
  };
  /// ds [R,so] and dv [3R,vo] are used up; djoined [R, si + h] and dv_in [3R,vi] are overwritten.
  void backward(const ChunkExec& exec, int lane, int chunk, const Saved& saved, View2<T> ds, View2<T> dv, View2<T> djoined, View2<T> dv_in,
                const Gradients& gradients, const Scratch& scratch) const;

  /// hidden, norms and u from v. Part of `forward`.
  void map_vectors(const ChunkExec& exec, const Saved& saved) const;
  /// The nonlinearity after the products: s += bias (none if empty), gate, relu; writes v_out. Part of `forward`.
  void activate(const ChunkExec& exec, const Saved& saved, View1<T> bias, View2<T> v_out) const;
  /// ds -> da, dv -> dU in place, with the gate's own parameters. Part of `backward`.
  void activate_backward(const ChunkExec& exec, int lane, int chunk, const Saved& saved, View2<T> ds, View2<T> dv, const Gradients& gradients,
                         const Scratch& scratch) const;
};

/// joined(r, first + k) = |hidden_rk|~
template <class T>
void vector_norms(const ChunkExec& exec, View2<T> hidden, View2<T> joined, int first);
/// dhidden_rk (+)= djoined(r, first + k) hidden_rk / joined(r, first + k) where hidden_rk is not clamped; overwritten unless `accumulate`.
template <class T>
void vector_norms_backward(const ChunkExec& exec, View2<T> hidden, View2<T> joined, View2<T> djoined, int first, View2<T> dhidden, bool accumulate);

}  // namespace gnn_hpc
