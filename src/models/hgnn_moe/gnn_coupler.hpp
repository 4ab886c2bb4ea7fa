// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/hgnn_moe/coupler.hpp"

namespace gnn_hpc::hgnn_moe {

/// n message-passing layers on the experts of a token, mean over experts, combiner. For receiver i and sender j != i:
///   c_ij = sigmoid(x_i . w_r + x_j . w_s + c0);  a_ij = sigmoid(adjacency_ij) c_ij;  m_i = sum_j a_ij x_j
///   u_i = m_i Wn' + x_i Ws' + bn + bs;  x_i <- x_i + gelu(u_i)
/// One expert: u = x Ws' + bs, and the neighbour's parameters take no part. Gates need two dot products per expert and an E x E table per
/// token; both products are one, [m | x] [R E, 2D] times [Wn | Ws]'. Kept: x of every layer and u; gates and messages are made again.
/// Backward, with q_ij = dm_i . x_j a_ij (1 - c_ij):  dx_i += (du Ws)_i + sum_k a_ki dm_k + (sum_j q_ij) w_r + (sum_k q_ki) w_s.
template <class T>
class GnnCoupler final : public Coupler<T> {
 public:
  GnnCoupler(ParamStore<T>& store, const std::string& name, const ModelOptions& options);

  void forward(Step<T>& step, View2<T> x, View2<T> base, View2<T> y) override;
  OutputGradient<T> backward(Step<T>& step, View2<T> dy) override;
  std::vector<CouplerTap> taps(Step<T>& step) const override;
  std::vector<CouplerTap> report() const override;
  double smallest_degree(const Exec&) const override;

 private:
  struct Convolution {
    Param<T> adjacency, neighbor_weight, neighbor_bias, self_weight, self_bias, message_weight, message_bias;
  };
  void join_weights(Step<T>& step);
  void add_layer_gradients(Step<T>& step, const Convolution& c, View2<T> dweight, View1<double> total) const;

  int experts_, width_;
  std::vector<Convolution> convs_;
  Combiner<T> combiner_;

  struct Saved {
    std::vector<View2<T>> x;       ///< [n] of [R, E D], input of every layer
    std::vector<View2<T>> u;       ///< [n] of [R E, D] with bias
    std::vector<View2<T>> weight;  ///< [Wn | Ws] [D,2D], or Ws alone
    std::vector<View1<T>> bias;    ///< bn + bs
    View2<T> pooled, v, hat;       ///< [R,D] z, argument of the combiner's gelu, normalised
    View1<T> rdev;
  } saved_;
};

}  // namespace gnn_hpc::hgnn_moe
