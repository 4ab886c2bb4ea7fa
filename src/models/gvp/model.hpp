// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/protein/options.hpp"
#include "nn/classifier_head.hpp"
#include "nn/traced_tensor.hpp"

#include <map>
#include <string>
#include <vector>

namespace gnn_hpc::gvp {

using protein::ModelOptions;

/// Residue graphs -> outputs [G,K]: encoder, pooling, head (Jing et al., ICLR 2021, as the classifier of BioBlobs has it; specification
/// spec/gvp.md). Parameter names are those of the published checkpoints.
template <class T>
class Model {
 public:
  /// Registers all parameters in the store; the caller finalises it.
  Model(ParamStore<T>& store, const ModelOptions& options);

  const ModelOptions& options() const { return options_; }
  /// Activations stay in step.arena for `backward`. @param given keep-masks of dropout by site, as a golden file has them
  View2<T> forward(Step<T>& step, const ResidueInput<T>& batch, const std::map<std::string, View2<T>>* given = nullptr);
  /// doutput [G,K] is used up; adds to the store's gradients.
  void backward(Step<T>& step, const ResidueInput<T>& batch, View2<T> doutput);

  const GvpEncoder<T>& encoder() const { return encoder_; }
  View2<T> node_out() const { return pooled_.x; }  ///< [N,ns] of the last forward pass
  View2<T> pooled() const { return pooled_.y; }    ///< [G,ns]

 private:
  ModelOptions options_;
  GvpEncoder<T> encoder_;
  NodePooling<T> pooling_;
  ClassifierHead<T> head_;
  typename NodePooling<T>::Saved pooled_;
  typename ClassifierHead<T>::Saved saved_;
};

/// All intermediates of the model's last forward pass. Copies to the host; for comparison with golden data only.
template <class T>
std::vector<TracedTensor> trace(const Model<T>& model);

}  // namespace gnn_hpc::gvp
