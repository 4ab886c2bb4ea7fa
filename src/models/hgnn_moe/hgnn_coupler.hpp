// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/hgnn_moe/coupler.hpp"
#include "nn/hypergraph.hpp"

namespace gnn_hpc::hgnn_moe {

/// n hypergraph convolutions X <- M (X Theta_l') + b_l on the experts of a token, mean over experts, combiner.
///
/// `collapsed` (default): nothing non-linear stands between the convolutions, so the mean passes through. With v_n = (1/E) 1' M^n and
/// a_l = v_{n-l} . 1:   s = sum_e v_n[e] X_e;  p_0 = s,  p_l = p_{l-1} Theta_l' + a_l b_l,  z = p_n;  u = z Wc' + bc
/// For many rows all maps fold into one first: C_n = Wc, C_{l-1} = C_l Theta_l:  u = s C_0' + (bc + sum_l a_l C_l b_l), one product of R
/// rows. Backward, from dA = du' s and c = sum du:  dC_0 = dA;  dTheta_l = C_l' dC_{l-1};  db_l = a_l C_l' c;  da_l = c . C_l b_l;
/// dC_l = dC_{l-1} Theta_l' + a_l c b_l';  dWc = dC_n;  ds = du C_0;  dX_e = v_n[e] ds;  dv_n[e] = sum over rows of ds . X_e.
/// `dense`: n products of R E rows, each followed by M in registers. `incidence`: M applied as two sums over a sparse incidence matrix,
/// CSR both ways; no E x E matrix. All three are the same function and serve as each other's tests.
template <class T>
class HgnnCoupler final : public Coupler<T> {
 public:
  /// Parameters of a convolution are `name.hgnn_layers_module.k.conv.{lin.weight,bias}`; of a ghost layer's couplers without `conv.`, and
  /// there weights exist but take no part (all ones). `experts` is the largest number that can be present.
  HgnnCoupler(ParamStore<T>& store, const std::string& name, const ModelOptions& options, int experts, bool ghost = false, bool used = true);

  void forward(Step<T>& step, View2<T> x, View2<T> base, View2<T> y) override;
  OutputGradient<T> backward(Step<T>& step, View2<T> dy) override;
  std::vector<CouplerTap> taps(Step<T>& step) const override;
  std::vector<CouplerTap> report() const override;
  double smallest_degree(const Exec& exec) const override;

  /// Number of experts of the next forward (ghosts come and go); all at first.
  void set_present(int experts);
  /// Convolutions of the next forward: none where those present are too few for one hyperedge.
  int convolutions() const { return operator_.convolutions; }

 private:
  struct Convolution {
    Param<T> weight, bias;  ///< [D,D], [D]
  };
  bool collapsed() const { return form_ == HypergraphForm::collapsed || convolutions() == 0; }
  View1<T> raw_weights() const;
  void fold_maps(Step<T>& step);
  void collapsed_forward(Step<T>& step, View2<T> x, View2<T> base, View2<T> y);
  OutputGradient<T> collapsed_backward(Step<T>& step, View2<T> dy);
  void folded_gradients(Step<T>& step, View1<T> sum, View1<double> da) const;
  void chain_gradients(Step<T>& step, const std::vector<View2<T>>& dchain, View1<double> da) const;
  void full_forward(Step<T>& step, View2<T> x, View2<T> base, View2<T> y);
  OutputGradient<T> full_backward(Step<T>& step, View2<T> dy);

  int experts_, width_;
  HypergraphForm form_;
  HyperedgeStrategy strategy_;
  bool paper_, softplus_, learnable_ = false;
  int layers_;
  std::vector<Convolution> convs_;
  Param<T> edge_weights_;
  Combiner<T> combiner_;
  MixingOperator operator_;

  struct Saved {
    View2<T> x;                   ///< as given
    View2<T> s, u, hat;           ///< [R,D]; u with bias
    View1<T> rdev, bias, factor;  ///< [R], [D], [E] v_n
    bool folded = false;
    std::vector<View2<T>> maps;      ///< C_0 .. C_n
    std::vector<View2<T>> chain;     ///< s, p_1 .. p_n; or X_0 .. X_n of the other forms
    std::vector<View2<T>> products;  ///< Z_l [R E, D] of the other forms
    std::vector<View2<T>> edges;     ///< [R, m D] of the incidence form
  } saved_;
};

}  // namespace gnn_hpc::hgnn_moe
