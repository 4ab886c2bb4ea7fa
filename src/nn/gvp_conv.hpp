// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/gvp.hpp"
#include "nn/residue_input.hpp"

#include <string>

namespace gnn_hpc {

/// Message passing of geometric vector perceptrons over the edges j -> i of residue graphs (specification spec/gvp.md, section 3, Conv):
///   m_ij = GVP3(GVP2(GVP1([s_j, e_s, s_i], [V_j, e_v, V_i]))),  output of i = mean over its edges, 0 without any; GVP3 is not activated
/// Evaluated in the equal forms of section 7:
///   GVP1 is split: ws and wh act on s_j, s_i, V_j, V_i once a node, and on [e_s, n] and e_v an edge;
///   GVP3 stands behind the mean (unless gated): mean (ws3 [s ; n] + b) = ws3 mean [s ; n] + b, mean (wv3 H3) = wv3 mean H3.
/// A chunk of targets runs through all three in cache. Of an edge only the signs of the second perceptron's scalars are kept (a byte each): the
/// backward pass computes a chunk again, without the product that these replace, which costs 10k of 76k multiply-adds an edge at the published
/// widths, where keeping all would take 1.4 kB an edge and layer. Gradients of sources add up in a copy a lane on a CPU (24
/// numbers of an edge's 199 would not fit a cache), through the transposed lists on a device; both in one order.
template <class T>
struct GvpConv {
  int ns = 0, nv = 0, es = 0, ev = 0;
  Gvp<T> first, second, third;

  GvpConv() = default;
  /// Registers `name.message_func.{0,1,2}`.
  GvpConv(ParamStore<T>& store, const std::string& name, int ns, int nv, int es, int ev, bool gated);

  /// Node terms of the first perceptron and its weights of edges, made once a step.
  struct Terms {
    View2<T> weight;                  ///< [ns, es + h] columns e_s and n of ws
    View2<T> edge_hidden;             ///< [ev, h] columns e_v of wh, transposed
    View2<T> from, to;                ///< [N,ns] of s_j; of s_i, with the bias
    View2<T> hidden_from, hidden_to;  ///< [3N,h]
  };
  struct Saved {
    GvpState<T> x, edges;
    View2<T> mean;             ///< [N, ns + h3] mean of [s ; n] before the third perceptron
    View2<T> mean_hidden;      ///< [3N,h3]
    View2<std::uint8_t> open;  ///< [E,ns] where relu of the second perceptron let scalars through
  };
  /// x of nodes, embedded edges -> mean messages.
  GvpState<T> forward(Step<T>& step, const ResidueInput<T>& graph, const GvpState<T>& x, const GvpState<T>& edges, Saved& saved) const;
  /// dout is used up; dx and dedges are added to.
  void backward(Step<T>& step, const ResidueInput<T>& graph, const Saved& saved, const GvpState<T>& dout, const GvpState<T>& dx,
                const GvpState<T>& dedges) const;

  /// Activations of a chunk's edges.
  struct Tile {
    typename Gvp<T>::Saved one, two, three;
    GvpState<T> message;  ///< of the third perceptron; gated only
  };
  /// Memory of tiles, a block a lane.
  struct Tiles;

 private:
  Terms terms(Step<T>& step, const GvpState<T>& x) const;
  /// All three perceptrons. @param again the backward pass: the second one's scalars are only known to be open or not
  void run_tile(const ChunkExec& exec, const ResidueInput<T>& graph, const ResidueChunk& chunk, const Terms& terms, const Saved& saved, bool again,
                const Tile& tile) const;
  bool gated() const { return first.shape.gated; }
};

}  // namespace gnn_hpc
