// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nn/param.hpp"
#include "nn/step.hpp"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace gnn_hpc::partoken {

struct CodebookOptions {
  int codes = 512, width = 100;         ///< K, D
  double beta = 0.25;                   ///< weight of the commitment
  double decay = 0.99, epsilon = 1e-5;  ///< of the averages
  bool cosine = false;                  ///< distance 1 - cos instead of the squared one
  double psc_temp = 0.3;                ///< temperature of the presence
  double revive_below = 0.0;            ///< average count below which a code starts anew; 0: never
  bool corrected = true;                ///< before k-means: counts 1 and sums e instead of 0, with which unused codes vanish
};

/// A vocabulary of K vectors for clusters (van den Oord et al., NeurIPS 2017, with averages instead of gradients; specification
/// spec/partoken.md, section 3). Rows of clusters are b S + s; those without members take no part.
///   code      = argmin_k |z|^2 - 2 z.e_k + |e_k|^2, or 1 - cos (0 for a zero vector); of equals the first
///   commit    = mean over clusters and channels of (z - e_code)^2, e constant and before the update
///   update    counts_k <- d counts_k + (1-d) #(code = k),  sums_k <- d sums_k + (1-d) sum z,  e_k <- sums_k/(counts_k + eps)
///   presence  = 1 - exp(sum_s log(1 - clamp(P_bsk, 1e-6, 1-1e-6))),  P = softmax_k(-|z - e_k|^2/temperature), e after the update
///   psc       = -mean over chains of (1 - prod_k (1 - presence_bk))
/// Means and counts go over all ranks. Only buffers: `codebook.{embeddings, ema_counts, ema_sums}`, the same on all ranks.
template <class T>
class Codebook {
 public:
  Codebook() = default;
  Codebook(ParamStore<T>& store, const CodebookOptions& options);

  const CodebookOptions& options() const { return options_; }
  /// Before the first step: sums and counts that belong to the drawn codes.
  void begin(const Exec& exec) const;

  struct Saved {
    View2<T> z;            ///< [R,D] as given
    View1<int> members;    ///< [R]
    View1<int> code;       ///< [R] -1: no cluster
    View2<T> picked;       ///< [R,D] e_code, 0 where there is no cluster
    View1<double> commit;  ///< [1] this rank's share
    View1<double> rows;    ///< [1] clusters of all ranks
    View2<T> share;        ///< [R,K] P
    View2<double> absent;  ///< [B,K] 1 - presence
    View1<double> psc;     ///< [1] this rank's share
    View1<double> chains;  ///< first: chains of all ranks
  };
  /// Codes and commitment; then, if `update`, the averages.
  void quantise(Step<T>& step, View2<T> z, View1<int> members, bool update, Saved& saved) const;
  /// dz += weight beta d commit/dz
  void commit_backward(Step<T>& step, const Saved& saved, double weight, View2<T> dz) const;
  /// After `quantise`. @param graphs B of this rank  @param chains its first entry is the number of chains of all ranks
  void presence(Step<T>& step, std::size_t graphs, View1<double> chains, Saved& saved) const;
  /// dz += weight d psc/dz
  void presence_backward(Step<T>& step, const Saved& saved, double weight, View2<T> dz) const;

  /// Draws of the start: a permutation of the samples, and the sample that takes the place of an empty centre.
  struct Draws {
    std::vector<int> permutation;
    std::function<int()> refill;
  };
  /// Starts the codes at the centres of samples [n,D] by at most 25 rounds of Lloyd (1982): from the first K of the permutation; empty centres
  /// become samples, in the order of k; until the mean shift changes by less than 1e-4 from round to round. Fewer samples than codes: each
  /// code is a sample, in turn. In double whatever T is. All ranks call with the same samples. Throws Error(Exit::data) without samples.
  void start_from_samples(const std::vector<double>& samples, const Draws& draws);

  /// max(counts/(sum counts + eps), eps)
  std::vector<double> usage() const;
  double perplexity() const;  ///< exp(-sum u log(u + eps))
  double entropy() const;     ///< sum u log(u/(1/K + eps)), for the log

 private:
  View2<T> codes_now() const;

  CodebookOptions options_;
  ParamStore<T>* store_ = nullptr;
  Buffer<T> embeddings_, counts_, sums_;
};

}  // namespace gnn_hpc::partoken
