// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/hgnn_moe/batch.hpp"
#include "models/hgnn_moe/layer.hpp"
#include "models/hgnn_moe/options.hpp"
#include "nn/cross_entropy.hpp"
#include "nn/embedding.hpp"
#include "nn/layer_norm.hpp"
#include "nn/traced_tensor.hpp"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc::hgnn_moe {

/// Keys and values of all experts, heads and layers for the tokens seen so far: what `Model::decode` needs to add a token without
/// running the prefix again.
template <class T>
class DecodeCache {
 public:
  DecodeCache(const ModelOptions& options, int sequences);
  int num_sequences() const { return sequences_; }
  int length() const { return length_; }  ///< tokens of every sequence so far
  void reset() { length_ = 0; }

 private:
  template <class U>
  friend class Model;
  int sequences_, length_ = 0;
  std::vector<View2<T>> layers_;  ///< of every layer [B max_seq_length, 3 D (E + G)]: q, k, v of the experts
};

/// How many numbers belong to what (`num_parameters` of each group).
struct ParameterCounts {
  std::size_t experts = 0, couplers = 0, rest = 0;
};

/// Causal language model whose layers run all experts on every token and couple them by a graph (specification spec/hgnn_moe.md):
///   x = dropout(token_emb[id] + pos_emb[t]);  x += coupler(experts(x)) for every layer;  logits = LN(x) lm_head' + bias
/// Parameter names are those of the published state_dict. Calls: forward, loss, backward (training) on one batch. Logits exist in
/// chunks of rows only: `loss` makes them, their gradient in place, and what follows from it.
template <class T>
class Model {
 public:
  /// Registers all parameters and buffers in the store; the caller finalises it. Throws Error(Exit::usage) if options.problems().
  Model(ParamStore<T>& store, const ModelOptions& options);

  const ModelOptions& options() const { return options_; }
  static ParameterCounts parameter_counts(const ParamStore<T>& store);
  /// False where rows of padding must be kept (`finish_batch`).
  bool may_pack() const { return !options_.orthogonality.outputs && options_.num_ghost_experts == 0; }

  /// Up to the final normalisation. Throws Error(Exit::data) for a sequence longer than max_seq_length.
  void forward(Step<T>& step, const TokenBatch& batch);
  /// [3] this rank's part of: total = lm + extra; lm = sum over targets of -log p(target) / divisor; extra = specialisation losses (on
  /// the root only, they are means over all ranks). When training also the gradient of the output, head and final norm.
  View1<double> loss(Step<T>& step, const TokenBatch& batch, double divisor);
  /// The rest of the gradients, added to the store's.
  void backward(Step<T>& step, const TokenBatch& batch);

  /// All logits [R,V] of the last forward; for verification and short sequences.
  View2<T> logits(Step<T>& step);

  /// Appends n tokens to every sequence of the cache (ids [B,n], row-major) and returns the logits [B,V] that follow the last one.
  /// Dropout is off. Throws Error(Exit::usage) for an id outside the vocabulary or a length beyond max_seq_length.
  View2<T> decode(Step<T>& step, DecodeCache<T>& cache, std::span<const int> ids);

  /// Parameters worth following: per layer sigmoid(adjacency_logits) [E,E] of each convolution, or hyperedge_weights [m]; the levels of
  /// ghosts. (name, values). Fences.
  std::vector<std::pair<std::string, std::vector<double>>> report() const;
  /// One message for every layer whose smallest |D_v| is below 1e-3 (its couplings are then very large). Fences.
  std::vector<std::string> degree_warnings() const;

  /// Parts of the names of parameters that took no part in the last forward pass (ghosts that sleep).
  std::vector<std::string> resting() const;

  /// Floating-point operations of forward and backward for sequences of these lengths, nothing counted twice.
  double flops(std::span<const int> seq_ptr) const;

  /// What forward keeps; for tracing.
  struct Saved {
    std::vector<View2<T>> x;  ///< [layers + 1] of [R,D]: the embedding after dropout, then the output of every layer
    View2<T> embedding;       ///< [R,D] before dropout
    View2<T> output_hat;      ///< [R,D] final x normalised, without the affine map
    View1<T> output_rdev;     ///< [R]
    View2<T> dx;              ///< [R,D] gradient of the last x, made by `loss`
    View1<double> extra;      ///< specialisation losses so far; empty: none wanted
  };
  const Saved& saved() const { return saved_; }
  const std::vector<std::unique_ptr<Layer<T>>>& layers() const { return layers_; }
  const LayerNorm<T>& output_norm() const { return output_norm_; }

 private:
  ModelOptions options_;
  Embedding<T> token_emb_, pos_emb_;
  std::vector<std::unique_ptr<Layer<T>>> layers_;
  LayerNorm<T> output_norm_;
  VocabularyHead<T> lm_head_;
  Saved saved_;
};

/// All intermediates of the model's last forward pass (before `backward`, which reuses them). The batch must not be packed.
template <class T>
std::vector<TracedTensor> trace(const Model<T>& model, Step<T>& step, const TokenBatch& batch);

}  // namespace gnn_hpc::hgnn_moe
