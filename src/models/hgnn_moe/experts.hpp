// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/hgnn_moe/batch.hpp"
#include "models/hgnn_moe/options.hpp"
#include "nn/causal_attention.hpp"
#include "nn/layer_norm.hpp"
#include "nn/param.hpp"
#include "nn/random_mask.hpp"

#include <string>
#include <vector>

namespace gnn_hpc::hgnn_moe {

/// Gradient of the expert outputs X [R, E D] as a coupler hands it back: dX_e = factor[e] common + each_e. Where every expert receives
/// the same rows up to a factor (the collapsed hypergraph coupler), no array of E D columns exists. Either part may be absent.
template <class T>
struct OutputGradient {
  View2<T> common;  ///< [R,D]
  View1<T> factor;  ///< [E]
  View2<T> each;    ///< [R, E D]
};

/// All experts of a layer on the same input (pre-norm transformer blocks, specification section 2):
///   a = LN(x; norm1);  [q,k,v] = a in_proj' + b;  h = x + attention(q,k,v) out_proj' + b
///   X_e = h + drop(W2 drop(gelu(W1 LN(h; norm2) + b1)) + b2)
/// The experts share mean and deviation of x: both norms' affine maps fold into the weights behind them, so that one product makes q, k
/// and v of all experts. Whole sequences go through the layer in chunks, one thread each. Kept: normalised x, q k v without bias, contexts,
/// h, the arguments of gelu; normalised h and gelu are made again in the backward pass. Weight gradients are summed chunk by chunk.
template <class T>
class ExpertBank {
 public:
  ExpertBank() = default;
  /// Registers `name.e.*` of `count` experts.
  ExpertBank(ParamStore<T>& store, const std::string& name, const ModelOptions& options, int count);

  int size() const { return count_; }

  /// X [R, E D] from x [R,D]. `key`: random stream of this layer.
  void forward(Step<T>& step, const TokenBatch& batch, RandomKey key, View2<T> x, View2<T> out);
  /// Adds to dx [R,D] what comes through the experts. Uses up what forward saved.
  void backward(Step<T>& step, const TokenBatch& batch, RandomKey key, const OutputGradient<T>& gradient, View2<T> dx);
  /// The same for `new_tokens` more tokens of every sequence, whose q, k, v go into columns [column, column + 3 D E) of the cache's rows
  /// (sequence * capacity + position). x [B n, D].
  void decode(Step<T>& step, int sequences, int past, int new_tokens, View2<T> x, View2<T> cache, int capacity, int column, View2<T> out);

  struct Expert {
    LayerNorm<T> norm1, norm2;
    Param<T> in_weight, in_bias, out_weight, out_bias, w1, b1, w2, b2;
  };
  const Expert& expert(int e) const { return experts_[static_cast<std::size_t>(e)]; }

  struct ExpertSaved {
    View2<T> context, after, hidden;  ///< [R,D], [R,D] h, [R,4D] argument of gelu
    View1<T> mean, rdev;              ///< of h
    View1<T> lse;                     ///< [R heads]: sequence by sequence, head by head
  };
  struct Saved {
    View2<T> x, hat;  ///< input, and normalised
    View1<T> rdev;
    View2<T> qkv;         ///< [R, 3 D E] without bias
    View2<T> qkv_weight;  ///< [3 D E, D] folded
    View1<T> qkv_bias;
    std::vector<View2<T>> w1;  ///< folded
    std::vector<View1<T>> b1;
    std::vector<ExpertSaved> expert;
  };
  const Saved& saved() const { return saved_; }
  int heads() const { return heads_; }
  int width() const { return width_; }

  /// What attention reads and writes of one sequence and expert; for the passes and for tracing.
  struct Sequence {
    int begin = 0, end = 0;  ///< rows
    View2<T> qkv, context;
    View1<T> bias, lse;
    View1<std::uint8_t> key;  ///< empty: all allowed
  };
  Sequence sequence(const TokenBatch& batch, int q, int e) const;

 private:
  /// Places of dropout, each with random numbers of its own.
  enum Site : int { kProbabilities, kHidden, kOutput };
  struct RowSites {
    View1<std::uint64_t> key;
    View1<int> position;
  };
  void fold(Step<T>& step);
  RandomMask mask(const Step<T>& step, RandomKey key, int expert, int site) const;
  void attend(Step<T>& step, const TokenBatch& batch, RandomKey key, const CausalAttention<T>& attention, int lane, const ChunkExec& exec,
              const TokenChunk& chunk, int e) const;
  void feed_forward(Step<T>& step, const RowSites& sites, RandomKey key, const ChunkExec& exec, int begin, int end, int e, View2<T> normalised,
                    View2<T> w1, View1<T> b1, View2<T> gelu, View2<T> scratch, View2<T> out) const;
  void expert_backward(Step<T>& step, const TokenBatch& batch, RandomKey key, int e, const OutputGradient<T>& gradient,
                       const CausalAttention<T>& attention, View2<T> dx);

  int count_ = 0, width_ = 0, heads_ = 1;
  double dropout_ = 0.0;
  std::vector<Expert> experts_;
  Saved saved_;
};

}  // namespace gnn_hpc::hgnn_moe
