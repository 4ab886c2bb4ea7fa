// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/dmpnn_diffpool/device_batch.hpp"
#include "models/dmpnn_diffpool/options.hpp"
#include "nn/batch_norm.hpp"
#include "nn/bond_message.hpp"
#include "nn/diff_pool.hpp"
#include "nn/target_losses.hpp"
#include "nn/traced_tensor.hpp"

#include <span>
#include <string>
#include <vector>

namespace gnn_hpc::dmpnn {

/// D-MPNN, weighted D-MPNN or D-MPNN with DiffPool: molecule -> [outputs] (specification sections 3 and 4).
///   z = encoder(graph), H = read-out or pooling levels, F = [bn(H) | descriptors], output = ffn(F)
/// Parameter names are those of the reference checkpoints: `message_passing[.encoders.L].{W_i,W_h,W_o}`, `message_passing._pool_head_L.{0,2}`,
/// `bn`, `predictor.ffn.0.0`, `predictor.ffn.L.2`. All modules exist from the start.
template <class T>
class Model {
 public:
  /// Registers all parameters in the store; the caller finalises it. With pooling `options.head_width` must be set; widths are those of the
  /// feature vectors (72 and 14).
  Model(ParamStore<T>& store, const ModelOptions& options, int atom_width, int bond_width);
  /// Distinct feature rows of the data set; before the first `forward`, and again for other data.
  void set_tables(const FeatureTable& atoms, const FeatureTable& bonds);

  const ModelOptions& options() const { return options_; }
  const DiffPool<T>& pooling() const { return pool_; }

  /// Output [G, outputs]; activations stay in step.arena for `loss` and `backward`.
  /// Throws Error(Exit::usage) for `assign: batch` with more clusters in the batch than head columns.
  View2<T> forward(Step<T>& step, const MoleculeBatch<T>& batch);

  /// This rank's part of the loss of the last forward, in device scalars. `total` is what `backward` differentiates: `main` when
  /// evaluating, `main + link + entropy` when training with an auxiliary reduction other than `none`.
  struct Loss {
    View1<double> total, main, link, entropy;
  };
  /// @param divisor number of targets present over all ranks. Collective when training with `AuxReduction::mean` and pooling: the mean
  /// over the graphs of the global batch needs their number. Once after each forward.
  Loss loss(Step<T>& step, const MoleculeBatch<T>& batch, std::span<const TargetSlice> slices, double divisor);
  /// Adds the gradient of `loss` to the store's gradients.
  void backward(Step<T>& step, const MoleculeBatch<T>& batch);
  /// From a gradient of the output [G, outputs] instead (auxiliary losses as the last call of `loss` left them, none without).
  void backward(Step<T>& step, const MoleculeBatch<T>& batch, View2<T> doutput);

  /// F [G, hidden_dim + descriptors] of the last forward: the learned representation, for `fingerprint` files.
  View2<T> fingerprint() const { return saved_.features; }

  /// What forward keeps; for tracing.
  struct LevelSaved {
    typename BondMessage<T>::Saved encoder;
    MessagePlan<T> plan;
    PoolLevel<T> level;
    View2<T> hidden, logits;  ///< [Rz,C], [Rz,head]
    Assignment assignment;
    CoarseEdges<T> edges;
    View2<double> auxiliary;  ///< [G,2] link, entropy
    View2<T> pooled;          ///< [C,width] V'; not formed at the last level
    bool assigned = false;    ///< S exists: not needed at the last level when evaluating
  };
  struct Saved {
    std::vector<LevelSaved> levels;
    View2<T> pooled, features;  ///< [G,d_h] H, [G,d_h+d_xd] F
    typename BatchNorm<T>::Saved norm;
    std::vector<View2<T>> ffn;  ///< outputs of the FFN's Linears; hidden ones after relu and dropout
    View2<T> doutput;
    double auxiliary_factor = 0.0;  ///< of the auxiliary losses in the total
  };
  const Saved& saved() const { return saved_; }

 private:
  bool normalises() const { return options_.normalises(); }
  void assign_level(Step<T>& step, LevelSaved& s, std::size_t level, int largest_clusters);
  void read_out(Step<T>& step, const MoleculeBatch<T>& batch);
  void levels_backward(Step<T>& step, const MoleculeBatch<T>& batch, View2<T> dpooled);
  void assign_level_backward(Step<T>& step, LevelSaved& s, std::size_t level, View2<T> dz);

  ModelOptions options_;
  DiffPool<T> pool_;
  View2<T> atom_table_, bond_table_;
  int atom_width_ = 0, bond_width_ = 0;
  std::vector<BondMessage<T>> encoders_;
  std::vector<Linear<T>> head_hidden_, head_out_;  ///< by level
  BatchNorm<T> bn_;
  std::vector<Linear<T>> ffn_;
  WeightGradients<T> weights_;
  Saved saved_;
};

/// All intermediates of the model's last forward pass, made without sharing and in training mode. Copies to the host; for comparison
/// with golden data only. Also forms what the model skips: pooled features and coarse edges of the last level.
template <class T>
std::vector<TracedTensor> trace(const Model<T>& model, Step<T>& step, const MoleculeBatch<T>& batch);

}  // namespace gnn_hpc::dmpnn
