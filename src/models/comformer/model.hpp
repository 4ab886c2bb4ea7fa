// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/comformer/device_batch.hpp"
#include "models/comformer/edge_layer.hpp"
#include "models/comformer/equi_layer.hpp"
#include "models/comformer/node_layer.hpp"
#include "nn/rbf.hpp"
#include "nn/traced_tensor.hpp"

#include <functional>
#include <string>
#include <vector>

namespace gnn_hpc::comformer {

/// Invariant: distances and angles with the lattice. Equivariant: distances, and directions through spherical harmonics.
enum class Network { icomformer, ecomformer };

/// Widths of ComFormer (specification 4.4, 4.5) and how its work is done.
struct ModelOptions {
  Network network = Network::icomformer;
  int node_features = 256;           ///< C
  int edge_features = 256;           ///< bins of the distance expansion
  int triplet_input_features = 256;  ///< bins of the angle expansion (iComFormer)
  int fc_features = 256;
  int output_features = 1;
  int node_layer_head = 1;       ///< H, of node and edge layers
  int atom_input_features = 92;  ///< columns of the element table
  Reduction reduction = Reduction::csr;

  int num_layers() const { return network == Network::icomformer ? 4 : 3; }  ///< node layers, as published
};

/// ComFormer: crystal -> [output_features] (Yan et al., "Complete and Efficient Graph Transformers for Crystal Material Property
/// Prediction", ICLR 2024; specification spec/comformer.md).
///   iComFormer  x = atom_embedding(features), e = rbf(-0.75/|r|), ang = rbf_angle(cos(l_s, r)), len = rbf(-0.75/|l_s|)
///               node layer 0 (e), e' = edge layer, node layers 1..3 (e'), mean over the atoms, fc, silu, fc_out
///   eComFormer  node layer 0 (e), equivariant layer (e), node layers 1, 2 (e), then as above
/// Parameter names are those of the published checkpoints.
template <class T>
class Model {
 public:
  static constexpr int kMostLayers = 4;

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
    typename NodeLayer<T>::Saved nodes[kMostLayers];
    typename EdgeLayer<T>::Saved edge;
    typename EquiLayer<T>::Saved equi;
    View2<T> pooled, hidden, activated, out;  ///< [G,C], [G,F], [G,F], [G,K]
  };
  const Saved& saved() const { return saved_; }

 private:
  bool equivariant() const { return options_.network == Network::ecomformer; }
  View2<T> forward_invariant(Step<T>& step, const CrystalBatch<T>& batch);
  View2<T> forward_equivariant(Step<T>& step, const CrystalBatch<T>& batch);
  /// dx [N,C] of the last node layer, used up; leaves the gradient of the embedding in dx_below.
  void backward_invariant(Step<T>& step, const CrystalBatch<T>& batch, View2<T> dx, View2<T> dx_below, View2<T> dlength_rows);
  void backward_equivariant(Step<T>& step, const CrystalBatch<T>& batch, View2<T> dx, View2<T> dx_below, View2<T> dlength_rows);

  ModelOptions options_;
  View2<T> element_table_;
  Linear<T> atom_embedding_;
  RadialBasis<T> rbf_, rbf_angle_;
  NodeLayer<T> att_layers_[kMostLayers];
  EdgeLayer<T> edge_update_layer_;  ///< iComFormer
  EquiLayer<T> equi_update_;        ///< eComFormer
  Linear<T> fc_, fc_out_;
  Saved saved_;
};

/// All intermediates of the model's last forward pass. Copies to the host; for comparison with golden data only.
template <class T>
std::vector<TracedTensor> trace(const Model<T>& model, const CrystalBatch<T>& batch);

}  // namespace gnn_hpc::comformer
