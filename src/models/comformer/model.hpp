// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/comformer/device_batch.hpp"
#include "models/comformer/edge_layer.hpp"
#include "models/comformer/node_layer.hpp"
#include "nn/rbf.hpp"
#include "nn/traced_tensor.hpp"

#include <functional>
#include <string>
#include <vector>

namespace gnn_hpc::comformer {

/// Widths of iComFormer (specification 4.4, 4.5) and how its work is done.
struct ModelOptions {
  int node_features = 256;           ///< C
  int edge_features = 256;           ///< bins of the distance expansion
  int triplet_input_features = 256;  ///< bins of the angle expansion
  int fc_features = 256;
  int output_features = 1;
  int node_layer_head = 1;       ///< H, of node and edge layers
  int atom_input_features = 92;  ///< columns of the element table
  Reduction reduction = Reduction::csr;
};

/// iComFormer: crystal -> [output_features] (Yan et al., "Complete and Efficient Graph Transformers for Crystal Material Property
/// Prediction", ICLR 2024; specification spec/comformer.md).
///   x = atom_embedding(features), e = rbf(-0.75/|r|), ang = rbf_angle(cos(l_s, r)), len = rbf(-0.75/|l_s|)
///   node layer 0 (e), e' = edge layer, node layers 1..3 (e'), mean over the atoms, fc, silu, fc_out
/// Parameter names are those of the published checkpoints.
template <class T>
class Model {
 public:
  static constexpr int kLayers = 4;

  /// Registers all parameters in the store; the caller finalises it. `element_table` [rows, atom_input_features]: row Z holds the
  /// features of element Z.
  Model(ParamStore<T>& store, const ModelOptions& options, const std::vector<double>& element_table);

  const ModelOptions& options() const { return options_; }

  /// Predictions [G, output_features]; activations stay in step.arena for `backward`.
  View2<T> forward(Step<T>& step, const CrystalBatch<T>& batch);
  /// dprediction [G, output_features]; adds to the store's gradients.
  void backward(Step<T>& step, const CrystalBatch<T>& batch, View2<T> dprediction);

  /// What forward keeps; for tracing.
  struct Saved {
    View2<T> features, x_embed;  ///< [N,F], [N,C]
    typename RadialBasis<T>::Saved distance, angle;
    typename NodeLayer<T>::Saved nodes[kLayers];
    typename EdgeLayer<T>::Saved edge;
    View2<T> pooled, hidden, activated, out;  ///< [G,C], [G,F], [G,F], [G,K]
  };
  const Saved& saved() const { return saved_; }

 private:
  ModelOptions options_;
  View2<T> element_table_;
  Linear<T> atom_embedding_;
  RadialBasis<T> rbf_, rbf_angle_;
  NodeLayer<T> att_layers_[kLayers];
  EdgeLayer<T> edge_update_layer_;
  Linear<T> fc_, fc_out_;
  Saved saved_;
};

/// All intermediates of the model's last forward pass. Copies to the host; for comparison with golden data only.
template <class T>
std::vector<TracedTensor> trace(const Model<T>& model, const CrystalBatch<T>& batch);

}  // namespace gnn_hpc::comformer
