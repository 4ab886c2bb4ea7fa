// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/chunk_sums.hpp"
#include "nn/gvp.hpp"
#include "nn/layer_norm.hpp"

#include <string>

namespace gnn_hpc {

/// Normalisation of scalars and vectors (gvp-pytorch's LayerNorm; specification spec/gvp.md, sections 3 and 6), by rows of a chunk:
///   s' = layer norm of s,   V'_c = V_c / r,  r = sqrt(mean_c max(V_c.V_c, eps))
///   dV_c = dV'_c / r - [V_c.V_c >= eps] V_c (sum_c' dV'_c'.V_c') / (nv r^3)
template <class T>
struct GvpNorm {
  LayerNorm<T> scalar;

  GvpNorm() = default;
  /// Registers `name.scalar_norm.weight` and `.bias`.
  GvpNorm(ParamStore<T>& store, const std::string& name, int ns) : scalar(store, name + ".scalar_norm", ns) {}

  struct Saved {
    View2<T> hat;      ///< [R,ns] normalised s, before the affine map
    View1<T> rdev;     ///< [R]
    View2<T> v;        ///< [3R,nv] the input
    View1<T> inverse;  ///< [R] 1/r
    static Saved allocate(Arena& arena, std::size_t rows, int ns, int nv);
    Saved rows(int begin, int end) const;
  };
  /// From s in `saved.hat` (overwritten) and V in `saved.v` to `out`, whose scalars may be columns of another array.
  void forward(const ChunkExec& exec, const Saved& saved, const GvpState<T>& out) const;

  /// Gradients of gamma and beta, chunk by chunk.
  struct Gradients {
    View2<double> partial;  ///< [chunks, 2 ns]
    Gradients(Arena& arena, const GvpNorm& norm, int chunks);
  };
  /// din is overwritten and may be dout.
  void backward(const ChunkExec& exec, int chunk, const Saved& saved, const GvpState<T>& dout, const GvpState<T>& din,
                const Gradients& gradients) const;
  /// The parameters only.
  void backward_parameters(const ChunkExec& exec, int chunk, const Saved& saved, View2<T> ds, View2<T> scratch, const Gradients& gradients) const;
  void finish(Step<T>& step, const Gradients& gradients) const { scalar.add_partials(step, gradients.partial); }
};

}  // namespace gnn_hpc
