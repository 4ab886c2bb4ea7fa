// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/gvp_conv.hpp"
#include "nn/gvp_norm.hpp"
#include "nn/row_dropout.hpp"

#include <string>

namespace gnn_hpc {

/// x + drop(update), normalised: how both halves of a layer end. Vectors are dropped whole.
template <class T>
struct GvpResidual {
  GvpNorm<T> norm;
  std::string site;  ///< name of the dropout: SITE.sdropout, SITE.vdropout

  struct Saved {
    View2<T> keep_s, keep_v;  ///< [N,ns], [N,nv]; empty: nothing is dropped
    typename GvpNorm<T>::Saved norm;
    Saved rows(int begin, int end) const;
  };
  Saved allocate(Step<T>& step, const RowDropout<T>& dropout, std::size_t rows, int ns, int nv) const;
  /// Rows of a chunk.
  void forward(const ChunkExec& exec, const Saved& saved, const GvpState<T>& x, const GvpState<T>& update, const GvpState<T>& out) const;
  /// dx is overwritten and may be dout; dupdate is overwritten.
  void backward(const ChunkExec& exec, int chunk, const Saved& saved, const GvpState<T>& dout, const GvpState<T>& dx, const GvpState<T>& dupdate,
                const typename GvpNorm<T>::Gradients& gradients) const;
};

/// A layer of the encoder (specification spec/gvp.md, section 3, Conv layer):
///   x <- LN0(x + drop0(Conv x)),   x <- LN1(x + drop1(F2(F1 x))),  F1: (ns,nv) -> (4 ns, 2 nv) activated, F2 back, not activated
template <class T>
struct GvpLayer {
  GvpConv<T> conv;
  Gvp<T> expand, contract;
  GvpResidual<T> after_conv, after_feed_forward;

  GvpLayer() = default;
  /// Registers `name.conv`, `name.norm.{0,1}`, `name.ff_func.{0,1}`.
  GvpLayer(ParamStore<T>& store, const std::string& name, int ns, int nv, int es, int ev, bool gated);

  struct Saved {
    typename GvpConv<T>::Saved conv;
    GvpState<T> message;  ///< what the convolution gave
    typename GvpResidual<T>::Saved first, second;
    typename Gvp<T>::Saved expand, contract;
    GvpState<T> middle, out;
  };
  GvpState<T> forward(Step<T>& step, const ResidueInput<T>& graph, const RowDropout<T>& dropout, const GvpState<T>& x, const GvpState<T>& edges,
                      Saved& saved) const;
  /// dout [N] is used up and becomes the gradient of x; dedges are added to.
  void backward(Step<T>& step, const ResidueInput<T>& graph, const Saved& saved, const GvpState<T>& dout, const GvpState<T>& dedges) const;
};

}  // namespace gnn_hpc
