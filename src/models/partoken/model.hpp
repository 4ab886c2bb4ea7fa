// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/partoken/cluster_attention.hpp"
#include "models/partoken/fusion_gate.hpp"
#include "models/partoken/options.hpp"
#include "nn/classifier_head.hpp"
#include "nn/gvp_encoder.hpp"
#include "nn/node_pooling.hpp"
#include "nn/traced_tensor.hpp"

#include <map>
#include <string>
#include <vector>

namespace gnn_hpc::partoken {

/// How a pass treats the codebook.
struct CodebookUse {
  bool bypass = false;   ///< no codes, no presence: clusters go on as they are
  bool update = true;    ///< in training: codes follow the clusters; false: frozen
  bool presence = true;  ///< the loss has its term
};

/// Weights of the terms of the loss besides the classes'; a term of weight 0 is neither computed nor differentiated.
struct LossWeights {
  double vq = 0.0, psc = 0.0, card = 0.0;
};

/// Residue graphs -> outputs [B,K] (specification spec/partoken.md): GVP encoder, partitioner, codebook, attention over clusters, gate, head.
/// Parameter names are those of the published checkpoints.
template <class T>
class Model {
 public:
  /// Registers all parameters and buffers in the store; the caller finalises it.
  Model(ParamStore<T>& store, const ModelOptions& options);

  const ModelOptions& options() const { return options_; }
  /// What a golden file draws instead of us.
  struct Given {
    std::map<std::string, View2<T>> masks;
    GivenDraws<T> draws;
  };
  /// Activations stay in step.arena for `backward`.
  View2<T> forward(Step<T>& step, const ResidueInput<T>& batch, const CodebookUse& use, const Given* given = nullptr);
  /// [3] vq, psc and card of the last pass, unweighted, this rank's share of each; `vq` includes beta.
  View1<double> part_losses() const { return parts_; }
  /// doutput [B,K] is used up; adds to the store's gradients.
  void backward(Step<T>& step, const ResidueInput<T>& batch, View2<T> doutput, const LossWeights& weights);

  const Partitioner<T>& partitioner() const { return partitioner_; }
  const GvpEncoder<T>& encoder() const { return encoder_; }
  /// Null: nobody measures.
  void measure_parts(PartClock* clock) {
    clock_ = clock;
    encoder_.measure_parts(clock);
  }
  Codebook<T>& codebook() { return codebook_; }
  const Codebook<T>& codebook() const { return codebook_; }

  /// The last pass.
  struct Saved {
    CodebookUse use;
    typename Partitioner<T>::Saved partition;
    typename Codebook<T>::Saved codes;
    typename NodePooling<T>::Saved pooled;
    typename ClusterAttention<T>::Saved attention;
    typename FusionGate<T>::Saved gate;
    typename ClassifierHead<T>::Saved head;
    View2<T> star, fused;
    View1<T> importance;  ///< [B S]
  };
  const Saved& saved() const { return saved_; }

 private:
  ModelOptions options_;
  GvpEncoder<T> encoder_;
  Partitioner<T> partitioner_;
  ClusterAttention<T> attention_;
  FusionGate<T> gate_;
  Codebook<T> codebook_;
  Linear<T> unused_hidden_, unused_;  ///< of published checkpoints; take no part
  ClassifierHead<T> head_;
  NodePooling<T> pooling_;
  Saved saved_;
  View1<double> parts_;
  PartClock* clock_ = nullptr;
};

/// All intermediates of the model's last forward pass, as golden files name them. Copies to the host; for comparison only.
template <class T>
std::vector<TracedTensor> trace(const Model<T>& model, const ResidueInput<T>& batch);

}  // namespace gnn_hpc::partoken
